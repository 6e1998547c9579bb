"""Where a command may write a report."""

import os
from pathlib import Path

from dbnet.errors import UserError


def check_report_path(path: Path, mark: bytes) -> None:
    """Ensure that a report can be written, and overwrites nothing but an earlier one.

    Such a one has `mark` near its beginning.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path}: no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):  # found out now, not after an hour of work
        raise UserError(f"{path}: cannot write into the folder {path.parent}")
    try:
        free = not os.path.lexists(path) or is_report(path, mark)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    if not free:
        raise UserError(
            f"{path} is there already, is no report of this tool and will not be "
            "overwritten; choose another name"
        )


def is_report(path: Path, mark: bytes) -> bool:
    """Return whether a file has the mark of a report near its beginning."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return mark in file.read(200)
