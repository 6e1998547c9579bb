"""Annotation files in MMOCR 1.x's format, as far as every reader needs the same of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dbnet.errors import UserError


def read_data_list(path: Path, object_hook: Callable[[dict], Any] | None = None) -> list[Any]:
    """Read `data_list`; what its entries are is not looked at.

    Args:
        path: The file, UTF-8 with or without a byte-order mark.
        object_hook: Takes each object of the JSON while it is being read, as in `json.loads`.

    Raises:
        UserError: The file is missing, cannot be read, or has no image in its `data_list`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_hook=object_hook)
    except FileNotFoundError:
        raise UserError(
            f"annotation file {path} not found; make it with tools/prepare_data.py, or give "
            "its folder with --data-root"
        ) from None
    except OSError as error:
        raise UserError(
            f"annotation file {path}: {error.strerror}; --data-root is the folder of the "
            "annotation files"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("data_list"), list):
        raise UserError(f'{path}: no "data_list"; expected MMOCR 1.x\'s annotation format')
    if not content["data_list"]:
        raise UserError(f"{path}: data_list is empty; there is no image in it")
    return content["data_list"]


def stated_size(entry: dict) -> tuple[int, int] | None:
    """Read (height, width) of an entry; None if it states none."""
    height, width = entry.get("height"), entry.get("width")
    if type(height) is type(width) is int and height > 0 < width:
        return height, width
    return None
