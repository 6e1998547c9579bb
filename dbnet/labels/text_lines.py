"""Ground truth in lines of text: decoded, split and read, with file and line in every complaint."""

from collections.abc import Callable, Sequence

import numpy as np

from dbnet.errors import UserError

BOM = b"\xef\xbb\xbf"

# Polygons (N, 2) float32 in pixels, transcriptions, whether a word is ignored: one each per word.
Words = tuple[list[np.ndarray], list[str], list[bool]]


def split_lines(content: bytes) -> list[bytes]:
    """Split a file at LF, CRLF or CR; drop a byte-order mark and the empty lines at the end."""
    # Not str.splitlines(), which also splits at characters that a transcription may contain.
    content = content.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = content.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def parse_lines(
    content: bytes,
    source: str,
    expected: str,
    parse_line: Callable[[str], tuple[np.ndarray, str, bool]],
) -> Words:
    """Parse a file of one word per line.

    Args:
        content: The file's bytes, UTF-8 with or without a byte-order mark, any line ends.
        source: The file's name for messages.
        expected: How a line looks, for messages.
        parse_line: Gives polygon, transcription and whether the word is ignored, or raises
            `ValueError`, whose message follows "but" in this function's.

    Raises:
        UserError: A line cannot be read; it is named.
    """
    polygons, texts, ignored = [], [], []
    for number, line in enumerate(split_lines(content), start=1):
        try:
            polygon, text, ignore = parse_line(line.decode("utf-8"))
        except ValueError as error:  # UnicodeDecodeError is one
            raise UserError(
                f"{source}, line {number}: expected {expected} in UTF-8, but {error}"
            ) from error
        polygons.append(polygon)
        texts.append(text)
        ignored.append(ignore)
    return polygons, texts, ignored


def to_polygon(numbers: Sequence[str | float]) -> np.ndarray:
    """Turn x1, y1, x2, y2, ... into (N, 2) float32.

    Raises:
        ValueError: There are no numbers, an odd number of them, or one that is none or not finite.
    """
    if not numbers or len(numbers) % 2:
        raise ValueError(f"there are {len(numbers)} coordinates, no pairs of x and y")
    with np.errstate(over="ignore"):  # too large for float32 is infinite, which is caught below
        polygon = np.array([float(number) for number in numbers]).astype(np.float32).reshape(-1, 2)
    if not np.isfinite(polygon).all():
        raise ValueError(f"a coordinate is not finite: {','.join(map(str, numbers))}")
    return polygon
