"""Every preparer of a public dataset, on small files written in that dataset's format."""

import json
import re
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mmengine import Config
from PIL import Image

from dbnet.checkpoints.index import config_folder
from dbnet.cli import progress
from dbnet.cli.prepare import main
from dbnet.errors import UserError
from dbnet.labels import PREPARERS
from dbnet.labels.other_datasets import parse_polygons, to_instances
from dbnet.labels.public import (
    parse_ctw1500,
    parse_ctw1500_xml,
    parse_mlt,
    parse_rectangles,
    parse_td500,
    rotated_rectangle,
)

PUBLIC = [
    *("icdar2013", "icdar2013_born_digital", "icdar2015", "icdar2017_mlt", "icdar2019_mlt"),
    *("totaltext", "ctw1500", "td500", "synthtext", "cocotext", "textocr"),
]


def save(path: Path, content: str | bytes = b"") -> None:
    """Write a file: an image of 40 x 30 pixels if it has a name like one and no content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    elif path.suffix.lower() in (".jpg", ".png", ".gif"):
        Image.new("RGB", (40, 30)).save(path)
    else:
        path.touch()


def run(name: str, raw: Path, out: Path, *options: str) -> int:
    return main([name, "--raw", str(raw), "--out", str(out), *options])


def read(out: Path, part: str) -> list[dict]:
    return json.loads((out / f"textdet_{part}.json").read_text(encoding="utf-8"))["data_list"]


def names(entries: list[dict]) -> list[str]:
    return [Path(entry["img_path"]).name for entry in entries]


def words(entry: dict) -> list[tuple[list[float], str, bool]]:
    return [(word["polygon"], word["text"], word["ignore"]) for word in entry["instances"]]


def failure(capsys: pytest.CaptureFixture[str], status: int) -> str:
    """Return the one line that a failed run printed."""
    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    return error


# ---------------------------------------------------------------- ICDAR2013


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('38, 43, 920, 215, "Tiredness"', "Tiredness"),
        ('38 43 920 215 "Tiredness"', "Tiredness"),
        ('38,43,920,215,"Tiredness"', "Tiredness"),
        ('38,43 , 920 215  "Tiredness" ', "Tiredness"),
        ('38 43 920 215 "1,5 kg, net"', "1,5 kg, net"),
        (r'38 43 920 215 "a \"b\" \\c\d"', r'a "b" \c\d'),
        ('38 43 920 215 "a "b""', 'a "b"'),
        ('38 43 920 215 ""', ""),
        ('38 43 920 215 """', '"'),
        ('38 43 920 215 "###"', "###"),
        ('38 43 920 215 "£ é"', "£ é"),
    ],
)
def test_rectangles(line: str, text: str) -> None:
    content = b"\xef\xbb\xbf" + f"{line}\r\n{line}\r\n".encode()
    quads, texts, ignored, _ = map(list, zip(*parse_rectangles(content, "gt.txt")))
    assert texts == [text] * 2
    assert ignored == [text == "###"] * 2
    np.testing.assert_array_equal(quads[1], [[38, 43], [920, 43], [920, 215], [38, 215]])
    assert quads[1].dtype == np.float32


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('1 2 3 "A"', "it is"),
        ('1 2 3 4 5 "A"', "it is"),
        ("1 2 3 4 A", "it is"),
        ('1 2 3 4 "A', "it is"),
        ("", "it is"),
        ('1 2 x 4 "A"', "'x'"),
        ('1 2 nan 4 "A"', "not finite"),
        ('1,2,,4,"A"', "it is"),
    ],
)
def test_broken_rectangles(line: str, reason: str) -> None:
    with pytest.raises(UserError, match=r"^gt_1\.txt, line 2: ") as error:
        parse_rectangles(f'1 2 3 4 "A"\n{line}\n1 2 3 4 "B"'.encode(), "gt_1.txt")
    assert reason in str(error.value)


def fill_icdar2013(raw: Path, challenge: int, suffix: str) -> None:
    stem = raw / f"Challenge{challenge}"
    save(Path(f"{stem}_Training_Task12_Images/100.jpg"))
    save(Path(f"{stem}_Training_Task1_GT/gt_100.txt"), '1 2 11 12 "A"\r\n')
    save(Path(f"{stem}_Test_Task12_Images/img_1{suffix}"))
    save(Path(f"{stem}_Test_Task1_GT/gt_img_1.txt"), b'\xef\xbb\xbf1, 2, 11, 12, "B"\r\n')


@pytest.mark.parametrize(
    ("name", "challenge", "suffix"),
    [("icdar2013", 2, ".jpg"), ("icdar2013_born_digital", 1, ".gif")],
)
def test_icdar2013(tmp_path: Path, name: str, challenge: int, suffix: str) -> None:
    fill_icdar2013(tmp_path, challenge, suffix)
    assert run(name, tmp_path, tmp_path) == 0
    (train,), (test,) = read(tmp_path, "train"), read(tmp_path, "test")
    assert words(train) == [([1, 2, 11, 2, 11, 12, 1, 12], "A", False)]
    assert words(test) == [([1, 2, 11, 2, 11, 12, 1, 12], "B", False)]
    assert test["img_path"] == f"Challenge{challenge}_Test_Task12_Images/img_1{suffix}"
    assert (test["height"], test["width"]) == (30, 40)


# ---------------------------------------------------------------- MLT

QUAD = "0,0,4,0,4,4,0,4"


def test_words_of_mlt() -> None:
    content = f"{QUAD},Latin,a,b\r\n{QUAD},None,###\r\n{QUAD},Arabic,\n".encode()
    quads, texts, ignored, _ = map(list, zip(*parse_mlt(b"\xef\xbb\xbf" + content, "gt.txt")))
    assert (texts, ignored) == (["a,b", "###", ""], [False, True, False])
    np.testing.assert_array_equal(quads[0], [[0, 0], [4, 0], [4, 4], [0, 4]])


@pytest.mark.parametrize(
    ("line", "reason"),
    [(f"{QUAD},Latin", "8 commas"), ("", "0 commas"), (f"x,{QUAD},a", "'x'")],
)
def test_broken_words_of_mlt(line: str, reason: str) -> None:
    with pytest.raises(UserError, match=r"^gt\.txt, line 2: ") as error:
        parse_mlt(f"{QUAD},Latin,a\n{line}\n{QUAD},Latin,a".encode(), "gt.txt")
    assert reason in str(error.value)


def fill_mlt2017(raw: Path) -> None:
    for number in range(1, 9):
        suffix = [".jpg", ".png", ".gif", ".JPG"][number % 4]
        save(raw / f"ch8_training_images_{number}" / f"img_{number}{suffix}")
        truth = f"gt_img_{number}.txt"
        save(raw / "ch8_training_localization_transcription_gt_v2" / truth, f"{QUAD},Latin,a,b")
    save(raw / "ch8_validation_images" / "img_1.jpg")
    truth = raw / "ch8_validation_localization_transcription_gt_v2" / "gt_img_1.txt"
    save(truth, f"{QUAD},None,###")


def test_mlt2017(tmp_path: Path) -> None:
    fill_mlt2017(tmp_path)
    assert run("icdar2017_mlt", tmp_path, tmp_path) == 0
    train, test = read(tmp_path, "train"), read(tmp_path, "test")
    assert names(train)[:4] == ["img_1.png", "img_2.gif", "img_3.JPG", "img_4.jpg"]
    assert len(train) == 8
    assert train[0]["img_path"] == "ch8_training_images_1/img_1.png"
    assert words(test[0]) == [([0, 0, 4, 0, 4, 4, 0, 4], "###", True)]


def test_images_named_alike_in_two_folders_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_mlt2017(tmp_path)
    save(tmp_path / "ch8_training_images_2" / "img_7.png")
    error = failure(capsys, run("icdar2017_mlt", tmp_path, tmp_path))
    assert str(Path("ch8_training_images_2") / "img_7.png") in error
    assert str(Path("ch8_training_images_7") / "img_7.JPG") in error


def test_mlt2019(tmp_path: Path) -> None:
    save(tmp_path / "raw" / "train_gt_t13" / "tr_img_00001.txt", f"{QUAD},Bangla,a\n")
    save(tmp_path / "raw" / "train_gt_t13" / "tr_img_05001.txt", f"{QUAD},Korean,b\n")
    save(tmp_path / "raw" / "ImagesPart2" / "tr_img_05001.png")
    save(tmp_path / "a.jpg")
    with zipfile.ZipFile(tmp_path / "raw" / "ImagesPart1.zip", "w") as archive:
        archive.write(tmp_path / "a.jpg", "ImagesPart1/tr_img_00001.jpg")
    assert run("icdar2019_mlt", tmp_path / "raw", tmp_path / "out") == 0
    assert [entry["img_path"] for entry in read(tmp_path / "out", "train")] == [
        "ImagesPart1/ImagesPart1/tr_img_00001.jpg",
        "../raw/ImagesPart2/tr_img_05001.png",
    ]
    assert not (tmp_path / "out" / "textdet_test.json").exists()


# ---------------------------------------------------------------- Total-Text


def record(text: str = "[u'A']", orientation: str = "[u'c']", x: str = "[[1 9 9]]") -> str:
    return f"x: {x}, y: [[ 2  2 30]], ornt: {orientation}, transcriptions: {text}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[u'PAUL']", "PAUL"),
        ("['PAUL']", "PAUL"),
        ("""[u"CHEF'S"]""", "CHEF'S"),
        ("[u'CHEF\\'S']", "CHEF'S"),
        ("[u'CHEF'S']", "CHEF'S"),
        ("""[u'5" "B"']""", '5" "B"'),
        ("[u'caf\\xe9']", "café"),
        ("[u'café']", "café"),
        ("[u'[a], ornt: [b]']", "[a], ornt: [b]"),
        ("[u'a', u'b']", "a,b"),
        ("[u',']", ","),
    ],
)
def test_transcriptions_of_totaltext(text: str, expected: str) -> None:
    polygons, texts, ignored, _ = map(
        list, zip(*parse_polygons(f"{record(text)}\n{record()}".encode(), "gt.txt"))
    )
    assert (texts, ignored) == ([expected, "A"], [False, False])
    np.testing.assert_array_equal(polygons[0], [[1, 2], [9, 2], [9, 30]])
    assert polygons[0].dtype == np.float32


@pytest.mark.parametrize(
    "line",
    [
        record("[u'#']", "[u'#']"),
        record("[u'#']"),
        record(orientation="[u'#']"),
        record("[]", "[]"),
    ],
)
def test_ignored_words_of_totaltext(line: str) -> None:
    assert [word.ignored for word in parse_polygons(line.encode(), "gt.txt")] == [True]


def test_records_go_on_in_the_next_lines() -> None:
    content = (
        "x: [[ 101 -102\n  103 1.04e+02 105]], y: [[1   2\r\n 3 4\n 5]], ornt: [u'm'],\n"
        " transcriptions: [u'x: A']\n\nx: [[1, 2, 3]], y: [[4,5,6]], ornt: [u'h'], "
        "transcriptions: [u'B']\n"
    )
    polygons, texts, *_ = map(list, zip(*parse_polygons(content.encode(), "gt.txt")))
    assert texts == ["x: A", "B"]
    np.testing.assert_array_equal(polygons[0], [[101, 1], [-102, 2], [103, 3], [104, 4], [105, 5]])
    np.testing.assert_array_equal(polygons[1], [[1, 4], [2, 5], [3, 6]])
    assert parse_polygons(b"\n", "gt.txt") == []


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (record(x="[[1 9]]"), "2 x and 3 y"),
        (record(x="[[1 a 9]]"), "'a'"),
        (record(x="[[1 inf 9]]"), "not finite"),
        (record(x="[[]]"), "1 x and 3 y"),
        (record(x="[[1 9 9]"), "it is"),
        (record()[:40], "it is"),
        (record(x="[[1\n9]]"), "2 x and 3 y"),
    ],
)
def test_broken_records(broken: str, reason: str) -> None:
    in_two_lines = record().replace("1 9 9", "1 9\n9")
    with pytest.raises(UserError, match=r"^gt\.txt, line 3: ") as error:
        parse_polygons(f"{in_two_lines}\n{broken}\n{record()}".encode(), "gt.txt")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def fill_totaltext(raw: Path) -> None:
    for part, suffix in (("Train", ".jpg"), ("Test", ".JPG")):
        save(raw / "Images" / part / f"img11{suffix}")
        save(raw / "groundtruth_text" / part / "poly_gt_img11.txt", record() + "\n")


def test_totaltext(tmp_path: Path) -> None:
    fill_totaltext(tmp_path)
    assert run("totaltext", tmp_path, tmp_path) == 0
    assert words(read(tmp_path, "train")[0]) == [([1, 2, 9, 2, 9, 30], "A", False)]
    assert names(read(tmp_path, "test")) == ["img11.JPG"]


def save_polygt(path: Path, rows: list[list]) -> None:
    io = pytest.importorskip("scipy.io")
    table = np.empty((len(rows), 6), dtype=object)
    for index, row in enumerate(rows):
        for column, value in enumerate(row):
            table[index, column] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    io.savemat(path, {"polygt": table})


def test_totaltext_of_matlab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = np.array([[1, 9, 9]], dtype=np.int16), np.array([[2, 2, 30]], dtype=np.int16)
    rows = [["x:", x, "y:", y, "A", "c"], ["x:", x, "y:", y, "#", "#"], ["x:", x, "y:", y, "", "h"]]
    for part in ("Train", "Test"):
        save(tmp_path / "Images" / part / "img11.jpg")
        save_polygt(tmp_path / "Groundtruth" / "Polygon" / part / "poly_gt_img11.mat", rows)
        save(tmp_path / "Groundtruth" / "Rectangular" / part / "rect_gt_img11.mat")
    assert run("totaltext", tmp_path, tmp_path) == 0
    assert words(read(tmp_path, "train")[0]) == [
        ([1, 2, 9, 2, 9, 30], "A", False),
        ([1, 2, 9, 2, 9, 30], "#", True),
        ([1, 2, 9, 2, 9, 30], "", True),
    ]
    path = tmp_path / "Groundtruth" / "Polygon" / "Test" / "poly_gt_img11.mat"
    save_polygt(path, [rows[0], ["x:", x[:, :2], "y:", y, "A", "c"]])
    capsys.readouterr()
    assert f"{path}, row 2 of polygt: " in failure(capsys, run("totaltext", tmp_path, tmp_path))


def test_totaltext_lacks_a_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill_totaltext(tmp_path)
    (tmp_path / "Images" / "Test").rename(tmp_path / "Images" / "Tests")
    error = failure(capsys, run("totaltext", tmp_path, tmp_path))
    assert f"{tmp_path / 'Images'} lacks the folder test" in error


# ---------------------------------------------------------------- CTW1500

CURVE = ",".join(map(str, range(28)))


def test_text_of_ctw1500() -> None:
    content = f"{CURVE},####a,b\n{CURVE},#######\n{CURVE},####\n".encode()
    polygons, texts, ignored, _ = map(list, zip(*parse_ctw1500(content, "gt.txt")))
    assert (texts, ignored) == (["a,b", "###", ""], [False, True, False])
    np.testing.assert_array_equal(polygons[0], np.arange(28).reshape(14, 2))


@pytest.mark.parametrize(
    ("line", "reason"),
    [(CURVE, "27 coordinates"), (f"{CURVE},a", "'a' follows"), (f"{CURVE[:-2]}x,####a", "'x'")],
)
def test_broken_text_of_ctw1500(line: str, reason: str) -> None:
    with pytest.raises(UserError, match=r"^gt\.txt, line 2: ") as error:
        parse_ctw1500(f"{CURVE},####a\n{line}\n".encode(), "gt.txt")
    assert reason in str(error.value)


def boxes(*segs: str) -> str:
    inside = "".join(
        f'<box height="9" left="1" top="2" width="8"><label>a &amp; b</label><segs>{s}</segs>'
        '<pts x="1" y="2" /></box>'
        for s in segs
    )
    return f'<Annotations>\n<image file="0200.jpg">\n{inside}</image>\n</Annotations>'


def test_xml_of_ctw1500() -> None:
    polygons, texts, ignored, _ = map(
        list, zip(*parse_ctw1500_xml(boxes(CURVE, CURVE).encode(), "0200.xml"))
    )
    assert (texts, ignored) == (["a & b"] * 2, [False] * 2)
    np.testing.assert_array_equal(polygons[1], np.arange(28).reshape(14, 2))


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (boxes(CURVE, "1,2,3"), "0200.xml, box 2, segs: there are 3 coordinates"),
        (boxes(CURVE, CURVE[:-2] + "a"), "0200.xml, box 2, segs: "),
        (boxes(""), "0200.xml, box 1, segs: "),
        (boxes(CURVE).replace("</image>", "</imag>"), "0200.xml, line 3: not XML"),
        ("", "0200.xml, line 1: not XML"),
    ],
)
def test_broken_xml_of_ctw1500(content: str, place: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(place)}"):
        parse_ctw1500_xml(content.encode(), "0200.xml")


def fill_ctw1500(raw: Path) -> None:
    save(raw / "train_images" / "0200.jpg")
    save(raw / "ctw1500_train_labels" / "0200.xml", boxes(CURVE))
    save(raw / "test_images" / "1001.jpg")
    save(raw / "gt_ctw1500" / "0001001.txt", f"{CURVE},#######\n")


def test_ctw1500(tmp_path: Path) -> None:
    fill_ctw1500(tmp_path)
    assert run("ctw1500", tmp_path, tmp_path) == 0
    assert words(read(tmp_path, "train")[0]) == [(list(range(28)), "a & b", False)]
    assert words(read(tmp_path, "test")[0]) == [(list(range(28)), "###", True)]


# ---------------------------------------------------------------- MSRA-TD500


@pytest.mark.parametrize(
    ("theta", "expected"),
    [
        (0.0, [[10, 20], [30, 20], [30, 26], [10, 26]]),
        # A quarter turn clockwise about (20, 23): the top left goes to the top right.
        (np.pi / 2, [[23, 13], [23, 33], [17, 33], [17, 13]]),
        (-np.pi / 2, [[17, 33], [17, 13], [23, 13], [23, 33]]),
        (np.pi, [[30, 26], [10, 26], [10, 20], [30, 20]]),
    ],
)
def test_rotated_rectangle(theta: float, expected: list[list[float]]) -> None:
    np.testing.assert_allclose(rotated_rectangle(10, 20, 20, 6, theta), expected, atol=1e-9)


def test_lines_of_td500() -> None:
    content = b"0 0 10 20 20 6 0.000000\r\n1 1 10 20 20 6 0.5\r\n"
    quads, texts, ignored, _ = map(list, zip(*parse_td500(content, "a.gt")))
    assert (texts, ignored) == (["", ""], [False, True])
    np.testing.assert_array_equal(quads[0], [[10, 20], [30, 20], [30, 26], [10, 26]])
    # By hand: (20 - 10 cos 0.5 + 3 sin 0.5, 23 - 10 sin 0.5 - 3 cos 0.5)
    np.testing.assert_allclose(quads[1][0], [12.66, 15.57], atol=0.005)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0 1 2 3 4", "6 values"),
        ("", "0 values"),
        ("0 2 1 2 3 4 0", "difficult"),
        ("0 0 1 2 w 4 0", "'w'"),
        ("0 0 1 2 inf 4 0", "not finite"),
        ("0 0 1 2 3 4 nan", "not finite"),
    ],
)
def test_broken_lines_of_td500(line: str, reason: str) -> None:
    with pytest.raises(UserError, match=r"^a\.gt, line 2: ") as error:
        parse_td500(f"0 0 1 2 3 4 0\n{line}\n0 0 1 2 3 4 0".encode(), "a.gt")
    assert reason in str(error.value)


def fill_td500(folder: Path) -> None:
    for part in ("train", "test"):
        save(folder / part / "IMG_0059.JPG")
        save(folder / part / "IMG_0059.gt", "0 1 10 20 20 6 0\n")


def test_raw_may_be_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_td500(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    assert run("td500", Path(), tmp_path / "out", "--copy") == 0
    assert read(tmp_path / "out", "test")[0]["img_path"] == "here/test/IMG_0059.JPG"


@pytest.mark.parametrize("inside", ["", "MSRA-TD500"])
def test_td500(tmp_path: Path, inside: str) -> None:
    fill_td500(tmp_path / "raw" / inside)
    assert run("td500", tmp_path / "raw", tmp_path) == 0
    (entry,) = read(tmp_path, "test")
    assert entry["img_path"] == str(Path("raw", inside, "test", "IMG_0059.JPG"))
    assert words(entry) == [([10, 20, 30, 20, 30, 26, 10, 26], "", True)]


# ---------------------------------------------------------------- SynthText


def save_synthtext(folder: Path, **changes: np.ndarray) -> None:
    """Write gt.mat with three images of 2, 1 and 0 words."""
    io = pytest.importorskip("scipy.io")
    cells = {key: np.empty((1, 3), dtype=object) for key in ("imnames", "wordBB", "charBB", "txt")}
    # Word 0 has its corners at (0.125, 1), (2, 3), (4, 5), (6, 7), word 1 ten pixels further.
    first = np.float32([[0.125, 2, 4, 6], [1, 3, 5, 7]])
    cells["imnames"][0] = ["8/a_1_0.jpg", "8/a_2_0.jpg", "9/b.jpg"]
    cells["wordBB"][0, 0] = np.stack([first, first + 10], axis=2)
    cells["wordBB"][0, 1] = first
    cells["wordBB"][0, 2] = np.zeros((2, 4, 0))
    cells["txt"][0, 0] = np.array(["in", "so"])  # two texts, one below the other
    cells["txt"][0, 1] = np.array(["  word   "])
    cells["txt"][0, 2] = np.array([], dtype=str)
    for column in range(3):
        cells["charBB"][0, column] = np.zeros((2, 4, 5))
    for name in ("8/a_1_0.jpg", "8/a_2_0.jpg", "9/b.jpg"):
        save(folder / name)
    io.savemat(folder / "gt.mat", cells | changes)


@pytest.mark.parametrize("inside", ["", "SynthText"])
def test_synthtext(tmp_path: Path, inside: str) -> None:
    save_synthtext(tmp_path / "raw" / inside)
    assert run("synthtext", tmp_path / "raw", tmp_path / "out") == 0
    first, second, third = read(tmp_path / "out", "train")
    assert first["img_path"] == str(Path("../raw", inside, "8/a_1_0.jpg"))
    assert words(first) == [
        ([0.12, 1, 2, 3, 4, 5, 6, 7], "in", False),
        ([10.12, 11, 12, 13, 14, 15, 16, 17], "so", False),
    ]
    assert words(second) == [([0.12, 1, 2, 3, 4, 5, 6, 7], "word", False)]
    assert words(third) == []
    assert not (tmp_path / "out" / "textdet_test.json").exists()


@pytest.mark.parametrize(
    ("boxes", "text", "reason"),
    [
        (np.zeros((2, 4, 3)), "two words", "(2, 4, 3) for 2 words"),
        (np.zeros((2, 4)), "two words", "(2, 4) for 2 words"),
        (np.zeros((4, 2, 1)), "word", "(4, 2, 1) for 1 words"),
        (np.full((2, 4, 1), np.nan), "word", "not finite"),
    ],
)
def test_broken_words_of_synthtext(boxes: np.ndarray, text: str, reason: str) -> None:
    with pytest.raises(UserError, match=r"^gt\.mat, image 7 \(a\.jpg\): ") as error:
        to_instances(boxes, text, "gt.mat, image 7 (a.jpg)")
    assert reason in str(error.value)


def test_degenerate_words_of_synthtext_are_kept() -> None:
    ((quad, *_),) = to_instances(np.zeros((2, 4, 1), np.float32), "word", "a.jpg")
    assert quad.tolist() == [[0, 0]] * 4


def test_broken_synthtext(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    save_synthtext(tmp_path, imnames=np.array([["8/a_1_0.jpg"]], dtype=object))
    assert "1 imnames, 3 txt and 3 wordBB" in failure(capsys, run("synthtext", tmp_path, out))
    save_synthtext(tmp_path)
    (tmp_path / "8" / "a_2_0.jpg").unlink()
    assert "a_2_0.jpg" in failure(capsys, run("synthtext", tmp_path, out))
    assert list(out.iterdir()) == []
    for content in (b"no matlab", (tmp_path / "gt.mat").read_bytes()[:300]):
        save(tmp_path / "gt.mat", content)
        error = failure(capsys, run("synthtext", tmp_path, out))
        assert f"{tmp_path / 'gt.mat'}: not a MATLAB 5 file" in error
    pytest.importorskip("scipy.io").savemat(tmp_path / "gt.mat", {"other": np.zeros(3)})
    assert "no variable 'imnames'" in failure(capsys, run("synthtext", tmp_path, out))


def test_scipy_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "gt.mat", b"MATLAB")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    assert "pip install scipy" in failure(capsys, run("synthtext", tmp_path, tmp_path / "out"))


def test_progress_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_td500(tmp_path)
    for name in ("IMG_0060", "IMG_0061"):
        save(tmp_path / "train" / f"{name}.JPG")
        save(tmp_path / "train" / f"{name}.gt", "0 1 10 20 20 6 0\n")
    clock = iter(range(0, 6000, 30))  # half a minute for each image
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert run("td500", tmp_path, tmp_path) == 0
    lines = capsys.readouterr().err.splitlines()
    start = f"{tmp_path / 'textdet_train.json'}: "
    assert lines[0] == f"{start}1/3 images, 0:01:00 left"
    assert lines[1] == f"{start}2/3 images, 0:00:30 left"
    monkeypatch.setattr(progress, "LOG_SECONDS", 1e9)
    assert run("td500", tmp_path, tmp_path) == 0
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------- COCO-Text and TextOCR


def annotate(**changes: object) -> dict:
    word = {"mask": [1, 2, 9.1, 2, 9, 8], "utf8_string": "the", "legibility": "legible"}
    return word | changes


def fill_cocotext(raw: Path, **changes: object) -> None:
    for number in (1, 2, 3):
        save(raw / "train2014" / f"COCO_train2014_{number}.jpg")
    sets = ["train", "val", "train", "test"]
    document = {
        "imgs": {
            str(n): {"file_name": f"COCO_train2014_{n}.jpg", "set": sets[n - 1]}
            for n in (1, 2, 3, 4)
        },
        "anns": {
            "45": annotate(),
            "46": annotate(legibility="illegible", utf8_string=""),
            "47": {"mask": [0, 0, 4, 0, 4, 4], "legibility": "legible"},
        },
        "imgToAnns": {"1": [46, 45], "2": [47], "3": []},
    }
    save(raw / "cocotext.v2.json", json.dumps(document | changes))


def test_cocotext(tmp_path: Path) -> None:
    fill_cocotext(tmp_path)
    assert run("cocotext", tmp_path, tmp_path) == 0
    train, test = read(tmp_path, "train"), read(tmp_path, "test")
    assert names(train) == ["COCO_train2014_1.jpg", "COCO_train2014_3.jpg"]
    assert words(train[0]) == [
        ([1, 2, 9.1, 2, 9, 8], "", True),
        ([1, 2, 9.1, 2, 9, 8], "the", False),
    ]
    assert words(train[1]) == []
    assert words(test[0]) == [([0, 0, 4, 0, 4, 4], "", False)]


def test_a_box_stands_in_for_an_outline_of_two_points(tmp_path: Path) -> None:
    anns = {
        "45": annotate(mask=[1, 2, 9, 8], bbox=[1, 2.5, 8, 6]),
        "46": annotate(mask=[], bbox=[3, 4, 2, 1]),
        "47": annotate(bbox=[0, 0, 99, 99]),
    }
    fill_cocotext(tmp_path, anns=anns)
    assert run("cocotext", tmp_path, tmp_path) == 0
    empty, two_points = words(read(tmp_path, "train")[0])
    assert empty[0] == [3, 4, 5, 4, 5, 5, 3, 5]
    assert two_points[0] == [1, 2.5, 9, 2.5, 9, 8.5, 1, 8.5]
    (whole,) = words(read(tmp_path, "test")[0])
    assert whole[0] == [1, 2, 9.1, 2, 9, 8]


def test_cocotext_in_a_zip(tmp_path: Path) -> None:
    fill_cocotext(tmp_path)
    with zipfile.ZipFile(tmp_path / "cocotext.v2.zip", "w") as archive:
        archive.write(tmp_path / "cocotext.v2.json", "cocotext.v2.json")
    (tmp_path / "cocotext.v2.json").unlink()
    assert run("cocotext", tmp_path, tmp_path / "out") == 0
    assert len(read(tmp_path / "out", "train")) == 2


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"anns": {"46": annotate()}}, "cocotext.v2.json: anns: no '45'"),
        ({"anns": {"45": annotate(mask=[1, 2, 3]), "46": annotate()}}, "anns.45.mask: "),
        ({"anns": {"45": annotate(mask=[1, 2, 3, None, 1, 1]), "46": annotate()}}, "anns.45.mask["),
        ({"anns": {"45": annotate(mask=[1], bbox=[1, 2]), "46": annotate()}}, "anns.45.bbox: "),
        ({"anns": {"45": annotate(legibility=None), "46": annotate()}}, "anns.45: no 'legib"),
        ({"imgs": []}, "imgs: expected an object"),
        ({"imgs": {}}, "no images of this part"),
        ({"imgs": {"1": {"file_name": "a.jpg"}}}, "imgs.1: no 'set'"),
        ({"imgToAnns": None}, "no 'imgToAnns'"),
    ],
)
def test_broken_cocotext(
    tmp_path: Path, changes: dict, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill_cocotext(tmp_path, **changes)
    assert run("cocotext", tmp_path, tmp_path) == 1
    error = capsys.readouterr().err  # annotations that others name may lack as well
    assert str(tmp_path / "cocotext.v2.json") in error
    assert place in error
    assert not (tmp_path / "textdet_train.json").exists()


def fill_textocr(raw: Path) -> None:
    for part in ("train", "val"):
        save(raw / "train_images" / f"{part}0.jpg")
        word = {"points": [1, 2, 9.1, 2, 9, 8], "utf8_string": "A"}
        document = {
            "imgs": {f"{part}0": {"file_name": f"train/{part}0.jpg", "set": part}},
            "anns": {f"{part}0_1": word, f"{part}0_2": word | {"utf8_string": "."}},
            "imgToAnns": {f"{part}0": [f"{part}0_2", f"{part}0_1"]},
        }
        save(raw / f"TextOCR_0.1_{part}.json", json.dumps(document))


def test_textocr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill_textocr(tmp_path)
    assert run("textocr", tmp_path, tmp_path) == 0
    (train,), (test,) = read(tmp_path, "train"), read(tmp_path, "test")
    assert words(train) == [
        ([1, 2, 9.1, 2, 9, 8], ".", True),
        ([1, 2, 9.1, 2, 9, 8], "A", False),
    ]
    assert test["img_path"] == "train_images/val0.jpg"
    capsys.readouterr()
    save(tmp_path / "TextOCR_0.1_val.json", '{"imgs": ')
    error = failure(capsys, run("textocr", tmp_path, tmp_path))
    assert str(tmp_path / "TextOCR_0.1_val.json") in error


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", PUBLIC)
def test_missing_downloads_are_named_with_their_origin(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw").mkdir()
    error = failure(capsys, run(name, tmp_path / "raw", tmp_path / "out"))
    assert re.search(r"lacks .* download from https?://", error)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", PUBLIC)
def test_config_part_names_the_data_set(name: str) -> None:
    """Parts NAME_train and NAME_test, of the folder that the header's command writes."""
    path = config_folder() / "_base_" / "datasets" / f"{name}.py"
    parts = Config.fromfile(path)
    assert f"{name}_train" in parts
    for key, dataset in parts.items():
        part = key.removeprefix(f"{name}_")
        assert dataset["data_root"] == f"data/{name}"
        assert dataset["ann_file"] == f"textdet_{part}.json"
        assert dataset.get("test_mode", False) == (part == "test")


@pytest.mark.parametrize(
    ("name", "fill"),
    [("td500", fill_td500), ("ctw1500", fill_ctw1500), ("totaltext", fill_totaltext)],
)
def test_next_step_is_possible(
    tmp_path: Path,
    name: str,
    fill: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last line names a config that is there, or one's part where there is none."""
    fill(tmp_path)
    assert run(name, tmp_path, tmp_path) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    config = last.split()[3]
    if config == "YOUR_CONFIG":
        assert str(config_folder() / "_base_" / "datasets" / f"{name}.py") in last
    else:
        assert config.endswith(name)
        assert list(config_folder().rglob(f"{config}.py"))


def test_parts_for_validation_are_not_drawn_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for parts, reason in (({"train": [], "val": []}, "already"), ({"test": []}, "train on")):
        monkeypatch.setitem(PREPARERS, "td500", lambda *_, parts=parts: parts)
        status = run("td500", tmp_path, tmp_path / "out", "--val-fraction", "0.5")
        assert reason in failure(capsys, status)
    assert not (tmp_path / "out").exists()


def test_public_data_sets_are_registered() -> None:
    assert set(PUBLIC) <= set(PREPARERS)
