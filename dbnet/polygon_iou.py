"""Areas of polygons and of what two of them share, for many polygons at once."""

from collections.abc import Sequence

import numpy as np
import shapely

Array = np.ndarray

NO_AREA = shapely.Polygon()
# Pixels. Edges on nearly one line make `convex_quad_intersections` ill-conditioned; from this
# distance on its relative error stays below 1e-8.
MIN_DISTANCE = 1e-3
NEXT = [1, 2, 3, 0]  # the vertex or edge that follows in a quad


def areas_and_boxes(polygons: Sequence[Array]) -> tuple[Array, Array]:
    """Measure outlines of any shape.

    Args:
        polygons: N polygons, each (K, 2), in pixels.

    Returns:
        areas: (N,) float64 by the shoelace formula, in which lobes of opposite direction cancel.
        boxes: (N, 4) float64, x_min, y_min, x_max, y_max.
        What has less than three points or a coordinate that is not finite has the area 0 and a box
        of NaN, which overlaps nothing.
    """
    areas, boxes = np.zeros(len(polygons)), np.full((len(polygons), 4), np.nan)
    usable = _usable(polygons)
    if usable:
        chosen = polygons if len(usable) == len(polygons) else [polygons[i] for i in usable]
        vertices = np.concatenate(chosen).astype(np.float64)
        ends = np.cumsum([len(polygon) for polygon in chosen])
        starts = np.concatenate(([0], ends[:-1]))
        following = np.arange(1, len(vertices) + 1)
        following[ends - 1] = starts
        x, y = vertices.T
        doubled = np.add.reduceat(x * y[following] - y * x[following], starts)
        areas[usable] = 0.5 * np.abs(doubled)
        boxes[usable, :2] = np.minimum.reduceat(vertices, starts)
        boxes[usable, 2:] = np.maximum.reduceat(vertices, starts)
    return areas, boxes


def box_intersections(first: Array, second: Array) -> Array:
    """Area (N, M), in square pixels, that each of N boxes shares with each of M boxes.

    Args:
        first: (N, 4) boxes of `areas_and_boxes`; one of NaN gives NaN.
        second: (M, 4) boxes.
    """
    left, top, right, bottom = first.T[:, :, None]
    width = np.minimum(right, second[:, 2]) - np.maximum(left, second[:, 0])
    height = np.minimum(bottom, second[:, 3]) - np.maximum(top, second[:, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def intersection_areas(first: Sequence[Array], second: Sequence[Array]) -> Array:
    """Area (N,), in square pixels, that each of N polygons shares with its partner.

    "Inside" is even-odd, see `to_geometries`.

    Args:
        first: N polygons, each (K, 2), in pixels.
        second: N polygons, each (K, 2).
    """
    geometries = to_geometries([*first, *second])
    return shapely.area(shapely.intersection(geometries[: len(first)], geometries[len(first) :]))


def convex_quad_intersections(first: Array, second: Array) -> Array:
    """Area (N,), in square pixels, that each of N quads shares with its partner.

    By Green's theorem: the outline of the common part consists of the pieces of either outline that
    lie in the other quad; half of the sum of the cross products of their ends is its area.

    Args:
        first: (N, 4, 2), pixels.
        second: (N, 4, 2).

    Returns:
        NaN for a pair that this cannot measure well: a quad is not convex, or an edge of one lies
        within `MIN_DISTANCE` of the line through an edge of the other.
    """
    num = len(first)
    origin = first[:, :1].astype(np.float64)  # near by, so that products keep their digits
    quads = np.concatenate((first - origin, second - origin))
    edges = quads[:, NEXT] - quads
    turns = _cross(edges, edges[:, NEXT])
    sign = np.sign(turns[:, :1])  # 1 if clockwise on the screen
    convex = (turns * sign > 0).all(axis=1)

    # Signed distance of each vertex i from the line through each edge j of the other quad, times
    # that edge's length; positive inside.
    other = np.concatenate((np.arange(num, 2 * num), np.arange(num)))
    offsets = quads[:, :, None] - quads[other][:, None]
    start = _cross((edges * sign[..., None])[other][:, None], offsets)
    end = start[:, NEXT]
    nearest = MIN_DISTANCE * np.sqrt((edges * edges).sum(axis=-1))[other][:, None]
    distinct = (np.maximum(np.abs(start), np.abs(end)) > nearest).all(axis=(1, 2))

    # The part from `enter` to `leave`, 0..1, of the edge i lies in the other quad.
    with np.errstate(divide="ignore", invalid="ignore"):  # of a parallel edge: infinite, or NaN
        crossing = start / (start - end)
    enter = np.where(end > start, crossing, 0).max(axis=-1).clip(min=0)
    leave = np.where(end > start, 1, crossing).min(axis=-1).clip(max=1)
    twice = _cross(quads, edges) * sign * np.maximum(leave - enter, 0)
    areas = np.where(convex & distinct, 0.5 * twice.sum(axis=1), np.nan)
    return areas[:num] + areas[num:]


def _cross(first: Array, second: Array) -> Array:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]


def to_geometries(polygons: Sequence[Array]) -> Array:
    """Make valid shapely geometries, an array of (N,), from polygons of any shape.

    "Inside" is even-odd: a figure eight becomes its two lobes, a pentagram its five points. (An
    edge that the outline runs over twice counts once, as in `shapely.make_valid`.) What has no
    area, e.g. less than three points, all points on a line, or a coordinate that is not finite,
    becomes an empty polygon.

    Args:
        polygons: N polygons, each (K, 2), in pixels.
    """
    geometries = np.full(len(polygons), NO_AREA, dtype=object)
    usable = _usable(polygons)
    if usable:
        chosen = [polygons[i] for i in usable]
        owners = np.repeat(np.arange(len(chosen)), [len(polygon) for polygon in chosen])
        rings = shapely.linearrings(np.concatenate(chosen), indices=owners)
        geometries[usable] = shapely.polygons(rings)
    invalid = ~shapely.is_valid(geometries)
    if invalid.any():
        # make_valid keeps dangling edges as lines; a buffer of 0 leaves the areas alone.
        geometries[invalid] = shapely.buffer(shapely.make_valid(geometries[invalid]), 0)
    return geometries


def _usable(polygons: Sequence[Array]) -> list[int]:
    """Find the polygons of at least three points, all of them finite."""
    enough = [index for index, polygon in enumerate(polygons) if len(polygon) >= 3]
    if not enough or np.isfinite(np.concatenate([polygons[i] for i in enough])).all():
        return enough
    return [index for index in enough if np.isfinite(polygons[index]).all()]
