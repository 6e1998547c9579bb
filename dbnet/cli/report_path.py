"""Where a command may write a report."""

import os
from pathlib import Path

from dbnet.errors import UserError


def check_report_path(path: Path, mark: bytes) -> None:
    """Ensure that a report can be written, and overwrites nothing but an earlier one.

    Args:
        path: Of the report.
        mark: What each such report has near its beginning.

    Raises:
        UserError: It cannot, or would.
    """
    if not path.parent.is_dir():
        raise UserError(f"{path}: no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):  # found out now, not after an hour of work
        raise UserError(f"{path}: cannot write into the folder {path.parent}")
    if os.path.lexists(path) and not _is_report(path, mark):
        raise UserError(
            f"{path} is there already, is no report of this tool and will not be "
            "overwritten; choose another name"
        )


def _is_report(path: Path, mark: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return mark in file.read(200)
