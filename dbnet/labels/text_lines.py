"""Ground truth in lines of text: split and parse it; every complaint names file and line."""

import codecs
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Instance
from dbnet.labels.faults import note_doubt, readable

# UTF-32 first, whose mark in little-endian order begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NOT_UTF8 = "label files that are not UTF-8 are read as GB18030; names and texts may be wrong"
UNREADABLE = "###"  # the transcription of a text that is ignored, in most formats

# Parses a file's bytes; its name is for messages.
Parse = Callable[[bytes, str], list[Instance]]


def to_utf8(content: bytes, source: str) -> bytes:
    """Decode a file by its byte-order mark, else as UTF-8, else as Windows in China writes it."""
    encoding = next((name for mark, name in MARKS if content.startswith(mark)), "")
    for name in [encoding] if encoding else ["utf-8", "gb18030"]:
        try:
            text = content.decode(name)
        except UnicodeDecodeError as error:
            problem = error
            continue
        if name == "gb18030":
            note_doubt(source, NOT_UTF8)
        return text.encode("utf-8", errors="surrogatepass")
    raise UserError(f"{source}: {problem}; save the file as UTF-8")


def split_lines(content: bytes, source: str) -> list[bytes]:
    """Split a file at LF, CRLF or CR into UTF-8, without empty lines at the end.

    See `to_utf8` for its encoding; `source` is its name.
    """
    # Not str.splitlines(), which also splits at characters that a transcription may contain.
    content = to_utf8(content, source).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = content.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def line_parser(expected: str, parse_line: Callable[[str], Instance]) -> Parse:
    """Make the parser of a file of one text per line, see `parse_records`.

    >>> from dbnet.labels.public import parse_quads
    >>> parse_quads(b"0,0,9,0,9,5,0,5,Exit", "gt_img_1.txt")[0].text
    'Exit'
    """
    return lambda content, source: parse_records(
        enumerate(split_lines(content, source), start=1), source, expected, parse_line
    )


def parse_records(
    records: Iterable[tuple[int, bytes]],
    source: str,
    expected: str,
    parse_record: Callable[[str], Instance],
) -> list[Instance]:
    """Parse records of one text each: the number of its first line, and its bytes in UTF-8.

    `expected` is the form of a record, for messages; `parse_record` raises `ValueError`, whose
    message follows "but" there.
    """

    def parse(numbered: tuple[int, bytes]) -> Instance:
        number, record = numbered
        try:
            return parse_record(record.decode("utf-8"))
        except ValueError as error:  # UnicodeDecodeError is one
            raise UserError(
                f"{source}, line {number}: expected {expected} in UTF-8, but {error}"
            ) from error

    return list(readable(parse, records))


def to_polygon(numbers: Sequence[str | float], count: int | None = None) -> np.ndarray:
    """Turn x1, y1, x2, y2, ..., `count` numbers if given, into (N, 2) float32.

    >>> to_polygon(["0", "0", "9.5", "0", "9.5", "5"]).tolist()
    [[0.0, 0.0], [9.5, 0.0], [9.5, 5.0]]

    Raises:
        ValueError: Their count is wrong, 0 or odd, or one is not a finite number.
    """
    if count is not None and len(numbers) != count:
        raise ValueError(f"there are {len(numbers)} coordinates, not {count}")
    if not numbers or len(numbers) % 2:
        raise ValueError(f"there are {len(numbers)} coordinates, no pairs of x and y")
    with np.errstate(over="ignore"):  # too large for float32 is infinite, which is caught below
        polygon = np.array([float(number) for number in numbers]).astype(np.float32).reshape(-1, 2)
    if not np.isfinite(polygon).all():
        raise ValueError(f"a coordinate is not finite: {','.join(map(str, numbers))}")
    return polygon
