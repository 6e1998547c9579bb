"""Pure functions on polygons, (N, 2) float arrays of (x, y) in pixels.

An integer coordinate is the centre of a pixel. Degenerate input (repeated vertices, fewer than
three points, no area) gives finite results everywhere.
"""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

Array = np.ndarray
# So many distances at a time: more calls cost time, more distances leave the processor's cache.
BLOCK = 1 << 16


def rectangle(left: float, top: float, right: float, bottom: float) -> Array:
    """Return the corners (4, 2) of an axis-parallel rectangle, clockwise from the top left."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def rotated(polygon: Array, theta: float) -> Array:
    """Turn a polygon by `theta` radians about the mean of its corners, clockwise on the screen.

    >>> rotated(rectangle(0, 0, 4, 2), math.pi / 2).round(6).tolist()
    [[3.0, -1.0], [3.0, 3.0], [1.0, 3.0], [1.0, -1.0]]
    """
    centre = polygon.mean(axis=0)
    cos, sin = math.cos(theta), math.sin(theta)
    return (polygon - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre


def signed_area(polygon: Array) -> float:
    """Area by the shoelace formula, positive if clockwise on the screen (y down)."""
    return 0.5 * sum(ax * by - ay * bx for (ax, ay), (bx, by) in _edges(polygon))


def perimeter(polygon: Array) -> float:
    """Length of the closed outline in pixels."""
    return sum(math.dist(start, end) for start, end in _edges(polygon))


def _edges(polygon: Array) -> Iterable[tuple[list[float], list[float]]]:
    """Pair each vertex with the next; Python floats, as texts have few vertices."""
    points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2).tolist()
    return zip(points, points[1:] + points[:1])


def join_rings(polygons: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Join M >= 1 closed outlines, each (K, 2), so that all pass through NumPy at once.

    Returns the vertices (V, 2) float64 of one outline after the other, the next vertex of each, (V,
    2), and the index of each outline's first vertex, (M,).
    """
    vertices = np.concatenate(polygons).astype(np.float64)
    ends = np.cumsum([len(polygon) for polygon in polygons])
    starts = np.concatenate(([0], ends[:-1]))
    following = np.arange(1, len(vertices) + 1)
    following[ends - 1] = starts
    return vertices, vertices[following], starts


def short_side(polygon: Array) -> float:
    """Shorter side of the minimum-area rectangle in pixels; 0 for fewer than two points."""
    points = np.asarray(polygon, dtype=np.float32).reshape(-1, 2)
    return float(min(cv2.minAreaRect(points)[1])) if len(points) > 1 else 0.0


def least_rectangles(polygons: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Measure the minimum-area rectangles of N polygons; (N,) float64 each.

    Returns short side and long side in pixels, and the angle of the long one to the horizontal in
    degrees, [-90, 90), positive clockwise on the screen.
    """
    found = [cv2.minAreaRect(np.asarray(polygon, np.float32)) for polygon in polygons]
    sides = np.array([size for _, size, _ in found]).reshape(-1, 2)
    turned = np.array([angle for *_, angle in found]) + 90 * (sides[:, 1] > sides[:, 0])
    return sides.min(axis=1), sides.max(axis=1), (turned + 90) % 180 - 90


def offset_distance(polygon: Array, ratio: float) -> float:
    """Offset D = A (1 - r^2) / L of the DB paper, for a polygon of area A and perimeter L.

    >>> round(offset_distance(np.float32([[0, 0], [50, 0], [50, 30], [0, 30]]), ratio=0.4), 3)
    7.875
    """
    length = perimeter(polygon)
    return abs(signed_area(polygon)) * (1 - ratio**2) / length if length > 0 else 0.0


def scale_matrix(scale_x: float, scale_y: float, left: float = 0, top: float = 0) -> Array:
    """Matrix (2, 3) that scales the area of an image from its column `left` and row `top` on.

    Pixel centres lie at 0, 1, ..., so the area begins at -0.5: x' + 0.5 = (x - left + 0.5) scale_x.

    >>> scale_matrix(2, 2).tolist()  # the first pixel becomes two, with centres at 0 and 1
    [[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]]
    """
    scales = np.array([scale_x, scale_y])
    return np.column_stack([np.diag(scales), (0.5 - np.array([left, top])) * scales - 0.5])


def transform(polygon: Array, matrix: Array) -> Array:
    """Map the points by an affine `matrix`, (2, 3)."""
    return (np.asarray(polygon, np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def clip(polygon: Array, lower: tuple[float, float], upper: tuple[float, float]) -> Array:
    """Intersect a polygon (N, 2) with an axis-parallel rectangle (Sutherland and Hodgman 1974).

    It has the least and greatest (x, y) `lower` and `upper`. A concave polygon that falls apart
    keeps one outline, joined along the rectangle's side. What lies outside gives a (0, 2) array.
    """
    points = np.asarray(polygon, dtype=np.float32).reshape(-1, 2)
    if (points >= lower).all() and (points <= upper).all():
        return points
    for axis in (0, 1):
        for bound, sign in ((lower[axis], 1.0), (upper[axis], -1.0)):
            points = _clip_half_plane(points, axis, bound, sign)
    return points


def _clip_half_plane(points: Array, axis: int, bound: float, sign: float) -> Array:
    kept = []
    height = sign * (points[:, axis].astype(np.float64) - bound)  # inside where >= 0
    for here in range(len(points)):
        there = here - 1  # the vertex before
        if (height[here] >= 0) != (height[there] >= 0):
            share = height[there] / (height[there] - height[here])
            crossing = points[there] + share * (points[here] - points[there])
            crossing[axis] = bound
            kept.append(crossing)
        if height[here] >= 0:
            kept.append(points[here])
    return np.array(kept, dtype=np.float32).reshape(-1, 2)


def order_corners(quads: Array) -> Array:
    """Order the corners (..., 4, 2) of quads clockwise, the one nearest to the top left first.

    OpenCV's versions begin with different corners.
    """
    x, y = quads[..., 0], quads[..., 1]
    following = np.roll(quads, -1, axis=-2)
    doubled = (x * following[..., 1] - following[..., 0] * y).sum(axis=-1, keepdims=True)
    step = np.where(doubled < 0, -1, 1)
    first = quads.sum(axis=-1).argmin(axis=-1)
    indices = (first[..., None] + step * np.arange(4)) % 4
    return np.take_along_axis(quads, indices[..., None], axis=-2)


def distance_field(polygon: Array, xs: Array, ys: Array) -> tuple[Array, Array]:
    """Distance to the outline and even-odd inside of every point of a grid.

    An edge of length 0 (a repeated vertex, as cropping yields them) counts as a point. Takes a
    polygon (N, 2) and the coordinates of the grid's columns, (W,), and rows, (H,). Returns the
    distance (H, W) float32 in pixels, and inside (H, W) bool.
    """
    # Relative to the grid's corner, so that float32 keeps its digits for far-away vertices.
    origin = np.array([xs[0], ys[0]], dtype=np.float64)
    columns = (xs - origin[0]).astype(np.float32)  # (W,)
    rows = (ys - origin[1]).astype(np.float32)  # (H,)
    ax, ay, by, ux, uy, length, slope = _edge_table(polygon - origin)  # each (E, 1)
    dx, dy = columns - ax, rows - ay  # (E, W), (E, H)
    crossing = np.where((rows < ay) != (rows < by), ax + dy * slope, np.float32(-np.inf))
    along_x, across_x = (dx * ux)[:, None], (dx * uy)[:, None]  # (E, 1, W)
    along_y, across_y = (dy * uy)[:, :, None], (dy * ux)[:, :, None]  # (E, H, 1)
    squared = np.full((len(ys), len(xs)), np.inf, dtype=np.float32)
    inside = np.zeros(squared.shape, dtype=bool)
    step = max(BLOCK // squared.size, 1)
    for part in (slice(first, first + step) for first in range(0, len(ax), step)):
        along = along_x[part] + along_y[part]  # (e, H, W), coordinate on the edge's line
        nearest = np.maximum(along, 0)
        along -= np.minimum(nearest, length[part, None], out=nearest)  # past either end
        across = np.subtract(across_x[part], across_y[part], out=nearest)  # from that line
        along *= along
        across *= across
        along += across
        np.minimum(squared, along.min(axis=0), out=squared)
        inside ^= np.logical_xor.reduce(columns < crossing[part, :, None], axis=0)
    return np.sqrt(squared, out=squared), inside


def _edge_table(polygon: Array) -> Array:
    """Facts (7, E, 1) float32: start x and y, end y, direction x and y, length, dx/dy (or 0)."""
    table = []
    for (ax, ay), (bx, by) in _edges(polygon):
        dx, dy = bx - ax, by - ay
        length = math.hypot(dx, dy)
        ux, uy = (dx / length, dy / length) if length > 0 else (1.0, 0.0)
        table.append((ax, ay, by, ux, uy, length, dx / dy if dy else 0.0))
    return np.array(table, dtype=np.float32).T[:, :, None]
