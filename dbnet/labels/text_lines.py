"""Ground truth in lines of text: split and parse it; every complaint names file and line."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable

BOM = b"\xef\xbb\xbf"
UNREADABLE = "###"  # the transcription of a text that is ignored, in most formats

# Parses a file's bytes; its name is for messages.
Parse = Callable[[bytes, str], list[Instance]]


def split_lines(content: bytes) -> list[bytes]:
    """Split a file at LF, CRLF or CR; drop a byte-order mark and the empty lines at the end."""
    # Not str.splitlines(), which also splits at characters that a transcription may contain.
    content = content.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
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
        enumerate(split_lines(content), start=1), source, expected, parse_line
    )


def parse_records(
    records: Iterable[tuple[int, bytes]],
    source: str,
    expected: str,
    parse_record: Callable[[str], Instance],
) -> list[Instance]:
    """Parse records of one text each.

    Args:
        records: The number of the record's first line, and its bytes in UTF-8.
        source: The file's name for messages.
        expected: The form of a record, for messages.
        parse_record: Raises `ValueError`, whose message follows "but" in this function's.

    Raises:
        UserError: A record cannot be parsed and nobody gathers faults; its line is named.
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
