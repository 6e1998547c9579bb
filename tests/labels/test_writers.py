"""What is written for a tool is read again as the same polygons; nothing is overwritten."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dbnet.cli.convert_labels import main as convert
from dbnet.cli.options.data import WRITTEN
from dbnet.cli.prepare import main as prepare
from dbnet.errors import UserError
from dbnet.labels import recognise
from dbnet.labels.entries import Instance
from dbnet.labels.label_files import check_label_files, fill, make_pages, write_label_files
from dbnet.labels.user_entries import to_stored
from dbnet.labels.writers import WRITERS

READER = {"icdar": "icdar_folder"}
# A quad, a triangle with fractions, a curved text of 10 corners, one that reaches out.
POLYGONS = [
    [10, 20, 110, 22, 109, 61, 9, 60],
    [200.12, 30.49, 333.333, 31.005, 250.25, 77.777],
    [20, 100, 60, 90, 100, 88, 140, 90, 180, 100, 178, 120, 140, 110, 100, 108, 60, 110, 22, 120],
    [-0.5, 150, 399.5, 150.25, 399, 199, 0, 199.5],
]
TEXTS = ["12,50", "Exit €", 'say "hé" & <go>', ""]
IGNORED = [False, False, False, True]
SHAPE = (200, 400)


def words() -> list[Instance]:
    polygons = [np.reshape(polygon, (-1, 2)) for polygon in POLYGONS]
    return [Instance(*facts) for facts in zip(polygons, TEXTS, IGNORED)]


def exif(value: int) -> Image.Exif:
    facts = Image.Exif()
    facts[274] = value
    return facts


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with 1.jpg and deeper/2 b.jpg."""
    (tmp_path / "photos" / "deeper").mkdir(parents=True)
    for name in ("1.jpg", "deeper/2 b.jpg"):
        Image.new("RGB", SHAPE[::-1]).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def write(photos: Path, out: Path, name: str, scores: list[float] | None = None) -> None:
    pages = make_pages([photos / "1.jpg", photos / "deeper" / "2 b.jpg"])
    writer = WRITERS[name]
    pages[0] = fill(pages[0], writer.view, words(), "stored", scores)
    pages[1] = fill(pages[1], writer.view, [], "stored", scores and [])
    write_label_files(pages, out, writer, "model 7")


def read(folder: Path, part: str = "train") -> list[dict]:
    return json.loads((folder / f"textdet_{part}.json").read_text(encoding="utf-8"))["data_list"]


@pytest.mark.parametrize("scores", [None, [0.9, 0.5, 0.75, 1.0]])
@pytest.mark.parametrize("name", WRITTEN)
def test_round_trip(name: str, scores: list[float] | None, photos: Path) -> None:
    out, again = photos.parent / "labels", photos.parent / "again"
    write(photos, out, name, scores)
    assert recognise(out) == READER.get(name, name)
    source = ["--images", str(photos)] if name != "icdar" else []
    if name == "icdar":  # which lists no images in other folders
        os.rename(photos / "deeper" / "2 b.jpg", photos / "2 b.jpg")
        os.rename(out / "deeper" / "gt_2 b.txt", out / "gt_2 b.txt")
        source = ["--images", str(photos)]
    command = [READER.get(name, name), "--raw", str(out), "--labels", str(out), *source]
    assert prepare([*command, "--out", str(again)]) == 0
    entries = sorted(read(again), key=lambda entry: len(entry["img_path"]))
    assert [len(entry["instances"]) for entry in entries] == [4, 0]
    found = entries[0]["instances"]
    if name in ("cvat", "labelstudio", "icdar"):
        last = "###" if name == "icdar" else ""
        assert [word["text"] for word in found] == [*TEXTS[:3], last]
    assert [word["ignore"] for word in found] == IGNORED
    for word, polygon in zip(found, POLYGONS):
        inside = np.clip(np.reshape(polygon, (-1, 2)), 0, (399, 199)).ravel()  # of predictions
        np.testing.assert_allclose(word["polygon"], inside if scores else polygon, atol=0.01)


@pytest.mark.parametrize("name", WRITTEN)
def test_nothing_is_overwritten(name: str, photos: Path) -> None:
    write(photos, photos, name)
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="is there already and will not be overwritten"):
        write(photos, photos, name, [0.5] * 4)
    assert before == {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}


def test_images_named_alike_are_refused(photos: Path) -> None:
    pages = make_pages([photos / "a.jpg", photos / "A.png"])  # of which none is opened
    with pytest.raises(UserError, match="would be the same file; rename one of the images"):
        check_label_files(pages, photos, WRITERS["labelme"])
    check_label_files(pages, photos, WRITERS["coco"])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_photos_are_turned_for_tools_that_turn(orientation: int, tmp_path: Path) -> None:
    """A pixel's place in the displayed picture, by Pillow, is that in the page."""
    stored = np.zeros((*SHAPE, 3), np.uint8)
    stored[31, 57] = 255
    Image.fromarray(stored).save(tmp_path / "1.png", exif=exif(orientation))
    word = Instance(np.array([[57.0, 31.0], [58, 31], [58, 32]]), "", False)
    [page] = make_pages([tmp_path / "1.png"])
    displayed = fill(page, "displayed", [word], "stored")
    with Image.open(tmp_path / "1.png") as image:
        from PIL import ImageOps

        shown = np.asarray(ImageOps.exif_transpose(image))
    assert displayed.shape == shown.shape[:2]
    x, y = displayed.instances[0].polygon[0].astype(int)
    assert shown[y, x].tolist() == [255] * 3
    back = to_stored(displayed.instances[0].polygon, orientation, SHAPE)
    np.testing.assert_allclose(back, word.polygon)
    again = fill(page, "stored", displayed.instances, "displayed")
    np.testing.assert_allclose(again.instances[0].polygon, word.polygon)
    assert again.shape == SHAPE


def test_predictions_keep_scores_and_model(photos: Path) -> None:
    for name in ("labelstudio", "coco", "labelme"):
        write(photos, photos, name, [0.9, 0.5, 0.75, 1.0])
    [task, _] = json.loads((photos / "tasks.json").read_text(encoding="utf-8"))
    assert task["data"] == {"image": "/data/local-files/?d=photos/1.jpg"}
    [prediction] = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("model 7", 0.7875)
    assert "annotations" not in task
    coco = json.loads((photos / "instances.json").read_text(encoding="utf-8"))
    assert [item["score"] for item in coco["annotations"]] == [0.9, 0.5, 0.75, 1.0]
    labelme = json.loads((photos / "1.json").read_text(encoding="utf-8"))
    assert [shape["score"] for shape in labelme["shapes"]] == [0.9, 0.5, 0.75, 1.0]
    assert (labelme["imagePath"], labelme["imageHeight"]) == ("1.jpg", 200)


def test_state_of_labels_and_predictions(photos: Path) -> None:
    write(photos, photos.parent / "a", "paddleocr")
    write(photos, photos.parent / "b", "paddleocr", [0.5] * 4)
    state = (photos.parent / "a" / "fileState.txt").read_text(encoding="utf-8")
    assert state == f"{photos}/1.jpg\t1\n{photos}/deeper/2 b.jpg\t1\n"
    assert (photos.parent / "b" / "fileState.txt").read_text(encoding="utf-8") == ""
    lines = (photos.parent / "a" / "Label.txt").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "photos/deeper/2 b.jpg\t[]"


# ---------------------------------------------------------------- dbnet convert-labels


def test_convert_labels(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(photos, photos, "coco")
    assert convert([str(photos), str(photos), "--to", "cvat"]) == 0
    assert "1 file for CVAT, 2 images, 4 words" in capsys.readouterr().out
    assert convert([str(photos), str(photos), "--to", "yolo", "--from", "cvat"]) == 0
    lines = (photos / "labels" / "1.txt").read_text().splitlines()
    assert lines[0] == "0 0.025 0.1 0.275 0.11 0.2725 0.305 0.0225 0.3"
    assert [line[0] for line in lines] == ["0", "0", "0", "1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "cvat"], "photos has no label file that is known; pass --from FORMAT"),
        (["--to", "cvat", "--from", "vocc"], "unknown dataset 'vocc', did you mean 'voc'?"),
        (["--to", "cvat", "--from", "icdar2015"], "--from icdar2015: only icdar_folder, coco"),
        (["--to", "cvat", "--from", "voc"], "has no label file of this format (*.xml"),
    ],
)
def test_mistakes_of_conversion(
    options: list[str], message: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert([str(photos), str(photos.parent / "out"), *options]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (photos.parent / "out").exists()


def test_labels_that_exist_are_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(photos, photos, "coco")
    (photos / "annotations.xml").write_text("mine")
    assert convert([str(photos), str(photos), "--to", "cvat", "--from", "coco"]) == 1
    assert "annotations.xml is there already and will not be" in capsys.readouterr().err
    assert (photos / "annotations.xml").read_text() == "mine"


def test_two_formats_need_a_choice(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(photos, photos, "coco")
    write(photos, photos, "cvat")
    assert convert([str(photos), str(photos.parent / "out"), "--to", "yolo"]) == 1
    error = capsys.readouterr().err
    assert "annotations.xml of cvat and " in error
    assert "pass --from FORMAT" in error
