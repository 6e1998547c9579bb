"""MSRA-TD500: lines of English and Chinese text as rotated rectangles."""

import math
from pathlib import Path

import numpy as np

from dbnet.labels.annotation import Entries
from dbnet.labels.downloads import find_archive
from dbnet.labels.lazy_entries import read_pairs
from dbnet.labels.pairs import pair_files
from dbnet.labels.text_lines import Words, parse_lines, to_polygon

ORIGIN = (
    "http://www.iapr-tc11.org/mediawiki/index.php/MSRA_Text_Detection_500_Database_(MSRA-TD500)"
)
PARTS = ["train", "test"]


def prepare_td500(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare MSRA-TD500: 300 training and 200 test images, text lines as rotated rectangles.

    Args:
        raw: The folder with MSRA-TD500, as a zip or a folder, or with its folders train and test.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and "test", in natural order of the images' names.
    """
    folder = find_archive(raw, ["MSRA-TD500"], PARTS, out, copy, ORIGIN)
    pairs_of = {
        part: pair_files([folder / part], folder / part, prefix="", truth_suffix=".gt")
        for part in PARTS
    }
    return {part: read_pairs(pairs, parse_lines_of_text, out) for part, pairs in pairs_of.items()}


def parse_lines_of_text(content: bytes, source: str) -> Words:
    """Parse a file of lines `index difficult x y w h theta`.

    Args:
        content: The file's bytes, any line ends.
        source: The file's name for messages.

    Returns:
        Per text line a (4, 2) quad in pixels, "" (there are no transcriptions), and whether it is
        ignored, as the difficult ones are.
    """
    return parse_lines(content, source, "index difficult x y w h theta", _parse_line)


def rotated_rectangle(x: float, y: float, width: float, height: float, theta: float) -> np.ndarray:
    """Give the corners (4, 2) of a rectangle, clockwise on the screen from its own top left.

    Args:
        x: Left of the rectangle before it is turned, in pixels.
        y: Its top.
        width: Its width.
        height: Its height.
        theta: The angle in radians by which it is turned about its centre, clockwise on the screen.
    """
    centre = np.array([x + width / 2, y + height / 2])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width / 2, height / 2]
    cos, sin = math.cos(theta), math.sin(theta)
    return corners @ np.array([[cos, sin], [-sin, cos]]) + centre


def _parse_line(line: str) -> tuple[np.ndarray, str, bool]:
    fields = line.split()
    if len(fields) != 7:
        raise ValueError(f"there are {len(fields)} values, not 7")
    if fields[1] not in ("0", "1"):
        raise ValueError(f"difficult is {fields[1]!r}, not 0 or 1")
    with np.errstate(invalid="ignore"):  # to_polygon refuses what is not finite
        quad = rotated_rectangle(*map(float, fields[2:]))
    # Hundredths of a pixel: the ground truth is in whole pixels.
    return to_polygon(quad.ravel().round(2).tolist()), "", fields[1] == "1"
