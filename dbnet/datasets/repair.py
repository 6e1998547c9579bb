"""Damaged annotations and images: each is reported once; too many of them stop the run.

An instance whose polygon has fewer than three points, no area or a coordinate that is not finite is
left out; a quad whose sides cross, as when its corners were listed row by row, gets the order of
its convex hull. Other polygons stay as they are.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from dbnet.datasets.shared_memory import SharedMemory
from dbnet.errors import UserError
from dbnet.geometry import signed_area
from dbnet.utils.log import log

NOT_FINITE = "a coordinate is not finite"
NUM_NAMED = 3  # first ones that a summary names


class Finding(NamedTuple):
    """What is wrong with an instance, and its polygon, (N, 2) float32; None if it is left out."""

    fault: str | None
    polygon: np.ndarray | None


def read_polygon(numbers: Any) -> Finding:
    """Turn the flat list of an annotation into a polygon, by the rules above."""
    try:
        points = np.asarray(numbers, dtype=np.float64).reshape(-1, 2)
    except OverflowError:  # a whole number of more than 308 digits
        return Finding(NOT_FINITE, None)
    except (TypeError, ValueError):
        return Finding("polygon is no list of x, y, x, y, ...", None)
    if len(points) < 3:
        return Finding(f"polygon has {len(points)} points", None)
    with np.errstate(over="ignore"):
        polygon = points.astype(np.float32)
    if not np.isfinite(polygon).all():
        return Finding(NOT_FINITE, None)
    if len(polygon) == 4 and sides_cross(polygon):
        # A hull lists a corner that lies on a side of it, or a repeated one, no more.
        hull = cv2.convexHull(polygon, clockwise=True).reshape(-1, 2)
        if abs(signed_area(hull)) > 0:
            return Finding("sides cross, taken in the order of the convex hull", hull)
    if signed_area(polygon) == 0:
        return Finding("polygon has no area", None)
    return Finding(None, polygon)


def sides_cross(quad: np.ndarray) -> bool:
    """Check whether two opposite sides of a (4, 2) quad pass through each other."""
    a, b, c, d = quad.tolist()  # Python's floats: arrays of two numbers take ten times as long
    return _pass_through(a, b, c, d) or _pass_through(b, c, d, a)


def sides_may_cross(quads: np.ndarray) -> np.ndarray:
    """Check for many (Q, 4, 2) float64 at once whether `sides_cross`, or is near to it; (Q,)."""
    a, b, c, d = quads.transpose(1, 0, 2)

    def sides(start: np.ndarray, end: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        (x, y), (dx, dy) = start.T, (end - start).T
        return (dx * (one[:, 1] - y) - dy * (one[:, 0] - x)) * (
            dx * (other[:, 1] - y) - dy * (other[:, 0] - x)
        )

    with np.errstate(invalid="ignore", over="ignore"):
        first = (sides(a, b, c, d) <= 0) & (sides(c, d, a, b) <= 0)
        second = (sides(b, c, d, a) <= 0) & (sides(d, a, b, c) <= 0)
    return first | second


def _pass_through(a: list[float], b: list[float], c: list[float], d: list[float]) -> bool:
    return _part(a, b, c, d) and _part(c, d, a, b)


def _part(start: list[float], end: list[float], one: list[float], other: list[float]) -> bool:
    """Check whether a line has two points strictly on different sides."""
    left, right = sorted((_side(start, end, one), _side(start, end, other)))
    return left < 0 < right


def _side(start: list[float], end: list[float], point: list[float]) -> float:
    (x, y), (px, py) = start, point
    return (end[0] - x) * (py - y) - (end[1] - y) * (px - x)


def check_share(
    what: str, faults: Sequence[str], total: int, max_damaged: float, ann_file: str
) -> None:
    """Warn of each fault; stop if they are more than the share `max_damaged` of `total`."""
    if len(faults) > max_damaged * total:
        raise too_many(what, faults[:NUM_NAMED], len(faults), total, max_damaged, ann_file)
    for fault in faults:
        warn(f"{ann_file}: {fault}")


def too_many(
    what: str, named: Iterable[str], count: int, total: int, max_damaged: float, ann_file: str
) -> UserError:
    """Make the summary that ends a run."""
    return UserError(
        f"{ann_file}: {'; '.join(named)}{'' if count <= NUM_NAMED else '; ...'}: {count} of "
        f"{total} {what} damaged, more than dataset.max_damaged={max_damaged:g} allows; "
        f"dbnet check {ann_file} says more"
    )


def warn(line: str) -> None:
    """Write a warning to the log of the run, if there is one; never to standard output."""
    log(line, level=logging.WARNING)


class UnreadableImages:
    """Notes, for all workers of a process together, which images could not be read."""

    def __init__(self, num_images: int, max_damaged: float, ann_file: str) -> None:
        self.num_images, self.max_damaged = num_images, max_damaged  # the share that is bearable
        self.ann_file = ann_file
        self._flags = SharedMemory(num_images)

    def report(self, item: int, reason: str, consequence: str) -> None:
        """Warn of an image the first time that it is reported; stop if too many are unreadable."""
        if item in self:
            return
        self._flags.bytes[item] = 1
        count = int(self._flags.bytes.sum())
        if count > math.floor(self.max_damaged * self.num_images):
            raise too_many(
                "images", [reason], count, self.num_images, self.max_damaged, self.ann_file
            )
        warn(f"{reason}; {consequence}")

    def __contains__(self, item: int) -> bool:
        return bool(self._flags.bytes[item])
