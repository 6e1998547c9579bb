import argparse
import os
from pathlib import Path

from dbnet.errors import UserError


def positive(text: str) -> int:
    """Parse a whole number above 0, for `argparse`."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def check_folder(name: str, folder: str | Path) -> None:
    """See, before a run, that a folder can be written to, or made; it is not made yet.

    Args:
        name: What the folder is, for the message.
        folder: Path.

    Raises:
        UserError: It, or what it would be made in, is a file or cannot be written to.
    """
    path = Path(os.path.abspath(folder))
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise UserError(f"{name} {folder}: {nearest} is a file, choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{name} {folder}: {nearest} cannot be written to, choose another folder")


def not_negative(text: str) -> int:
    """Parse a whole number of 0 or more, for `argparse`."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 or more, got {text!r}")
    return int(text)


def as_seed(text: str) -> int:
    """Parse the seed of a random generator, for `argparse`; NumPy's takes 32 bits."""
    if not text.isdecimal() or int(text) >= 1 << 32:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from 0 to 2^32 - 1, got {text!r}"
        )
    return int(text)
