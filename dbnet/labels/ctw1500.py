"""SCUT-CTW1500: lines of curved text as polygons of 14 corners."""

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.annotation import Entries
from dbnet.labels.downloads import find_downloads, to_folder
from dbnet.labels.lazy_entries import read_pairs
from dbnet.labels.pairs import pair_files
from dbnet.labels.text_lines import Words, parse_lines, to_polygon

ORIGIN = "https://github.com/Yuliang-Liu/Curve-Text-Detector (for research, not for commerce)"
DOWNLOADS = [
    ["train_images", "ctw1500_train_images"],
    ["ctw1500_train_labels"],
    ["test_images", "ctw1500_test_images"],
    ["gt_ctw1500", "ctw1500_test_labels"],
]
NUM_COORDINATES = 28
TEXT_MARK = "####"  # stands before each transcription in the test part
UNREADABLE = "###"  # the transcription of a text that does not count


def prepare_ctw1500(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare SCUT-CTW1500: 1000 training and 500 test images, text lines as polygons.

    Args:
        raw: The folder with the four downloads, each a zip or a folder.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and "test", in natural order of the images' names.
    """
    downloads = find_downloads(raw, DOWNLOADS, ORIGIN)
    train_images, train_gt, test_images, test_gt = (to_folder(d, out, copy) for d in downloads)
    train_pairs = pair_files([train_images], train_gt, prefix="", truth_suffix=".xml")
    test_pairs = pair_files([test_images], test_gt, prefix="000")  # 1001.jpg and 0001001.txt
    return {
        "train": read_pairs(train_pairs, parse_xml, out),
        "test": read_pairs(test_pairs, parse_text, out),
    }


def parse_xml(content: bytes, source: str) -> Words:
    """Parse the training part's `<box><label>text</label><segs>x1,y1,...</segs></box>`.

    Args:
        content: The file's bytes.
        source: The file's name for messages.

    Returns:
        Per text a (14, 2) float32 polygon in pixels, the transcription, and whether it is ignored.
    """
    polygons, texts = [], []
    try:
        root = ET.fromstring(content)
    except ET.ParseError as error:
        line = error.position[0]
        raise UserError(f"{source}, line {line}: not XML ({error}), download it again") from error
    for number, box in enumerate(root.iter("box"), start=1):
        try:
            polygons.append(_to_polygon((box.findtext("segs") or "").split(",")))
        except ValueError as error:
            raise UserError(f"{source}, box {number}, segs: {error}") from error
        texts.append(box.findtext("label") or "")
    return polygons, texts, [text == UNREADABLE for text in texts]


def parse_text(content: bytes, source: str) -> Words:
    """Parse the test part's lines `x1,y1,...,x14,y14,####transcription`.

    Args:
        content: The file's bytes, UTF-8 with or without a byte-order mark, any line ends.
        source: The file's name for messages.

    Returns:
        The same as `parse_xml`.
    """
    expected = f"x1,y1,...,x14,y14,{TEXT_MARK}transcription"
    return parse_lines(content, source, expected, _parse_line)


def _parse_line(line: str) -> tuple[np.ndarray, str, bool]:
    *numbers, text = line.split(",", NUM_COORDINATES)
    polygon = _to_polygon(numbers)
    if not text.startswith(TEXT_MARK):
        raise ValueError(f"{text!r} follows the coordinates")
    text = text.removeprefix(TEXT_MARK)
    return polygon, text, text == UNREADABLE


def _to_polygon(numbers: list[str]) -> np.ndarray:
    if len(numbers) != NUM_COORDINATES:
        raise ValueError(f"there are {len(numbers)} coordinates, not {NUM_COORDINATES}")
    return to_polygon(numbers)
