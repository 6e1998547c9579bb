"""Read annotation files of any quality into little memory."""

from array import array
from pathlib import Path
from typing import Any

import numpy as np

from dbnet.data_check.kinds import Finding
from dbnet.datasets.annotation_file import read_data_list
from dbnet.datasets.repair import NOT_FINITE, read_polygon

KEPT = ("img_path", "height", "width", "instances", "polygon", "ignore", "text")


def read_entries(path: Path) -> list[Any]:
    """Read `data_list` of an annotation file, see `read_data_list`."""
    return read_data_list(path, object_hook=_slim)


def _slim(node: dict) -> dict:
    """Pack the polygon of a word and drop what is not checked, while the JSON is being read.

    This needs a quarter of the memory per word.
    """
    if "data_list" in node:
        return node
    slim = {key: node[key] for key in KEPT if key in node}
    polygon = slim.get("polygon")
    if isinstance(polygon, list) and all(type(value) in (int, float, bool) for value in polygon):
        slim["polygon"] = array("d", map(_to_float, polygon))
    return slim


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return float("inf")


def entry_problem(entry: Any) -> str | None:
    """Describe what makes an entry of `data_list` unusable; None if nothing does."""
    if not isinstance(entry, dict):
        return f"is {type(entry).__name__}, not an object"
    if not isinstance(entry.get("img_path"), str):
        return "no img_path" if "img_path" not in entry else "img_path is no string"
    if "\0" in entry["img_path"]:
        return "img_path has a null character"
    if not isinstance(entry.get("instances"), list):
        return "no instances" if "instances" not in entry else "instances is no list"
    return None


def check_word(index: int, word: Any) -> tuple[Finding | None, np.ndarray | None]:
    """Read an item of `instances` as the loader does.

    Returns what is wrong, and its polygon (N, 2) float32, None if the loader leaves it out.
    """
    if not isinstance(word, dict) or "polygon" not in word:
        return Finding("bad-word", "no polygon", index), None
    if "ignore" not in word:
        return Finding("bad-word", "no ignore", index), None
    if word["ignore"] not in (True, False):
        detail = f"ignore is {word['ignore']!r}, not true or false"
        return Finding("bad-word", detail, index), None
    fault, polygon = read_polygon(word["polygon"])
    if fault is None:
        return None, polygon
    kind = "corner-order" if polygon is not None else _reason(fault, word["polygon"])
    return Finding(kind, fault, index), polygon


def _reason(fault: str, numbers: Any) -> str:
    """Name the kind of a polygon that is left out."""
    if fault == NOT_FINITE:
        return "not-finite"
    points = points_of(numbers)
    if points is None or np.size(numbers) % 2:
        return "bad-word"
    return "few-points" if len(points) < 3 else "no-area"


def points_of(numbers: Any) -> np.ndarray | None:
    """Return the points (N, 2) float64 of a polygon as written, without an odd last number."""
    try:
        flat = np.asarray(numbers, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        return None
    return flat[: len(flat) // 2 * 2].reshape(-1, 2)
