"""Pure functions on polygons, (N, 2) float arrays of (x, y) in pixels.

An integer coordinate is the centre of a pixel. Degenerate input (repeated vertices, fewer than
three points, no area) gives finite results everywhere.
"""

import cv2
import numpy as np

Array = np.ndarray


def signed_area(polygon: Array) -> float:
    """Area by the shoelace formula, positive if clockwise on the screen (y down)."""
    x, y = np.asarray(polygon, dtype=np.float64).reshape(-1, 2).T
    return float(0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def perimeter(polygon: Array) -> float:
    """Length of the closed outline in pixels."""
    points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    return float(np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1).sum())


def short_side(polygon: Array) -> float:
    """Shorter side of the minimum-area rectangle in pixels; 0 for fewer than two points."""
    points = np.asarray(polygon, dtype=np.float32).reshape(-1, 2)
    return float(min(cv2.minAreaRect(points)[1])) if len(points) > 1 else 0.0


def offset_distance(polygon: Array, ratio: float) -> float:
    """Offset D = A (1 - r^2) / L of the DB paper, for a polygon of area A and perimeter L.

    >>> round(offset_distance(np.float32([[0, 0], [50, 0], [50, 30], [0, 30]]), ratio=0.4), 3)
    7.875
    """
    length = perimeter(polygon)
    return abs(signed_area(polygon)) * (1 - ratio**2) / length if length > 0 else 0.0


def transform(polygon: Array, matrix: Array) -> Array:
    """Map the points by an affine `matrix`, (2, 3)."""
    return (np.asarray(polygon, np.float64) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def clip(polygon: Array, lower: tuple[float, float], upper: tuple[float, float]) -> Array:
    """Intersect a polygon with an axis-parallel rectangle (Sutherland and Hodgman 1974).

    A concave polygon that falls apart keeps one outline, joined along the rectangle's side. What
    lies outside gives a (0, 2) array.

    Args:
        polygon: (N, 2) points.
        lower: Least x and y.
        upper: Greatest x and y.
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


def distance_field(polygon: Array, xs: Array, ys: Array) -> tuple[Array, Array]:
    """Distance to the outline and even-odd inside of every point of a grid.

    An edge of length 0 (a repeated vertex, as cropping yields them) counts as a point.

    Args:
        polygon: (N, 2) points.
        xs: (W,) x coordinates of the grid's columns.
        ys: (H,) y coordinates of its rows.

    Returns:
        distance: (H, W) float32, pixels.
        inside: (H, W) bool.
    """
    # Relative to the grid's corner, so that float32 keeps its digits for far-away vertices.
    origin = np.array([xs[0], ys[0]], dtype=np.float64)
    starts = np.asarray(polygon, dtype=np.float64).reshape(-1, 2) - origin
    columns = (xs - origin[0]).astype(np.float32)[None]  # (1, W)
    rows = (ys - origin[1]).astype(np.float32)[:, None]  # (H, 1)
    squared = np.full((len(ys), len(xs)), np.inf, dtype=np.float32)
    inside = np.zeros(squared.shape, dtype=bool)
    # Python floats, since NumPy 2 would turn the grids into float64 with its own scalars.
    for (ax, ay), (bx, by) in zip(starts.tolist(), np.roll(starts, -1, axis=0).tolist()):
        length = float(np.hypot(bx - ax, by - ay))
        ux, uy = ((bx - ax) / length, (by - ay) / length) if length > 0 else (1.0, 0.0)
        along = (columns - ax) * ux + (rows - ay) * uy  # coordinate on the edge's line
        across = (columns - ax) * uy - (rows - ay) * ux  # signed distance from that line
        beyond = along - np.minimum(np.maximum(along, 0), length)  # past either end
        np.minimum(squared, across * across + beyond * beyond, out=squared)
        crossed = (rows < ay) != (rows < by)  # (H, 1): the edge meets this row
        if crossed.any():
            crossing = ax + (rows - ay) * ((bx - ax) / (by - ay))
            inside ^= crossed & (columns < crossing)
    return np.sqrt(squared), inside
