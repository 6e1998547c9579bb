"""Where labels and images of a user's data are found: parts, label files, image names."""

import json
from pathlib import Path

import pytest

from dbnet.errors import UserError
from dbnet.labels.entries import Request
from dbnet.labels.faults import gathering
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.json_node import JsonNode
from dbnet.labels.label_format import LabelFormat
from dbnet.labels.parts import find_part_folders, open_raw


def make_files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def finder_in(folder: Path) -> ImageFinder:
    return ImageFinder(folder, "train", Request(folder, folder / "out"))


def label_files(raw: Path, suffix: str = ".json", preferred: str = "instances") -> dict[str, str]:
    form = LabelFormat("", [suffix], preferred, read=lambda *_: [])
    found = form.find_files(raw, raw / "out")
    return {part: path.relative_to(raw).as_posix() for part, (path, _) in found.items()}


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["a.jpg"], {"train": "."}),
        (["train/a.jpg"], {"train": "train"}),
        (["test/a.jpg"], {"test": "test"}),
        (
            ["Testing/a", "valid/a", "training/a", "more/a"],
            {"train": "training", "val": "valid", "test": "Testing"},
        ),
        (["trainval/a", "train.txt", "test"], {"train": "."}),
    ],
)
def test_part_folders(tmp_path: Path, names: list[str], parts: dict[str, str]) -> None:
    make_files(tmp_path, *names)
    found = find_part_folders(tmp_path)
    assert {p: f.relative_to(tmp_path).as_posix() for p, f in found.items()} == parts
    assert list(found) == list(parts)


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        pytest.param(["labels.json"], {"train": "labels.json"}, id="the only file"),
        pytest.param(
            ["instances_train2017.json", "instances_val2017.json", "info.json"],
            {"train": "instances_train2017.json", "val": "instances_val2017.json"},
            id="named files",
        ),
        pytest.param(
            [f"annotations/{k}_{p}.json" for k in ("captions", "instances") for p in ("train",)],
            {"train": "annotations/instances_train.json"},
            id="COCO's folder, preferred name",
        ),
        pytest.param(["labels/a.json", "images/1.jpg"], {"train": "labels/a.json"}, id="labels"),
        pytest.param(
            ["train/_annotations.coco.json", "valid/_annotations.coco.json", "info.json"],
            {"train": "train/_annotations.coco.json", "val": "valid/_annotations.coco.json"},
            id="part folders",
        ),
        pytest.param(
            ["my_test.json", "train/1.jpg", "train/x.json"],
            {"test": "my_test.json"},
            id="named files come before folders",
        ),
        pytest.param(
            ["test/a.json", "test/b_test.json"], {"test": "test/b_test.json"}, id="named in folder"
        ),
        pytest.param(
            ["a.json", ".b.json", "c.txt", "out/textdet_train.json"],
            {"train": "a.json"},
            id="hidden and other files",
        ),
        pytest.param(["train_val.json"], {"train": "train_val.json"}, id="two parts' words"),
        pytest.param(["train_val.json", "test.json"], {"test": "test.json"}, id="one part's word"),
    ],
)
def test_label_files(tmp_path: Path, names: list[str], parts: dict[str, str]) -> None:
    make_files(tmp_path, *names)
    assert label_files(tmp_path) == parts


def test_files_of_ppocrlabel(tmp_path: Path) -> None:
    make_files(tmp_path, "Label.txt", "fileState.txt", "rec_gt.txt", "Cache.cach", "crop_img/a.jpg")
    assert label_files(tmp_path, ".txt", "label") == {"train": "Label.txt"}


def test_annotation_files_of_an_earlier_run_are_no_labels(tmp_path: Path) -> None:
    make_files(tmp_path, "a.json", "textdet_train.json", "textdet_trainpart.json")
    form = LabelFormat("", [".json"], "instances", read=lambda *_: [])
    found = form.find_files(tmp_path, tmp_path / ".")
    assert found == {"train": (tmp_path / "a.json", tmp_path)}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a.json", "b.json"], "a.json and .*b.json may both be the labels of the part 'train'"),
        (["x_test.json", "y_test.json"], "x_test.json and .*y_test.json .* the part 'test'"),
        (["a.jpg"], "have no label file"),
        (["train/a.json", "test/a.jpg"], "test and its folders have no label file"),
        (["train/a.json", "training/a.json"], "are both the part 'train', rename one"),
    ],
)
def test_labels_that_are_unclear(tmp_path: Path, names: list[str], reason: str) -> None:
    make_files(tmp_path, *names)
    with pytest.raises(UserError, match=reason):
        label_files(tmp_path)


def test_copy_of_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_files(tmp_path, "raw/train/a.jpg")
    assert open_raw(Request(tmp_path / "raw", tmp_path / "out", copy=False)) == tmp_path / "raw"
    monkeypatch.chdir(tmp_path / "raw")
    # Not .../train, although that is the only folder.
    assert open_raw(Request(Path(), tmp_path / "out", copy=True)) == tmp_path / "out" / "raw"
    assert (tmp_path / "out" / "raw" / "train" / "a.jpg").is_file()
    assert open_raw(Request(tmp_path / "raw", tmp_path, copy=True)) == tmp_path / "raw"
    for out in ("raw/out", "raw/train"):
        with pytest.raises(UserError, match="choose an --out outside of it"):
            open_raw(Request(tmp_path / "raw", tmp_path / out, copy=True))
    with pytest.raises(UserError, match="none is not a folder"):
        open_raw(Request(tmp_path / "none", tmp_path, copy=False))


@pytest.mark.parametrize(
    ("name", "files", "found"),
    [
        pytest.param("1.jpg", ["labels/1.jpg", "1.jpg"], "labels/1.jpg", id="beside the labels"),
        pytest.param("a/1.jpg", ["a/1.jpg", "b/a/1.jpg"], "a/1.jpg", id="in the part's folder"),
        pytest.param("../c/1.jpg", ["c/1.jpg"], "labels/../c/1.jpg", id="parent"),
        pytest.param("a\\1.jpg", ["a/1.jpg"], "a/1.jpg", id="backslash"),
        pytest.param("./1.jpg", ["1.jpg"], "1.jpg", id="dot"),
        pytest.param("a/1.jpg", ["imgs/a/1.jpg", "b/1.jpg"], "imgs/a/1.jpg", id="prefix"),
        pytest.param("1.jpg", ["x/xa1.jpg", "x/1.jpg"], "x/1.jpg", id="whole names"),
        pytest.param("1.JPG", ["x/1.JPG", "y/1.jpg"], "x/1.JPG", id="case"),
        pytest.param(
            "1.jpg", ["im/val/1.jpg", "im/train/1.jpg"], "im/train/1.jpg", id="the part's own"
        ),
        pytest.param("mine/1.jpg", ["1.jpg"], "1.jpg", id="PPOCRLabel, folder renamed"),
        pytest.param("C:\\me\\a\\1.jpg", ["a/1.jpg"], "a/1.jpg", id="another computer"),
        pytest.param("/home/none/me/1.jpg", ["1.jpg"], "1.jpg", id="absolute"),
        pytest.param("a b%201.jpg", ["x/a b 1.jpg", "a b.jpg"], "x/a b 1.jpg", id="percent"),
        pytest.param("a%20.jpg", ["x/a .jpg", "y/a%20.jpg"], "y/a%20.jpg", id="as written first"),
    ],
)
def test_images_are_found(tmp_path: Path, name: str, files: list[str], found: str) -> None:
    make_files(tmp_path, "labels/train.json", *files)
    finder = finder_in(tmp_path)
    image = finder.find(JsonNode(name, "train.json"), tmp_path / "labels/train.json")
    assert image == tmp_path / found


@pytest.mark.parametrize(
    ("name", "files", "reason"),
    [
        ("1.jpg", ["a/2.jpg", ".x/1.jpg"], "no image 1.jpg in"),
        ("1.jpg", ["a/1.jpg", "b/1.jpg"], "a/1.jpg and .*b/1.jpg are both named so"),
        ("b/1.jpg", ["a/1.jpg", "c/1.jpg"], "a/1.jpg and .*c/1.jpg are both named so"),
        ("É.jpg", ["x/é.jpg", "y/E\u0301.jpg"], "are both named so"),
        (f"{'x' * 5000}.jpg", ["a/2.jpg"], "no image xxx"),
        ("a\0.jpg", ["a/2.jpg"], "no image a"),
        ("", ["a/1.jpg"], "is empty"),
        ("a", ["a/1.jpg"], "no image a in"),
    ],
)
def test_images_that_are_not_found(
    tmp_path: Path, name: str, files: list[str], reason: str
) -> None:
    make_files(tmp_path, *files)
    with pytest.raises(UserError, match=f"^train.json: x\\[2\\]: .*{reason}"):
        finder_in(tmp_path).find(JsonNode(name, "train.json", "x[2]"), tmp_path / "l")


# What Label Studio, X-AnyLabeling and others write for images/ab12-x 1.png.
ADDRESSES = [
    "..\\..\\media\\upload\\4\\ab12-x 1.png",
    "images/4/ab12-x 1.png",
    "/data/local-files/?d=scans/ab12-x 1.png",
    "/data/local-files/?d=scans%2Fab12-x%201.png",
    "https://host:8080/data/upload/4/ab12-x%201.png?token=a/b#c",
    "s3://bucket/scans/ab12-x 1.png",
    "file:///home/me/ab12-x%201.png",
    "upload/4/AB12-X 1.PNG",
]


@pytest.mark.parametrize("name", ADDRESSES)
def test_images_are_found_by_their_names(tmp_path: Path, name: str) -> None:
    make_files(tmp_path, "labels.json", "images/ab12-x 1.png", "images/x 1.png")
    with gathering() as gathered:
        image = finder_in(tmp_path).find(JsonNode(name, "l", "x"), tmp_path / "labels.json")
    assert image == tmp_path / "images/ab12-x 1.png"
    (doubt,) = gathered.describe_doubts() or [""]
    assert ("case or Unicode form" in doubt) == (name == ADDRESSES[-1])


@pytest.mark.parametrize(("written", "on_disk"), [("ü", "u\u0308"), ("u\u0308", "ü"), ("Ü", "ü")])
def test_unicode_forms_and_case(tmp_path: Path, written: str, on_disk: str) -> None:
    make_files(tmp_path, f"a/Gr{on_disk}n.jpg", "b/Gran.jpg")
    with gathering() as gathered:
        found = finder_in(tmp_path).find(JsonNode(f"Gr{written}n.JPG", "l"), tmp_path / "l.json")
    assert found.parent.name == "a"
    assert len(gathered.doubts) == 1


def test_image_named_twice(tmp_path: Path) -> None:
    make_files(tmp_path, "a/1.jpg", "b/2.jpg")
    finder = finder_in(tmp_path)
    finder.find(JsonNode("a/1.jpg", "l", "x[0]"), tmp_path / "l")
    with pytest.raises(UserError, match=r"^l: x\[5\]: .* has labels already, in l: x\[0\]"):
        finder.find(JsonNode("b/../a/1.jpg", "l", "x[5]"), tmp_path / "l")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([0, 0, 1, 0, 1], "5 numbers are no pairs"),
        ([0, 0, 1, 0], "2 points, but 3 are needed"),
        ([0, 0, 1, 0, 1, "1"], r'p\[5\]: expected a coordinate in pixels, found "1"'),
        ([0, 0, 1, 0, 1, True], r"p\[5\]: .* found true"),
        ([0, 0, 1, 0, 1, None], r"p\[5\]: .* found null"),
        ([0, 0, 1, 0, 1, float("nan")], r"p\[5\]: .* found NaN"),
        ([0, 0, 1, 0, 1, float("inf")], r"p\[5\]: .* found Infinity"),
        ([0, 0, 1, 0, 1, 10**400], r"p\[5\]: .* found 10000"),
        ([[0, 0], [1, 1], [0, 1]], r"p\[0\]: expected a coordinate in pixels, found \[0, 0\]"),
        ("0,0,1,0,1,1", "expected a list"),
    ],
)
def test_polygons_that_are_none(value: object, reason: str) -> None:
    document = JsonNode(json.loads(json.dumps({"p": value})), "a.json")
    with pytest.raises(UserError, match=rf"^a\.json: .*{reason}"):
        document.field("p").flat_polygon()


def test_pairs_that_are_none() -> None:
    for value, reason in (([[0, 0], [1], [2, 2]], "point 1 has 1 numbers"), ([], "0 points")):
        with pytest.raises(UserError, match=reason):
            JsonNode(value, "a.json").points()
