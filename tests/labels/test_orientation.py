"""Photos that viewers turn: which picture their labels mean, and coordinates of the other one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from dbnet.cli.prepare import main
from dbnet.labels.user_entries import to_stored

BOX = [[3, 2], [9, 2], [9, 6], [3, 6]]  # within both pictures
HIGH = [[3, 2], [9, 2], [9, 38], [3, 38]]  # within 30 x 40 alone
FLAT = {"box": [n for pair in BOX for n in pair], "high": [n for pair in HIGH for n in pair]}


def save_photo(path: Path, orientation: int, size: tuple[int, int] = (40, 30)) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, exif=exif)


def save_labels(raw: Path, name: str, points: list, **size: int) -> None:
    flat = [number for pair in points for number in pair]
    image = {"id": 1, "file_name": "1.jpg", "img_path": "1.jpg", **size}
    image["instances"] = [{"polygon": flat}]
    annotation = {"image_id": 1, "segmentation": [flat]}
    shape = {"label": "a", "points": points}
    contents = {
        "paddleocr": ("Label.txt", f'1.jpg\t[{{"transcription": "a", "points": {points}}}]'),
        "icdar_folder": ("1.txt", ",".join(map(str, flat)) + ",a"),
        "coco": ("a.json", json.dumps({"images": [image], "annotations": [annotation]})),
        "mmocr": ("a.json", json.dumps({"data_list": [image]})),
        "labelme": ("1.json", json.dumps({"shapes": [shape], "imagePath": "1.jpg"})),
    }
    file, content = contents[name]
    (raw / file).write_text(content)


def run(name: str, raw: Path, *options: str) -> int:
    return main([name, "--raw", str(raw), "--out", str(raw.parent / "out"), *options])


def polygon(raw: Path) -> list[float]:
    path = raw.parent / "out" / "textdet_train.json"
    ((word,),) = (e["instances"] for e in json.loads(path.read_text())["data_list"])
    path.unlink()
    return word["polygon"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_stored_points_are_where_pillow_takes_them_from(orientation: int) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)  # each has a value of its own
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    displayed = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.indices(displayed.shape)
    points = np.stack([columns.ravel(), rows.ravel()], axis=1)
    x, y = to_stored(points, orientation, (3, 4)).T
    np.testing.assert_array_equal(pixels[y, x], displayed.ravel())
    assert points[0].tolist() == [0, 0]  # left alone


@pytest.mark.parametrize("name", ["paddleocr", "icdar_folder", "coco", "mmocr"])
def test_labels_that_do_not_say_which_view(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    save_photo(raw / "1.jpg", orientation=6)
    save_labels(raw, name, BOX)
    assert run(name, raw) == 0
    assert polygon(raw) == FLAT["box"]
    warning = capsys.readouterr().err
    assert warning.startswith("warning: photos have an EXIF orientation, and their labels do not")
    assert f"(1, the first: {raw / '1.jpg'})" in warning
    assert run(name, raw, "--orientation", "stored") == 0
    assert polygon(raw) == FLAT["box"]
    assert run(name, raw, "--orientation", "displayed") == 0
    assert polygon(raw) == [2, 26, 2, 20, 6, 20, 6, 26]  # (u, v) is stored at (v, 29 - u)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["paddleocr", "icdar_folder", "coco", "mmocr"])
def test_texts_beyond_the_stored_picture(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    save_photo(raw / "1.jpg", orientation=6)
    save_labels(raw, name, HIGH)
    assert run(name, raw) == 1
    error = capsys.readouterr().err
    assert "EXIF orientation 6 is the likely cause" in error
    assert "--orientation displayed" in error
    assert run(name, raw, "--orientation", "displayed") == 0
    assert polygon(raw) == [2, 26, 2, 20, 38, 20, 38, 26]
    save_photo(raw / "1.jpg", orientation=1)
    assert run(name, raw) == 0  # an upright picture's texts may reach out of it
    assert polygon(raw) == FLAT["high"]


@pytest.mark.parametrize("name", ["coco", "mmocr"])
def test_a_stated_size_tells_the_view(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    save_photo(raw / "1.jpg", orientation=8)
    save_labels(raw, name, BOX, height=30, width=40)
    assert run(name, raw) == 0
    assert (polygon(raw), capsys.readouterr().err) == (FLAT["box"], "")
    save_labels(raw, name, BOX, height=40, width=30)
    assert run(name, raw) == 1
    assert "--orientation displayed" in capsys.readouterr().err
    assert run(name, raw, "--orientation", "displayed") == 0
    assert polygon(raw) == [37, 3, 37, 9, 33, 9, 33, 3]  # (u, v) is stored at (39 - v, u)
    save_labels(raw, name, BOX, height=41, width=30)
    assert run(name, raw, "--orientation", "displayed") == 1


def test_labelme_is_turned_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    save_photo(raw / "1.jpg", orientation=3)
    save_labels(raw, "labelme", BOX)
    assert run("labelme", raw) == 1
    assert "as its EXIF orientation shows it" in capsys.readouterr().err
    assert run("labelme", raw, "--orientation", "displayed") == 0
    assert polygon(raw) == [36, 27, 30, 27, 30, 23, 36, 23]  # (39 - u, 29 - v)
    assert run("labelme", raw, "--orientation", "stored") == 0
    assert polygon(raw) == FLAT["box"]
