import json
import re
from pathlib import Path

import pytest
from PIL import Image

from dbnet.cli.prepare import main
from dbnet.labels.icdar_folder import line_style, parse_line

QUAD = "0,0,4,0,4,4,0,4"
PENTAGON = f"{QUAD},-1,2"


def parse_folder(lines: list[str]) -> list[tuple[list[float], str, bool]]:
    style = line_style(lines)
    parsed = [parse_line(line, style) for line in lines]
    return [(polygon.ravel().tolist(), text, ignored) for polygon, text, ignored in parsed]


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
        Image.new("RGB", (40, 30)).save(folder / image)
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
    add(raw, image, text, QUAD)
    assert run(raw) == 1
    assert reason in capsys.readouterr().err
