"""Order and spelling of names."""

import re


def natural_key(name: str) -> list[str | int]:
    """Make a sort key that orders numbers by their value.

    >>> sorted(["img_10", "img_2"], key=natural_key)
    ['img_2', 'img_10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
