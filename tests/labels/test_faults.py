"""All faults of a set at once, what is left out of it, and sets in which nothing is in pixels."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from dbnet.cli.prepare import main
from dbnet.errors import UserError
from dbnet.labels.faults import gathering, note_doubt, readable

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4]]
FLAT = [0, 0, 4, 0, 4, 4, 0, 4]
QUAD = "0,0,4,0,4,4,0,4"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with the images 1.jpg to 3.jpg, 40 x 30 pixels."""
    (tmp_path / "raw").mkdir()
    for number in (1, 2, 3):
        Image.new("RGB", (40, 30)).save(tmp_path / "raw" / f"{number}.jpg")
    return tmp_path / "raw"


def run(name: str, raw: Path, *options: str) -> int:
    return main([name, "--raw", str(raw), "--out", str(raw.parent / "out"), *options])


def written(raw: Path) -> list[tuple[str, int]]:
    """Return the name of each image, and how many words it has."""
    document = json.loads((raw.parent / "out" / "textdet_train.json").read_text())
    return [(Path(e["img_path"]).name, len(e["instances"])) for e in document["data_list"]]


def save_labelme(raw: Path) -> None:
    kinds = {"1": ["polygon", "circle"], "2": ["point", "polygon", "line"], "4": ["polygon"]}
    for stem, shapes in kinds.items():
        document = {
            "shapes": [{"label": "a", "points": SQUARE, "shape_type": kind} for kind in shapes],
            "imagePath": f"{stem}.jpg",
        }
        (raw / f"{stem}.json").write_text(json.dumps(document))
    (raw / "5.json").write_text("{")


def save_label_txt(raw: Path) -> None:
    good, bad = {"transcription": "a", "points": SQUARE}, {"transcription": "a", "points": []}
    lines = [("1.jpg", [good, bad]), ("7.jpg", [good]), ("2.jpg", [good]), ("8.jpg", [good])]
    content = "".join(f"{name}\t{json.dumps(labels)}\n" for name, labels in lines)
    (raw / "Label.txt").write_text(content + "no tab\n")


def save_coco(raw: Path) -> None:
    annotations = [
        {"image_id": 1, "segmentation": [FLAT]},
        {"image_id": 1},
        {"image_id": 9, "bbox": [1, 2, 3, 4]},
        {"image_id": 2, "bbox": [1, 2, -3, 4]},
    ]
    images = [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2, 4)]
    (raw / "a.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def save_mmocr(raw: Path) -> None:
    entries = [
        {"img_path": "1.jpg", "instances": [{"polygon": FLAT}, {"polygon": FLAT[:4]}]},
        {"img_path": "2.jpg"},
        {"img_path": "3.jpg", "height": 31, "instances": []},
    ]
    (raw / "textdet_train.json").write_text(json.dumps({"data_list": entries}))


def save_mmocr0(raw: Path) -> None:
    lines = [
        {"file_name": "1.jpg", "annotations": [{"segmentation": [FLAT]}, {}]},
        {"file_name": "4.jpg", "annotations": []},
    ]
    (raw / "a.txt").write_text("{\n" + "\n".join(map(json.dumps, lines)))


def save_icdar(raw: Path) -> None:
    (raw / "1.txt").write_text(f"{QUAD},a\n1,2,3,a\n{QUAD},b\n")
    (raw / "2.txt").write_text(f"{QUAD},a\nb\n")
    (raw / "4.txt").write_text("")


SETS = {
    "labelme": (save_labelme, 5, [("1.jpg", 1), ("2.jpg", 1)]),
    "paddleocr": (save_label_txt, 4, [("1.jpg", 1), ("2.jpg", 1)]),
    "coco": (save_coco, 4, [("1.jpg", 1), ("2.jpg", 0)]),
    "mmocr": (save_mmocr, 3, [("1.jpg", 1)]),
    "mmocr0": (save_mmocr0, 3, [("1.jpg", 1)]),
    "icdar_folder": (save_icdar, 4, [("1.jpg", 2), ("2.jpg", 1)]),  # 3.jpg has no text file
}


@pytest.mark.parametrize("name", SETS)
def test_all_faults_at_once(name: str, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save, num_faults, kept = SETS[name]
    save(raw)
    assert run(name, raw) == 1
    *faults, summary = capsys.readouterr().err.splitlines()
    assert len(set(faults)) == len(faults) == num_faults
    assert summary.startswith(f"error: {num_faults} faults; nothing is written: fix them, or")
    assert not (raw.parent / "out").exists()

    assert run(name, raw, "--skip-faulty") == 0
    assert written(raw) == kept
    with (raw.parent / "out" / "faulty.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"error: {row['place']}: {row['problem']}" for row in rows if row["place"]] == [
        fault for fault in faults if ": " in fault.removeprefix("error: ")
    ]
    assert len(rows) == num_faults
    assert f"faulty.csv: {num_faults} faults" in capsys.readouterr().out


def test_a_public_set_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "test"):
        folder = tmp_path / "raw" / "MSRA-TD500" / part
        folder.mkdir(parents=True)
        for number in (1, 2):
            Image.new("RGB", (40, 30)).save(folder / f"{number}.jpg")
            (folder / f"{number}.gt").write_text("0 0 1 2 9 9 0\n0 0 1\n")
        (folder / "2.jpg").write_bytes(b"none")
    assert run("td500", tmp_path / "raw") == 1
    faults = capsys.readouterr().err.splitlines()
    assert faults[-1].startswith("error: 6 faults")  # of each part two lines and an image
    assert not list(tmp_path.glob("out/*"))
    assert run("td500", tmp_path / "raw", "--skip-faulty") == 0
    assert written(tmp_path / "raw") == [("1.jpg", 1)]


def test_twenty_faults_are_shown(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "Label.txt").write_text("".join(f"x{number}.jpg\t[]\n" for number in range(25)))
    assert run("paddleocr", raw) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 21
    assert "line 20: path: no image x19.jpg" in lines[19]
    assert lines[20].startswith("error: 25 faults, the first 20 above; nothing is written")
    assert run("paddleocr", raw, "--skip-faulty") == 1  # nothing is left
    assert not (raw.parent / "out").exists()


def test_without_faults_the_list_is_empty(raw: Path) -> None:
    (raw / "Label.txt").write_text("1.jpg\t[]\n")
    assert run("paddleocr", raw, "--skip-faulty") == 0
    assert (raw.parent / "out" / "faulty.csv").read_text() == "place,problem\n"


def test_faults_stop_where_nobody_gathers() -> None:
    def fail(item: int) -> int:
        if item == 2:
            raise UserError("two")
        return item

    with pytest.raises(UserError, match="two"):
        list(readable(fail, [1, 2, 3]))
    note_doubt("here", "odd")  # heard by nobody
    with gathering() as gathered:
        assert list(readable(fail, [1, 2, 3])) == [1, 3]
        note_doubt("here", "odd")
        note_doubt("there", "odd")
    assert gathered.faults == ["two"]
    assert gathered.describe_doubts() == ["odd (2, the first: here)"]


# ---------------------------------------------------------------- folders by name


@pytest.mark.parametrize("name", ["labelme", "paddleocr", "coco", "mmocr"])
def test_folders_by_name(raw: Path, name: str) -> None:
    (raw / "deep" / "texts").mkdir(parents=True)
    (raw / "deep" / "photos").mkdir()
    (raw / "1.jpg").rename(raw / "deep" / "photos" / "1.jpg")
    image = {"id": 1, "file_name": "1.jpg", "img_path": "1.jpg", "instances": []}
    file, content = {
        "labelme": ("1.json", json.dumps({"shapes": [], "imagePath": "1.jpg"})),
        "paddleocr": ("Label.txt", "1.jpg\t[]"),
        "coco": ("a.json", json.dumps({"images": [image], "annotations": []})),
        "mmocr": ("a.json", json.dumps({"data_list": [image]})),
    }[name]
    (raw / "deep" / "texts" / file).write_text(content)
    folders = ["--labels", str(raw / "deep" / "texts"), "--images", str(raw / "deep" / "photos")]
    assert run(name, raw, *folders) == 0
    assert written(raw) == [("1.jpg", 0)]


@pytest.mark.parametrize("name", ["paddleocr", "coco", "mmocr", "icdar_folder"])
def test_linked_folders_are_followed(raw: Path, name: str) -> None:
    photos = raw.parent / "photos"
    photos.mkdir()
    (raw / "1.jpg").rename(photos / "1.jpg")
    (raw / "2.jpg").unlink()
    (raw / "3.jpg").unlink()
    (raw / "images").symlink_to(photos, target_is_directory=True)
    image = {"id": 1, "file_name": "1.jpg", "img_path": "1.jpg", "instances": []}
    file, content = {
        "paddleocr": ("Label.txt", "1.jpg\t[]"),
        "coco": ("a.json", json.dumps({"images": [image], "annotations": []})),
        "mmocr": ("a.json", json.dumps({"data_list": [image]})),
        "icdar_folder": ("1.txt", ""),
    }[name]
    (raw / file).write_text(content)
    assert run(name, raw) == 0
    assert written(raw) == [("1.jpg", 0)]


# ---------------------------------------------------------------- fractions


@pytest.mark.parametrize("name", ["paddleocr", "coco", "mmocr", "labelme"])
def test_fractions_are_no_pixels(raw: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [[0.1, 0.1], [0.3, 0.1], [0.3, 0.2], [0.1, 1]]
    flat = [number for pair in pairs for number in pair]
    word = {"transcription": "a", "label": "a", "points": pairs, "shape_type": "polygon"}
    images = [
        {"id": 1, "file_name": "1.jpg", "img_path": "1.jpg", "instances": [{"polygon": flat}]}
    ]
    annotations = [{"image_id": 1, "segmentation": [flat]}]
    contents = {
        "paddleocr": ("Label.txt", f"1.jpg\t{json.dumps([word])}"),
        "coco": ("a.json", {"images": images, "annotations": annotations}),
        "mmocr": ("a.json", {"data_list": images}),
        "labelme": ("1.json", {"shapes": [word], "imagePath": "1.jpg"}),
    }
    file, content = contents[name]
    (raw / file).write_text(content if isinstance(content, str) else json.dumps(content))
    assert run(name, raw) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: all coordinates of the part 'train' lie between 0 and 1")
    assert error.count("\n") == 1
    assert not list(raw.parent.glob("out/*"))


# ---------------------------------------------------------------- PPOCRLabel's difficult


def test_difficult_words_are_counted_and_can_be_kept(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = {"transcription": "a", "points": SQUARE, "difficult": True}
    labels = [label, {**label, "transcription": "###"}, label, {**label, "difficult": False}]
    (raw / "Label.txt").write_text(f"1.jpg\t{json.dumps(labels)}\n")
    assert run("paddleocr", raw) == 0
    output = capsys.readouterr()
    assert "4 words, 1 words that count" in output.out
    assert output.err.startswith("warning: words marked difficult are ignored, though PaddleOCR")
    assert (
        f"--keep-difficult keeps them (2, the first: {raw / 'Label.txt'}, line 1: [0])"
        in output.err
    )
    (raw.parent / "out" / "textdet_train.json").unlink()
    assert run("paddleocr", raw, "--keep-difficult") == 0
    output = capsys.readouterr()
    assert "4 words, 3 words that count" in output.out
    assert output.err == ""
