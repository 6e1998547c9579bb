"""Values of arguments, checked as they are parsed."""

import argparse
from collections.abc import Callable
from typing import Any


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    return _whole(text, 1, "above 0")


def not_negative(text: str) -> int:
    """Parse a whole number of 0 or more."""
    return _whole(text, 0, "0 or more")


def above_zero(text: str) -> float:
    """Parse a number above 0."""
    return _number(text, lambda number: 0 < number < float("inf"), "above 0")


def as_share(text: str) -> float:
    """Parse a number from 0 to 1."""
    return _number(text, lambda number: 0 <= number <= 1, "from 0 to 1")


def as_port(text: str) -> int:
    """Parse the number of a TCP port."""
    return _whole(text, 0, "from 0 to 65535", 65535)


def as_seed(text: str) -> int:
    """Parse the seed of a random generator; NumPy's takes 32 bits."""
    return _whole(text, 0, "from 0 to 2^32 - 1", (1 << 32) - 1)


def _number(text: str, fits: Callable[[float], bool], words: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not fits(number):
        raise argparse.ArgumentTypeError(f"expected a number {words}, got {text!r}")
    return number


def _whole(text: str, least: int, words: str, most: float = float("inf")) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        comma = "," if words[0] == "0" else ""
        raise argparse.ArgumentTypeError(f"expected a whole number{comma} {words}, got {text!r}")
    return int(text)


def parse_size(text: str) -> tuple[int, int]:
    """Parse "1333,736" as (W, H)."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected W,H in pixels, such as 1333,736, got {text!r}")
    return int(parts[0]), int(parts[1])


def parse_tta(text: str) -> list[str]:
    """Parse "flip,scale", or one of them."""
    kinds = text.split(",")
    if set(kinds) - {"flip", "scale"}:
        raise argparse.ArgumentTypeError(f"expected flip, scale or flip,scale, got {text!r}")
    return kinds


def parse_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


class ConfigOptions(argparse.Action):
    """Collect KEY=VALUE pairs as mmengine's `DictAction` does, which is imported at first use."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        for value in values:
            if "=" not in value:
                parser.error(f"argument --cfg-options: expected KEY=VALUE, got {value!r}")
        from mmengine.config import DictAction

        DictAction([], self.dest)(parser, namespace, values, option_string)
