"""Total-Text: curved, slanted and straight words as polygons."""

import ast
import io
import re
from pathlib import Path

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Entries, Instance
from dbnet.labels.faults import readable
from dbnet.labels.files import find_downloads, find_folder, list_files, pair_files, to_folder
from dbnet.labels.lazy import LazyEntries, read_pairs
from dbnet.labels.matlab import read_variable
from dbnet.labels.request import Request
from dbnet.labels.text_lines import parse_records, split_lines, to_polygon

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


def prepare_totaltext(request: Request) -> dict[str, Entries]:
    """Prepare Total-Text: 1255 training and 300 test images, words as polygons."""
    downloads = find_downloads(request.raw, DOWNLOADS, ORIGIN)
    images, truths = (to_folder(download, request) for download in downloads)
    if (truths / "Polygon").is_dir():  # next to the rectangles of the same words
        truths = truths / "Polygon"
    return {part: _read_part(images, truths, part, request.out) for part in ("train", "test")}


def _read_part(images: Path, truths: Path, part: str, out: Path) -> LazyEntries:
    image_folder, truth_folder = (find_folder(f, part, ORIGIN) for f in (images, truths))
    suffix = ".txt" if list_files(truth_folder, [".txt"], PREFIX) else ".mat"
    pairs = pair_files([image_folder], truth_folder, PREFIX, suffix)
    return read_pairs(pairs, parse_polygons if suffix == ".txt" else parse_matlab, out)


def parse_polygons(content: bytes, source: str) -> list[Instance]:
    """Parse records `x: [[..]], y: [[..]], ornt: [u'c'], transcriptions: [u'..']`."""
    expected = "x: [[..]], y: [[..]], ornt: [..], transcriptions: [..]"
    return parse_records(_split_records(content, source), source, expected, _parse_record)


def parse_matlab(content: bytes, source: str) -> list[Instance]:
    """Parse the variable `polygt` of a .mat file: rows "x:", xs, "y:", ys, text, orientation."""

    def parse_row(numbered: tuple[int, np.ndarray]) -> Instance:
        number, row = numbered
        try:
            _, x, _, y, *strings = row
            text, orientation = (str(np.ravel(s)[0]) if np.size(s) else "" for s in strings)
            return _instance(np.ravel(x).tolist(), np.ravel(y).tolist(), text, orientation)
        except (ValueError, TypeError) as error:
            raise UserError(f"{source}, row {number} of polygt: {error}") from error

    rows = read_variable(io.BytesIO(content), source, "polygt")
    return list(readable(parse_row, enumerate(rows, start=1)))


def _split_records(content: bytes, source: str) -> list[tuple[int, bytes]]:
    """Join the lines of each record, which begins with `x:`; add its first line's number."""
    records: list[tuple[int, bytes]] = []
    for number, line in enumerate(split_lines(content, source), start=1):
        if line.startswith(b"x:") or not records:
            records.append((number, line))
        else:
            first, begun = records[-1]
            records[-1] = first, begun + b"\n" + line
    return records


def _parse_record(record: str) -> Instance:
    match = RECORD.fullmatch(record)
    if match is None:
        raise ValueError(f"it is {record!r}")
    x, y = (re.split(r"[\s,]+", match[axis].strip()) for axis in "xy")
    return _instance(x, y, _unquote(match["text"]), _unquote(match["orientation"]))


def _instance(x: list, y: list, text: str, orientation: str) -> Instance:
    if len(x) != len(y):
        raise ValueError(f"there are {len(x)} x and {len(y)} y")
    polygon = to_polygon([number for point in zip(x, y) for number in point])
    return Instance(polygon, text, text in ("", UNREADABLE) or orientation == UNREADABLE)


def _unquote(strings: str) -> str:
    """Read a list of strings as Python prints it; a comma joins several."""
    try:
        return ",".join(map(str, ast.literal_eval(strings)))
    except (SyntaxError, ValueError):  # typed by hand, such as [u'DON'T']
        return re.sub(r"\A\[\s*u?['\"]?|['\"]?\s*\]\Z", "", strings)
