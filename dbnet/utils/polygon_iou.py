from collections.abc import Sequence

import numpy as np
import shapely


def to_geometries(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Make valid shapely geometries, an array of (N,), from polygons of any shape.

    "Inside" is even-odd: a figure eight becomes its two lobes, a pentagram its five points. (An
    edge that the outline runs over twice counts once, as in `shapely.make_valid`.) What has no
    area, e.g. less than three points, all points on a line, or a coordinate that is not finite,
    becomes an empty polygon.

    Args:
        polygons: N polygons, each (K, 2), in pixels.
    """
    geometries = np.full(len(polygons), shapely.Polygon(), dtype=object)
    usable = [i for i, p in enumerate(polygons) if len(p) >= 3 and np.isfinite(p).all()]
    if usable:
        chosen = [polygons[i] for i in usable]
        owners = np.repeat(np.arange(len(chosen)), [len(polygon) for polygon in chosen])
        rings = shapely.linearrings(np.concatenate(chosen), indices=owners)
        geometries[usable] = shapely.polygons(rings)
    invalid = ~shapely.is_valid(geometries)
    # make_valid keeps dangling edges as lines; a buffer of 0 leaves the areas alone.
    geometries[invalid] = shapely.buffer(shapely.make_valid(geometries[invalid]), 0)
    return geometries


def pairwise_intersection(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area (N, M), in square pixels, that each of N geometries shares with each of M geometries.

    Args:
        first: (N,) geometries of `to_geometries`.
        second: (M,) geometries of `to_geometries`.
    """
    areas = np.zeros((len(first), len(second)))
    # An empty geometry has NaN bounds, which overlap nothing.
    boxes, other_boxes = shapely.bounds(first)[:, None], shapely.bounds(second)[None]
    lower = np.maximum(boxes[..., :2], other_boxes[..., :2])
    upper = np.minimum(boxes[..., 2:], other_boxes[..., 2:])
    rows, columns = np.nonzero((lower < upper).all(axis=-1))
    areas[rows, columns] = shapely.area(shapely.intersection(first[rows], second[columns]))
    return areas
