"""Total-Text: curved, slanted and straight words as polygons."""

import ast
import io
import re
from pathlib import Path

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.annotation import Entries
from dbnet.labels.downloads import find_downloads, find_folder, to_folder
from dbnet.labels.lazy_entries import LazyEntries, read_pairs
from dbnet.labels.matlab import read_variable
from dbnet.labels.pairs import list_files, pair_files
from dbnet.labels.text_lines import Words, split_lines, to_polygon

ORIGIN = "https://github.com/cs-chan/Total-Text-Dataset (images, and polygons as .txt or .mat)"
DOWNLOADS = [
    ["Images", "totaltext"],
    ["groundtruth_text", "txt_format", "Polygon", "Groundtruth"],
]
PREFIX = "poly_gt_"
UNREADABLE = "#"  # transcription or orientation of a word that does not count
RECORD = re.compile(
    r"x:\s*\[\[(?P<x>[^\]]*)\]\],\s*y:\s*\[\[(?P<y>[^\]]*)\]\],"
    r"\s*ornt:\s*(?P<orientation>\[.*?\]),\s*transcriptions:\s*(?P<text>\[.*\])\s*",
    re.DOTALL,
)


def prepare_totaltext(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare Total-Text: 1255 training and 300 test images, words as polygons.

    Args:
        raw: The folder with images and ground truth, each a zip or a folder.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and "test", in natural order of the images' names.
    """
    downloads = find_downloads(raw, DOWNLOADS, ORIGIN)
    images, truths = (to_folder(download, out, copy) for download in downloads)
    if (truths / "Polygon").is_dir():  # beside the rectangles of the same words
        truths = truths / "Polygon"
    return {part: _read_part(images, truths, part, out) for part in ("train", "test")}


def parse_polygons(content: bytes, source: str) -> Words:
    """Parse a file of `x: [[..]], y: [[..]], ornt: [u'c'], transcriptions: [u'..']`.

    Args:
        content: The file's bytes, UTF-8; a record may go on in the next lines.
        source: The file's name for messages.

    Returns:
        Per word a (N, 2) float32 polygon in pixels, the transcription, and whether it is ignored.
    """
    polygons, texts, ignored = [], [], []
    for number, record in _split_records(content):
        try:
            polygon, text, ignore = _parse_record(record.decode("utf-8"))
        except ValueError as error:
            raise UserError(
                f"{source}, line {number}: expected x: [[..]], y: [[..]], ornt: [..], "
                f"transcriptions: [..] in UTF-8, but {error}"
            ) from error
        polygons.append(polygon)
        texts.append(text)
        ignored.append(ignore)
    return polygons, texts, ignored


def parse_matlab(content: bytes, source: str) -> Words:
    """Parse the variable `polygt` of a MATLAB file: rows of "x:", xs, "y:", ys, text, orientation.

    Args:
        content: The file's bytes.
        source: The file's name for messages.

    Returns:
        The same as `parse_polygons`.
    """
    polygons, texts, ignored = [], [], []
    for number, row in enumerate(read_variable(io.BytesIO(content), source, "polygt"), start=1):
        try:
            _, x, _, y, *strings = row
            text, orientation = (str(np.ravel(s)[0]) if np.size(s) else "" for s in strings)
            polygons.append(_to_polygon(np.ravel(x).tolist(), np.ravel(y).tolist()))
        except (ValueError, TypeError) as error:
            raise UserError(f"{source}, row {number} of polygt: {error}") from error
        texts.append(text)
        ignored.append(_is_ignored(text, orientation))
    return polygons, texts, ignored


def _read_part(images: Path, truths: Path, part: str, out: Path) -> LazyEntries:
    image_folder, truth_folder = (find_folder(f, part, ORIGIN) for f in (images, truths))
    suffix = ".txt" if list_files(truth_folder, [".txt"], PREFIX) else ".mat"
    pairs = pair_files([image_folder], truth_folder, PREFIX, suffix)
    return read_pairs(pairs, parse_polygons if suffix == ".txt" else parse_matlab, out)


def _split_records(content: bytes) -> list[tuple[int, bytes]]:
    """Join the lines of each record, which begins with `x:`; give its first line's number too."""
    records: list[tuple[int, bytes]] = []
    for number, line in enumerate(split_lines(content), start=1):
        if line.startswith(b"x:") or not records:
            records.append((number, line))
        else:
            first, begun = records[-1]
            records[-1] = first, begun + b"\n" + line
    return records


def _parse_record(record: str) -> tuple[np.ndarray, str, bool]:
    match = RECORD.fullmatch(record)
    if match is None:
        raise ValueError(f"it is {record!r}")
    x, y = (re.split(r"[\s,]+", match[axis].strip()) for axis in "xy")
    text = _unquote(match["text"])
    return _to_polygon(x, y), text, _is_ignored(text, _unquote(match["orientation"]))


def _to_polygon(x: list, y: list) -> np.ndarray:
    if len(x) != len(y):
        raise ValueError(f"there are {len(x)} x and {len(y)} y")
    return to_polygon([number for point in zip(x, y) for number in point])


def _unquote(strings: str) -> str:
    """Read a list of strings as Python prints it; a comma stands where several are joined."""
    try:
        return ",".join(map(str, ast.literal_eval(strings)))
    except (SyntaxError, ValueError):  # typed by hand, such as [u'DON'T']
        return re.sub(r"\A\[\s*u?['\"]?|['\"]?\s*\]\Z", "", strings)


def _is_ignored(text: str, orientation: str) -> bool:
    return text in ("", UNREADABLE) or orientation == UNREADABLE
