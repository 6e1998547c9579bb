"""Shapes that labelling tools draw, as polygons (N, 2) in pixels; masks by their outlines."""

import math
import re
from collections.abc import Iterator, Sequence
from typing import NoReturn

import cv2
import numpy as np

from dbnet.geometry import rectangle, rotated
from dbnet.images import MAX_PIXELS
from dbnet.labels.json_node import JsonNode

MAX_DIGITS = 7  # of a run in text, 5 bits each
TOLERANCE = 1.0  # pixels by which the simplified outline of a mask may differ


def pairs(node: JsonNode) -> np.ndarray:
    """Read a text "x1,y1 x2,y2 ..." with any of comma, semicolon and space between the numbers."""
    parts = re.split(r"[\s,;]+", node.text().strip())
    try:
        return node.with_value([float(part) for part in parts]).flat_polygon()
    except ValueError:
        node.fail(f"{node.text()[:40]!r} is no list of points x,y; fix it")


def sized_box(node: JsonNode, keys: Sequence[str]) -> np.ndarray:
    """Read the corners of a box from its left, top, width and height by these keys."""
    left, top, width, height = (node.field(key).number() for key in keys)
    if min(width, height) < 0:
        node.fail("a box of a negative width or height; fix it")
    return rectangle(left, top, left + width, top + height)


def edged_box(node: JsonNode, keys: Sequence[str]) -> np.ndarray:
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
    points = [[point.number_of(axis) for axis in "xy"] for point in node.items()]
    return node.with_value(points).points()


def no_outline(node: JsonNode, kind: str) -> NoReturn:
    """Refuse a shape; skipping it would make its text background."""
    node.fail(f"a {kind} is no outline of a text; redraw it as a polygon, or delete it")


def read_mask(node: JsonNode) -> np.ndarray:
    """Decode COCO's mask `{"size": [height, width], "counts": ...}` to (H, W) uint8, 1 inside.

    `counts` are the lengths of runs of 0 and 1 in turn, down the columns: a list, or a text as
    pycocotools writes it. A `UserError` if it is none, or not of the size that it states.
    """
    size, counts = node.field("size"), node.field("counts")
    sides = [int(number) for number in size.numbers()]
    if len(sides) != 2:
        size.fail(f"{size.value} is not [height, width]; export it again")
    height, width = sides
    if min(sides) < 1 or height * width > MAX_PIXELS:
        size.fail(f"a mask of {width} x {height} pixels; export it again")
    lengths = list(_unpack(counts) if isinstance(counts.value, str) else _listed(counts))
    return unroll(lengths, width, height, counts).reshape(width, height).T


def unroll(runs: Sequence[int], width: int, height: int, node: JsonNode) -> np.ndarray:
    """Return the pixels (width * height,) uint8 of runs of 0 and 1 in turn."""
    if any(run < 0 for run in runs) or sum(runs) != width * height:
        node.fail(f"its runs do not fill {width} x {height} pixels; export it again")
    return np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs)


def outline(mask: np.ndarray, node: JsonNode, what: str = "it") -> np.ndarray:
    """Return the largest outer contour (N, 2) of a mask (H, W), simplified.

    It passes through the centres of the outermost pixels, so that filling it gives the mask again.
    Without area it fails at `node`, with the advice to delete `what`.
    """
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) == 0:
        node.fail(f"a mask without area; delete {what}")
    simple = cv2.approxPolyDP(largest, TOLERANCE, closed=True)
    kept = simple if len(simple) > 2 else largest
    return kept.reshape(-1, 2).astype(np.float64)


def _listed(counts: JsonNode) -> Iterator[int]:
    for item in counts.items():
        if type(item.value) is not int:
            item.fail(f"expected a number of pixels, found {item.value!r}")
        yield item.value


def _unpack(counts: JsonNode) -> Iterator[int]:
    """Decode the text of pycocotools: from the fourth on, differences to the run before last."""
    last: Sequence[int] = (0, 0)
    number = digits = 0
    index = 0
    for character in counts.value:
        code = ord(character) - 48
        if not 0 <= code < 64 or digits == MAX_DIGITS:
            counts.fail("no run lengths in pycocotools' text; export it again")
        number |= (code & 0x1F) << 5 * digits
        digits += 1
        if code & 0x20:
            continue
        if code & 0x10:  # negative
            number -= 1 << 5 * digits
        if index > 2:
            number += last[0]
        yield number
        last, number, digits, index = (last[1], number), 0, 0, index + 1
    if digits:
        counts.fail("the text of run lengths is cut off; export it again")
