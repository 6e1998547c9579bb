"""Areas of polygons and of what two of them share: for many at once, or without rounding."""

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import shapely

from dbnet.geometry import join_rings

Array = np.ndarray
Point = tuple[Fraction, Fraction]
Edge = tuple[Point, Point]

NO_AREA = shapely.Polygon()


def areas_and_boxes(polygons: Sequence[Array]) -> tuple[Array, Array]:
    """Measure N outlines of any shape, each (K, 2), in pixels.

    Returns the areas (N,) float64 by the shoelace formula, in which lobes of opposite direction
    cancel, and boxes (N, 4), x_min, y_min, x_max, y_max. What has less than three points or a
    coordinate that is not finite has the area 0 and a box of NaN, which overlaps nothing.
    """
    areas, boxes = np.zeros(len(polygons)), np.full((len(polygons), 4), np.nan)
    usable = _usable(polygons)
    if usable:
        chosen = polygons if len(usable) == len(polygons) else [polygons[i] for i in usable]
        vertices, following, starts = join_rings(chosen)
        (x, y), (next_x, next_y) = vertices.T, following.T
        doubled = np.add.reduceat(x * next_y - y * next_x, starts)
        areas[usable] = 0.5 * np.abs(doubled)
        boxes[usable, :2] = np.minimum.reduceat(vertices, starts)
        boxes[usable, 2:] = np.maximum.reduceat(vertices, starts)
    return areas, boxes


def box_intersections(first: Array, second: Array) -> Array:
    """Area (...), in square pixels, that boxes (..., 4) share with their partners; NaN of NaN."""
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    return np.maximum(sides, 0).prod(axis=-1)


def intersection_areas(first: Sequence[Array], second: Sequence[Array]) -> Array:
    """Area (N,), in square pixels, that each of N polygons (K, 2) shares with its partner.

    "Inside" is even-odd, see `to_geometries`.
    """
    geometries = to_geometries([*first, *second])
    return shapely.area(shapely.intersection(geometries[: len(first)], geometries[len(first) :]))


def exact_area(polygon: Array) -> Fraction:
    """Area by the shoelace formula, without rounding: coordinates are taken as they are."""
    return abs(sum((x * v - y * u for (x, y), (u, v) in _edges(polygon)), Fraction())) / 2


def exact_intersection_area(first: Array, second: Array) -> Fraction:
    """Area that two polygons (K, 2) share, without rounding; "inside" is even-odd.

    Between two neighbouring heights at which vertices or crossings lie, edges neither begin nor
    cross, so that the common width is linear in the height: the part's area is its height times the
    width in its middle. Slow, for the few pairs on which rounding would decide.
    """
    outlines = _edges(first), _edges(second)
    edges = [*outlines[0], *outlines[1]]
    heights = {y for (_, y), _ in edges}
    heights |= {y for a, b in itertools.combinations(edges, 2) for y in _crossing_heights(a, b)}
    area = Fraction()
    for low, high in itertools.pairwise(sorted(heights)):
        middle = (low + high) / 2
        for left, right in _inside(outlines[0], middle):
            for start, end in _inside(outlines[1], middle):
                area += max(min(right, end) - max(left, start), Fraction()) * (high - low)
    return area


def _edges(polygon: Array) -> list[Edge]:
    points = [(Fraction(x), Fraction(y)) for x, y in np.asarray(polygon, np.float64).tolist()]
    return list(zip(points, points[1:] + points[:1]))


def _crossing_heights(first: Edge, second: Edge) -> list[Fraction]:
    """Find the y of the point in which two edges meet; parallel ones only at their ends."""
    ((x, y), (x2, y2)), ((u, v), (u2, v2)) = first, second
    turn = (x2 - x) * (v2 - v) - (y2 - y) * (u2 - u)
    if turn == 0:
        return []
    share = ((u - x) * (v2 - v) - (v - y) * (u2 - u)) / turn
    other = ((u - x) * (y2 - y) - (v - y) * (x2 - x)) / turn
    return [y + share * (y2 - y)] if 0 <= share <= 1 and 0 <= other <= 1 else []


def _inside(outline: Sequence[Edge], height: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Cut a horizontal line, on which no vertex lies, into its parts inside an outline."""
    cuts = sorted(
        x + (height - y) * (x2 - x) / (y2 - y)
        for (x, y), (x2, y2) in outline
        if min(y, y2) < height < max(y, y2)
    )
    return list(zip(cuts[::2], cuts[1::2]))


def to_geometries(polygons: Sequence[Array]) -> Array:
    """Make valid shapely geometries, an array of (N,), from polygons (K, 2) of any shape.

    "Inside" is even-odd: a figure eight becomes its two lobes, a pentagram its five points. (An
    edge that the outline runs over twice counts once, as in `shapely.make_valid`.) What has no
    area, e.g. less than three points, all points on a line, or a coordinate that is not finite,
    becomes an empty polygon.
    """
    geometries = _outlines(polygons)
    invalid = ~shapely.is_valid(geometries)
    if invalid.any():
        # make_valid keeps dangling edges as lines; a buffer of 0 leaves the areas alone.
        geometries[invalid] = shapely.buffer(shapely.make_valid(geometries[invalid]), 0)
    return geometries


def are_simple(polygons: Sequence[Array]) -> Array:
    """Find the polygons (K, 2) that have an area and whose outline does not meet itself; (N,)."""
    geometries = _outlines(polygons)
    return shapely.is_valid(geometries) & ~shapely.is_empty(geometries)


def contains(polygon: Array, points: Array) -> Array:
    """Check which of some points (P, 2) lie inside a polygon (K, 2), a flag (P,) each.

    "Inside" is even-odd. Of the points on the outline of a box, those on its left and top sides lie
    inside, so that boxes side by side share none.
    """
    start = np.asarray(polygon, np.float64)[:, None]  # (K, 1, 2)
    end = np.roll(start, -1, axis=0)
    px, py = np.asarray(points, np.float64).T  # (P,)
    (x, y), (x2, y2) = start.T[:, 0, :, None], end.T[:, 0, :, None]  # each (K, 1)
    across = (y > py) != (y2 > py)
    # Without division, which would round: the sign of (crossing - px) (y2 - y).
    side = (x - px) * (y2 - y) + (py - y) * (x2 - x)
    return np.logical_xor.reduce(across & (np.where(y2 > y, side, -side) > 0), axis=0)


def _outlines(polygons: Sequence[Array]) -> Array:
    """Make shapely polygons, valid or not, empty ones of fewer than three points."""
    geometries = np.full(len(polygons), NO_AREA, dtype=object)
    usable = _usable(polygons)
    if usable:
        chosen = [polygons[i] for i in usable]
        owners = np.repeat(np.arange(len(chosen)), [len(polygon) for polygon in chosen])
        rings = shapely.linearrings(np.concatenate(chosen), indices=owners)
        geometries[usable] = shapely.polygons(rings)
    return geometries


def _usable(polygons: Sequence[Array]) -> list[int]:
    """Find the polygons of at least three points, all of them finite."""
    enough = [index for index, polygon in enumerate(polygons) if len(polygon) >= 3]
    if not enough or np.isfinite(np.concatenate([polygons[i] for i in enough])).all():
        return enough
    return [index for index in enough if np.isfinite(polygons[index]).all()]
