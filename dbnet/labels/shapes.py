"""Shapes that labelling tools draw, as polygons (N, 2) in pixels."""

import math
import re
from typing import NoReturn

import numpy as np

from dbnet.geometry import rectangle, rotated
from dbnet.labels.json_node import JsonNode


def pairs(node: JsonNode) -> np.ndarray:
    """Read a text "x1,y1 x2,y2 ..." with any of comma, semicolon and space between the numbers."""
    parts = re.split(r"[\s,;]+", node.text().strip())
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        node.fail(f"{node.text()[:40]!r} is no list of points x,y; fix it")
    return JsonNode(numbers, node.source, node.path).flat_polygon()


def sized_box(node: JsonNode, keys: tuple[str, str, str, str]) -> np.ndarray:
    """Read the corners of a box from its left, top, width and height by these keys."""
    left, top, width, height = (node.field(key).number() for key in keys)
    if min(width, height) < 0:
        node.fail("a box of a negative width or height; fix it")
    return rectangle(left, top, left + width, top + height)


def edged_box(node: JsonNode, keys: tuple[str, str, str, str]) -> np.ndarray:
    """Read the corners of a box from its left, top, right and bottom by these keys."""
    left, top, right, bottom = (node.field(key).number() for key in keys)
    if left > right or top > bottom:
        node.fail(f"{left:g},{top:g} to {right:g},{bottom:g} is no box; fix it")
    return rectangle(left, top, right, bottom)


def turned(corners: np.ndarray, degrees: float) -> np.ndarray:
    """Turn a box about its centre, clockwise on the screen; to 1/10,000 of a pixel."""
    return rotated(corners, math.radians(degrees)).round(4) if degrees else corners


def points_xy(node: JsonNode) -> np.ndarray:
    """Read a list of objects with `x` and `y`, of which a service leaves out those that are 0."""
    points = [[point.optional(axis) for axis in "xy"] for point in node.items()]
    found = [[side.number() if side else 0.0 for side in point] for point in points]
    return JsonNode(found, node.source, node.path).points()


def no_outline(node: JsonNode, kind: str) -> NoReturn:
    """Refuse a shape; skipping it would make its text background."""
    node.fail(f"a {kind} is no outline of a text; redraw it as a polygon, or delete it")
