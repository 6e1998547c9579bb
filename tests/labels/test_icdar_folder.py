import json
import re
from pathlib import Path

import pytest
from PIL import Image

from dbnet.cli.prepare import main
from dbnet.labels.text_formats import line_style, parse_line

QUAD = "0,0,4,0,4,4,0,4"
PENTAGON = f"{QUAD},-1,2"


def parse_folder(lines: list[str]) -> list[tuple[list[float], str, bool]]:
    style = line_style(lines)
    parsed = [parse_line(line, style) for line in lines]
    return [(polygon.ravel().tolist(), text, ignored) for polygon, text, ignored, _ in parsed]


def split(line: str, count: int, ignored: bool = False) -> tuple[list[float], str, bool]:
    """Return what `parse_line` should, if the first `count` fields are the polygon."""
    fields = line.split(",")
    return [float(field) for field in fields[:count]], ",".join(fields[count:]), ignored


@pytest.mark.parametrize(
    ("line", "others", "count"),
    [
        pytest.param(QUAD, [], 8, id="no transcription"),
        pytest.param(f"{QUAD},", [], 8, id="empty transcription"),
        pytest.param(f"{QUAD},word", [], 8, id="word"),
        pytest.param(f"{QUAD},a, 1,2", [], 8, id="word with commas and numbers"),
        pytest.param(f"{QUAD},2024", [f"{QUAD},word"], 8, id="number among words"),
        pytest.param(f"{QUAD},0123", [], 8, id="number alone"),
        pytest.param(f"{QUAD},12,50", [f"{QUAD},word"], 8, id="price among words"),
        pytest.param(f"{QUAD},12,50", [f"{QUAD},7"], 8, id="price among numbers"),
        pytest.param(f"{QUAD},1,000,000", [f"{QUAD},7"], 8, id="million"),
        pytest.param(f"{QUAD},12,50 EUR", [], 8, id="price with a unit"),
        pytest.param(f"{QUAD},nan", [], 8, id="not a number but a word"),
        pytest.param(f"{QUAD},1_0", [], 8, id="underscore"),
        pytest.param(f"{QUAD},٣,٤", [], 8, id="digit of another script"),
        pytest.param(PENTAGON, [QUAD], 10, id="polygons without transcriptions"),
        pytest.param(f"{PENTAGON},word", [f"{QUAD},word"], 10, id="polygons with words"),
        pytest.param(PENTAGON, [f"{PENTAGON},word"], 10, id="transcription missing"),
        pytest.param(f"{PENTAGON},7", [f"{PENTAGON},word"], 10, id="polygon with a number"),
        pytest.param("0,0,4,0,4,4", [QUAD], 6, id="triangle"),
        pytest.param("0,0,4,0,4,4,word", [f"{QUAD},word"], 6, id="triangle with a word"),
    ],
)
def test_where_the_transcription_begins(line: str, others: list[str], count: int) -> None:
    assert parse_folder([line, *others])[0] == split(line, count)


@pytest.mark.parametrize(
    ("line", "others", "text"),
    [
        ("1,2,8,9", [], ""),
        ("1,2,8,9,word", [], "word"),
        ("1,2,8,9,50", [], "50"),
        ("1,2,8,9,12,50", ["1,2,8,9,word"], "12,50"),
        ("1,2,8,9,12,50,-", ["1,2,8,9,word"], "12,50,-"),
        (" 1, 2, 8, 9, word", [], " word"),
    ],
)
def test_boxes_of_four_numbers(line: str, others: list[str], text: str) -> None:
    assert parse_folder([line, *others])[0] == ([1, 2, 8, 2, 8, 9, 1, 9], text, False)


def test_unreadable_words_are_ignored() -> None:
    lines = [f"{QUAD},###", f"{QUAD}, ###", f"{QUAD},####", "1,2,8,9,###"]
    assert [ignored for _, _, ignored in parse_folder(lines)] == [True, True, False, True]


# ---------------------------------------------------------------- whole runs


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def add(folder: Path, image: str, text: str | None, content: str = "") -> None:
    for path in (folder / image, folder / (text or image)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not image.endswith("/"):
        Image.new("RGB", (40, 30)).save(
            folder / image, format="JPEG" if image.endswith(".jfif") else None
        )
    if text:
        (folder / text).write_text(content, encoding="utf-8")


def run(raw: Path, *options: str) -> int:
    return main(["icdar_folder", "--raw", str(raw), "--out", str(raw.parent / "out"), *options])


def read(raw: Path, part: str) -> list[dict]:
    path = raw.parent / "out" / f"textdet_{part}.json"
    return json.loads(path.read_text(encoding="utf-8"))["data_list"]


@pytest.mark.parametrize(
    ("image", "text"),
    [
        ("img_{}.jpg", "gt_img_{}.txt"),
        ("img_{}.jpg", "img_{}.txt"),
        ("images/{}.png", "gt/gt_{}.txt"),
        ("images/{}.PNG", "images/{}.txt"),
        ("{}.tif", "gt/{}.TXT"),
        ("{}.WebP", "{}.txt"),
        ("{}.bmp", "{}.txt"),
        ("{}.gif", "{}.txt"),
        ("{}.jp2", "{}.txt"),
        ("{}.avif", "{}.txt"),
        ("{}.jfif", "{}.txt"),
        ("imgs/{}.jpg", "labels/{}.txt"),
        ("JPEGImages/{}.jpg", "Annotations/{}.txt"),
        ("photos/{}.jpg", "text/gt_{}.txt"),
        ("images/train/{}.jpg", "labels/train/{}.txt"),
        ("train_images/img_{}.jpg", "train_gts/gt_img_{}.txt"),
        ("train_images/img{}.jpg", "train_gts/img{}.jpg.txt"),  # MhLiao/DB's Total-Text
        ("default/images/{}.jpg", "default/gt_{}.txt"),  # CVAT
    ],
)
def test_layouts(raw: Path, image: str, text: str) -> None:
    add(raw, image.format(10), text.format(10), f"\ufeff{QUAD},Grün\r\n{QUAD},###\r\n")
    add(raw, image.format(9), text.format(9))
    assert run(raw) == 0
    nine, ten = read(raw, "train")
    assert nine["img_path"] == f"../raw/{image.format(9)}"
    assert nine["instances"] == []
    assert [(w["text"], w["ignore"]) for w in ten["instances"]] == [("Grün", False), ("###", True)]
    assert not (raw.parent / "out" / "textdet_test.json").exists()


def test_parts_each_have_their_own_style(raw: Path) -> None:
    add(raw, "train/images/1.jpg", "train/gt/1.txt", f"{QUAD},12,50\n{QUAD},word")
    add(raw, "test/1.jpg", "test/gt_1.txt", PENTAGON)
    add(raw, "val/1.jpg", "val/1.txt")
    assert run(raw) == 0
    assert [len(w["polygon"]) for w in read(raw, "train")[0]["instances"]] == [8, 8]
    assert [len(w["polygon"]) for w in read(raw, "test")[0]["instances"]] == [10]
    assert read(raw, "val")[0]["img_path"] == "../raw/val/1.jpg"


def test_part_of_validation_can_be_drawn(raw: Path) -> None:
    for number in range(4):
        add(raw, f"{number}.jpg", f"{number}.txt", QUAD)
    assert run(raw, "--val-fraction", "0.25") == 0
    assert [len(read(raw, part)) for part in ("train", "trainpart", "val")] == [4, 3, 1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"{QUAD},a\nword", "line 2: .* 0 numbers"),
        (f"{QUAD},a\n1,2,3,word", "line 2: .* 3 numbers"),
        (f"{QUAD},a\n\n{QUAD},a", "line 2: .* 0 numbers"),
        (f"{QUAD},a\n9,9,3,3,a", "line 2: .* 9,9,3,3 is not left,top,right,bottom"),
        (f"{QUAD},a\n0,0,4,0,4,4,0,1e39,a", "line 2: .* not finite"),
    ],
)
def test_bad_lines_are_named(
    raw: Path, content: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add(raw, "1.jpg", "gt_1.txt", content)
    assert run(raw) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"error: {raw / 'gt_1.txt'}, line 2: expected x1,y1")
    assert re.search(reason, error)


@pytest.mark.parametrize(
    ("image", "text", "reason"),
    [
        ("1.jpg", None, "lacks 1.txt, the partner of"),
        ("1/", "1.txt", "lacks 1.jpg, the partner of"),
        ("2.jpg", "gt_1.txt", "lacks gt_2.txt, the partner of"),
    ],
)
def test_missing_partners(
    raw: Path, image: str, text: str | None, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add(raw, "9.jpg", "9.txt", QUAD)
    add(raw, image, text, QUAD)
    assert run(raw) == 1
    assert reason in capsys.readouterr().err


# ---------------------------------------------------------------- other layouts


def test_layout_of_mhliao_db(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, numbers in (("train", (1, 2, 3)), ("test", (4,))):
        for number in numbers:
            add(raw, f"{part}_images/img_{number}.jpg", f"{part}_gts/gt_img_{number}.txt", QUAD)
    (raw / "train_list.txt").write_text("img_2.jpg\nimg_1.jpg\n")  # img_3 is not of the set
    (raw / "test_list.txt").write_text("img_4.jpg\n")
    assert run(raw) == 0
    names = [Path(entry["img_path"]).name for entry in read(raw, "train")]
    assert names == ["img_1.jpg", "img_2.jpg"]
    assert len(read(raw, "test")) == 1
    (raw / "test_list.txt").write_text("img_4.jpg\nimg_5.jpg\n")
    assert run(raw) == 1
    assert "test_list.txt: img_5.jpg is not there" in capsys.readouterr().err


def test_folders_that_are_named(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        add(raw, f"{folder}/1.jpg", None)
        add(raw, "1/", f"{folder}_texts/1.txt", QUAD)
    assert run(raw) == 1
    assert f"{raw / 'a'} and {raw / 'b'} both hold images; name" in capsys.readouterr().err
    options = ["--images", str(raw / "b"), "--labels", str(raw / "a_texts")]
    assert run(raw, *options) == 0
    assert [entry["img_path"] for entry in read(raw, "train")] == ["../raw/b/1.jpg"]
    (raw.parent / "out" / "textdet_train.json").unlink()
    assert main(["icdar_folder", *options, "--out", str(raw.parent / "out")]) == 0  # no --raw


def test_named_folders_with_parts(raw: Path) -> None:
    for part in ("train", "test"):
        add(raw, f"x/{part}/1.jpg", None)
        add(raw, "1/", f"y/{part}/1.txt", QUAD)
    assert run(raw, "--images", str(raw / "x"), "--labels", str(raw / "y")) == 0
    assert [read(raw, p)[0]["img_path"] for p in ("train", "test")] == [
        "../raw/x/train/1.jpg",
        "../raw/x/test/1.jpg",
    ]


def test_folders_beside_the_images_are_no_parts(raw: Path) -> None:
    add(raw, "1.jpg", "1.txt", QUAD)
    add(raw, "train_old/2.jpg", "train_old/2.txt", QUAD)
    assert run(raw) == 0
    assert [Path(entry["img_path"]).name for entry in read(raw, "train")] == ["1.jpg"]


def test_folders_that_hold_nothing(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "things").mkdir()
    (raw / "1.pdf").touch()
    assert run(raw) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: no images in {raw} or {raw / 'things'}; known are images and")
    assert "train_images/ with train_gts/" in error and "--images DIR --labels DIR" in error


@pytest.mark.parametrize("option", ["--images", "--labels"])
def test_a_named_folder_that_is_none(
    raw: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    add(raw, "1.jpg", "1.txt", QUAD)
    assert run(raw, option, str(raw / "none")) == 1
    assert capsys.readouterr().err.startswith(f"error: {option} {raw / 'none'}: no such folder")
    assert main(["icdar2015", "--raw", str(raw), "--out", str(raw), option, str(raw)]) == 1
    assert "are for data of your own" in capsys.readouterr().err


# ---------------------------------------------------------------- other lines


@pytest.mark.parametrize(
    ("line", "polygon", "text", "ignored"),
    [
        ('10 20 110 60 "word"', [10, 20, 110, 20, 110, 60, 10, 60], "word", False),
        ('10.5 20 110 60 "two, 3"', [10.5, 20, 110, 20, 110, 60, 10.5, 60], "two, 3", False),
        ('10 20 110 60 "2024"', [10, 20, 110, 20, 110, 60, 10, 60], "2024", False),
        ('10 20 110 60 "###"', [10, 20, 110, 20, 110, 60, 10, 60], "###", True),
        ("10 20 110 60", [10, 20, 110, 20, 110, 60, 10, 60], "", False),
        ("10 20 110 60 word", [10, 20, 110, 20, 110, 60, 10, 60], "word", False),
        (f'{QUAD},"12,50"', [0, 0, 4, 0, 4, 4, 0, 4], "12,50", False),
        (f'{QUAD},5,5,"a \\"b\\""', [0, 0, 4, 0, 4, 4, 0, 4, 5, 5], 'a "b"', False),
        ("0 0 4 0 4 4 0 4", [0, 0, 4, 0, 4, 4, 0, 4], "", False),
        ('38, 43, 92, 215, "T"', [38, 43, 92, 43, 92, 215, 38, 215], "T", False),
    ],
)
def test_lines_of_cvat_and_of_icdar2013(
    line: str, polygon: list[float], text: str, ignored: bool
) -> None:
    assert parse_folder([line]) == [(polygon, text, ignored)]


@pytest.mark.parametrize(
    "content",
    [
        "0,0.1,0.1,0.3,0.1,0.3,0.2,0.1,0.2",  # OBB
        "0 0.1 0.1 0.3 0.1 0.3 0.2 0.1 0.2\n\n1 0 0 1 0 1 1 0 1",
        "0 0.5 0.5 0.2 0.1",  # boxes
        "15 0.1 0.1 0.3 0.1 0.3 0.2",  # a segment of three corners
        "0, 0.5, 0.5, 0.2, 1e-3\n",
    ],
)
def test_yolo_is_refused(raw: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    add(raw, "images/1.jpg", "labels/1.txt", content)
    add(raw, "images/2.jpg", "labels/2.txt")
    assert run(raw) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "YOLO" in error


def test_fractions_without_a_class_are_no_pixels(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(raw, "1.jpg", "1.txt", "0.1,0.1,0.3,0.1,0.3,0.2,0.1,0.2,word")
    assert run(raw) == 1
    assert "lie between 0 and 1" in capsys.readouterr().err
    assert not list(raw.parent.glob("out/*"))


def test_text_files_of_other_encodings(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, encoding in enumerate(("utf-16", "gb18030", "gb18030", "utf-8")):
        add(raw, f"{number}.jpg", f"{number}.txt")
        (raw / f"{number}.txt").write_bytes(f"{QUAD},出口\r\n".encode(encoding))
    assert run(raw) == 0
    assert [w["text"] for e in read(raw, "train") for w in e["instances"]] == ["出口"] * 4
    (warning,) = capsys.readouterr().err.splitlines()
    assert "read as GB18030" in warning and f"(2, the first: {raw / '1.txt'})" in warning
