"""Annotation files in MMOCR 1.x's format, as they are."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbnet.datasets.repair import read_polygon
from dbnet.errors import UserError
from dbnet.remote.paths import is_url, shown
from dbnet.utils.files import refuse_special


class Entry(NamedTuple):
    """One image of an annotation file."""

    img_path: str  # path of the image, as the file has it
    size: tuple[int, int] | None  # (H, W) in pixels, if the file states it
    # (P, 2) float32, the vertices of all its polygons, one polygon after the other.
    points: np.ndarray
    lengths: list[int]  # number of vertices of each polygon
    ignored: list[bool]  # "Don't care", for each polygon
    num_chars: list[int]  # length of the transcription of each polygon, -1 without one
    faults: list[str]  # a line for each instance that was not taken as the file has it
    num_words: int  # instances in the file


def parse_entry(node: dict) -> Entry:
    """Check an item of `data_list` and repair its polygons, see `dbnet.datasets.repair`.

    Raises:
        AttributeError, KeyError, TypeError: It is not in the format.
    """
    findings = [read_polygon(item["polygon"]) for item in node["instances"]]
    ignored = [bool(item["ignore"]) for item in node["instances"]]
    texts = [item.get("text") for item in node["instances"]]
    num_chars = [len(text) if isinstance(text, str) else -1 for text in texts]
    polygons = [finding.polygon for finding in findings if finding.polygon is not None]
    faults = [
        f"({shown(node['img_path'])}): instances[{i}]: {finding.fault}"
        + (", left out" if finding.polygon is None else "")
        for i, finding in enumerate(findings)
        if finding.fault
    ]
    return Entry(
        img_path=node["img_path"] if is_url(node["img_path"]) else str(Path(node["img_path"])),
        size=stated_size(node),
        points=np.concatenate(polygons) if polygons else np.zeros((0, 2), np.float32),
        lengths=[len(polygon) for polygon in polygons],
        ignored=[flag for flag, finding in zip(ignored, findings) if finding.polygon is not None],
        num_chars=[n for n, finding in zip(num_chars, findings) if finding.polygon is not None],
        faults=faults,
        num_words=len(findings),
    )


def read_data_list(path: Path, object_hook: Callable[[dict], Any] | None = None) -> list[Any]:
    """Read `data_list`; what its entries are is not looked at.

    Args:
        path: The file, UTF-8 with or without a byte-order mark.
        object_hook: Takes each object of the JSON while it is being read, as in `json.loads`.
    """
    try:
        refuse_special(path)
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
