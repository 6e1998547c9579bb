import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dbnet.errors import UserError
from dbnet.images import read_shape
from dbnet.labels.entries import (
    METAINFO,
    Instance,
    annotation_writer,
    make_entry,
    sample_indices,
    write_annotation,
)
from dbnet.labels.public import parse_quads

BOM = b"\xef\xbb\xbf"
SQUARE = b"0,0,4,0,4,4,0,4,"


@pytest.mark.parametrize(
    ("content", "texts", "ignored"),
    [
        pytest.param(SQUARE + b"A\n" + SQUARE + b"###\n", ["A", "###"], [False, True], id="LF"),
        pytest.param(
            BOM + SQUARE + b"A\r\n" + SQUARE + b"B\r\n",
            ["A", "B"],
            [False, False],
            id="BOM and CRLF",
        ),
        pytest.param(SQUARE + b"A\r" + SQUARE + b"B", ["A", "B"], [False, False], id="CR"),
        pytest.param(SQUARE + b"1,234, 5,\n", ["1,234, 5,"], [False], id="commas"),
        pytest.param(SQUARE + b"\n", [""], [False], id="empty transcription"),
        pytest.param(SQUARE + b"####", ["####"], [False], id="four signs are text"),
        pytest.param(SQUARE + b" A ", [" A "], [False], id="spaces kept"),
        pytest.param(
            SQUARE + b"A\x0bB\xe2\x80\xa8C\n",
            ["A\x0bB\u2028C"],
            [False],
            id="other separators are text",
        ),
        pytest.param(SQUARE + b"A\n\r\n \n", ["A"], [False], id="empty last lines"),
        pytest.param(b"", [], [], id="empty file"),
        pytest.param(BOM, [], [], id="BOM alone"),
        pytest.param(b"\r\n", [], [], id="line end alone"),
    ],
)
def test_transcriptions(content: bytes, texts: list[str], ignored: list[bool]) -> None:
    instances = parse_quads(content, "gt.txt")
    assert [instance.text for instance in instances] == texts
    assert [instance.ignored for instance in instances] == ignored


def test_coordinates_are_x_y_pairs_in_order() -> None:
    ((quad, *_),) = parse_quads(b"-1, 2,3.5,4,+5,6,7,8,A", "gt.txt")
    np.testing.assert_array_equal(quad, [[-1, 2], [3.5, 4], [5, 6], [7, 8]])
    assert quad.dtype == np.float32


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2,3,4,5,6,7,8", "7 commas"),
        (b"1,2,3,4,A", "4 commas"),
        (b"", "0 commas"),
        (b"1,2,3,4,5,x6,7,8,A", "'x6'"),
        (b"1,2,3,4,5,,7,8,A", "''"),
        (b"1,2,3,4,5,NaN,7,8,A", "not finite"),
        (b"1,2,3,4,5,inf,7,8,A", "not finite"),
        (b"1,2,3,4,5,1e39,7,8,A", "not finite"),  # float32 ends at 3.4e38
        (BOM + SQUARE + b"A", "convert"),  # a byte-order mark is one at the file's start only
    ],
)
def test_what_cannot_be_read_names_file_and_line(line: bytes, reason: str) -> None:
    with pytest.raises(UserError, match=r"^gt_img_7\.txt, line 2: ") as error:
        parse_quads(SQUARE + b"A\r\n" + line + b"\r\n" + SQUARE + b"B", "gt_img_7.txt")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_entry_takes_polygons_of_any_size(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / "images" / "a.jpg")
    triangle = np.float32([[5, 1], [9.5, 7], [2, 6]])
    entry = make_entry(tmp_path / "images" / "a.jpg", tmp_path, [Instance(triangle, "A", False)])
    assert entry["img_path"] == "images/a.jpg"
    assert entry["instances"][0]["polygon"] == [5, 1, 9.5, 7, 2, 6]
    assert entry["instances"][0]["bbox"] == [2, 1, 9.5, 7]


def test_size_ignores_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation tag: turn by 90 degrees to show
    Image.new("RGB", (40, 30)).save(tmp_path / "img.jpg", exif=exif)
    with Image.open(tmp_path / "img.jpg") as image:
        assert image.getexif()[0x0112] == 6
    assert read_shape(tmp_path / "img.jpg") == (30, 40)


def test_interrupted_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "textdet_train.json"
    write_annotation(path, [])
    before = path.read_bytes()

    def entries() -> Iterator[dict]:
        yield {"img_path": "a", "instances": []}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_annotation(path, entries())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_entries_are_written_as_one_document(tmp_path: Path) -> None:
    entries = [{"img_path": name, "instances": []} for name in ("é", "b", "c")]
    for number in range(4):
        write_annotation(tmp_path / f"{number}.json", iter(entries[:number]))
        document = {"metainfo": METAINFO, "data_list": entries[:number]}
        expected = json.dumps(document, ensure_ascii=False)
        assert (tmp_path / f"{number}.json").read_text(encoding="utf-8") == expected


def test_annotation_file_that_would_change_stays(tmp_path: Path) -> None:
    entries = [{"img_path": "a", "instances": []}]
    write_annotation(tmp_path / "a.json", entries)
    content = (tmp_path / "a.json").read_bytes()
    write_annotation(tmp_path / "a.json", entries)  # the same again is no matter
    with pytest.raises(UserError, match=r"a\.json is there already and would change"):
        write_annotation(tmp_path / "a.json", entries * 2)
    assert (tmp_path / "a.json").read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_writer_counts(tmp_path: Path) -> None:
    words = [{"ignore": True}, {"ignore": False}, {"ignore": False}]
    with annotation_writer(tmp_path / "a.json") as writer:
        writer.add({"instances": words})
        writer.add({"instances": words[:2]})
    assert writer.counts == (2, 5, 3)


def test_sampling_is_seeded() -> None:
    drawn = sample_indices(20, 0.25, seed=3)
    assert len(drawn) == 5
    assert drawn <= set(range(20))
    assert sample_indices(20, 0.25, seed=3) == drawn
    assert sample_indices(20, 0.25, seed=4) != drawn
    assert drawn not in ({0, 1, 2, 3, 4}, {15, 16, 17, 18, 19})
