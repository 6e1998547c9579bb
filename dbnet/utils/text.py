"""Order of names, and tables of text."""

import re
from collections.abc import Sequence


def natural_key(name: str) -> list[str | int]:
    """Make a sort key that orders numbers by their value.

    >>> sorted(["img_10", "img_2"], key=natural_key)
    ['img_2', 'img_10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def format_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns of a table: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))])
        for row in rows
    ]
