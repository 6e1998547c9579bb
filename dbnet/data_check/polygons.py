"""Check the polygons of an image's words, and measure them as the network sees them."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import shapely
from mmcv import rescale_size

from dbnet.data_check.kinds import DUPLICATE_IOU, EDGE_TOLERANCE, Finding
from dbnet.datasets.transforms.geometric import image_box
from dbnet.datasets.transforms.targets import GenerateDBTargets, is_too_small
from dbnet.geometry import least_rectangles, offset_distance
from dbnet.polygon_iou import areas_and_boxes, box_intersections, intersection_areas, to_geometries

Array = np.ndarray

TARGETS = GenerateDBTargets()  # whose rules decide what is too small, and how texts shrink
MIN_LOBE = 0.01  # part of a polygon's area; a crossing that changes less is harmless
CONVEX = 0.99  # part of its hull that a polygon fills at least which does not split


class Measures(NamedTuple):
    """What is measured of words, each (N,) float64, in pixels at the test size."""

    short_side: Array  # of the minimum-area rectangle
    area: Array  # even-odd
    aspect: Array  # long by short side of that rectangle
    angle: Array  # of its long side, degrees in [-90, 90), positive clockwise on the screen


def resize_factor(shape: tuple[int, int], test_size: tuple[int, int]) -> float:
    """Return the factor by which the test pipeline scales an (H, W) image.

    `test_size` is the longest and shortest side at most, in either order.
    """
    return rescale_size((shape[1], shape[0]), test_size, return_scale=True)[1]


@np.errstate(over="ignore", invalid="ignore")  # of coordinates like 1e38
def check_polygons(
    polygons: Sequence[Array], ignored: Sequence[bool], shape: tuple[int, int] | None, scale: float
) -> tuple[list[Finding], Measures]:
    """Find what is wrong with the words of an image, by their indices, and measure all of them.

    `polygons` are (N, 2) arrays that the loader keeps, pixels of the image of (H, W), None if that
    is not known; `ignored` are "don't care"; `scale` leads to pixels at the test size.
    """
    if not polygons:
        return [], Measures(*np.zeros((4, 0)))
    scaled = [polygon * scale for polygon in polygons]
    geometries = to_geometries(scaled)
    areas = shapely.area(geometries)
    if shape and are_fractions(polygons, shape):
        detail = f"{len(polygons)} words between 0 and 1"
        return [Finding("fractions", detail)], measure(scaled, areas)
    crossings = check_crossings(scaled, areas)
    crossed = {finding.word for finding in crossings}
    counted = [i for i, ignore in enumerate(ignored) if not ignore and i not in crossed]
    findings = [
        *crossings,
        *check_duplicates(scaled, areas),
        *(check_position(polygons, shape) if shape else ()),
        *check_learnable(scaled, geometries, counted),
    ]
    return findings, measure(scaled, areas)


def are_fractions(polygons: Sequence[Array], shape: tuple[int, int]) -> bool:
    """Return whether polygons (N, 2) are given in fractions of the image's sides (H, W)."""
    _, boxes = areas_and_boxes(polygons)
    return max(shape) > 2 and bool(boxes.min() >= 0 and boxes.max() <= 1)


def check_crossings(polygons: Sequence[Array], areas: Array) -> list[Finding]:
    """Find outlines that cross themselves: even-odd `areas` (N,) and shoelace formula differ."""
    shoelace, _ = areas_and_boxes(polygons)
    findings = []
    for index in np.flatnonzero(np.abs(shoelace - areas) > MIN_LOBE * areas).tolist():
        lost = abs(1 - shoelace[index] / areas[index])
        findings.append(Finding("crossing", f"{lost:.0%} of the area in doubt", index))
    return findings


def check_duplicates(polygons: Sequence[Array], areas: Array) -> list[Finding]:
    """Find words (N, 2) of even-odd `areas` that duplicate an earlier word, each once."""
    _, boxes = areas_and_boxes(polygons)
    shared = box_intersections(boxes[:, None], boxes)  # at least what the polygons share
    larger = np.maximum(areas[:, None], areas)
    first, second = np.nonzero(np.triu(shared > DUPLICATE_IOU * larger, k=1))
    pairs = list(zip(first.tolist(), second.tolist()))
    inter = intersection_areas(
        [polygons[one] for one, _ in pairs], [polygons[other] for _, other in pairs]
    )
    iou = inter / (areas[first] + areas[second] - inter)
    found: dict[int, Finding] = {}
    for (one, other), value in zip(pairs, iou.tolist()):
        if value > DUPLICATE_IOU and other not in found:
            # Rounded down, so that only the same outline has 1.00.
            detail = f"IoU {int(value * 100 + 1e-6) / 100:.2f}"
            found[other] = Finding("duplicate-word", detail, other, twin=one)
    return list(found.values())


def check_position(polygons: Sequence[Array], shape: tuple[int, int]) -> list[Finding]:
    """Find words (N, 2) that are outside an image of (H, W), entirely or in part."""
    lower, upper = np.array(image_box(shape))
    _, boxes = areas_and_boxes(polygons)
    findings = []
    outside = ((boxes[:, 2:] <= lower) | (boxes[:, :2] >= upper)).any(axis=1)
    excess = np.maximum(lower - boxes[:, :2], boxes[:, 2:] - upper).max(axis=1)
    for index in np.flatnonzero(excess > EDGE_TOLERANCE).tolist():
        kind = "outside" if outside[index] else "partly-outside"
        detail = f"{excess[index]:.4g} pixels beyond the {shape[1]}x{shape[0]} image"
        findings.append(Finding(kind, detail, index))
    return findings


def check_learnable(
    polygons: Sequence[Array], geometries: Array, counted: Sequence[int]
) -> list[Finding]:
    """Find words that count but teach nothing, or something else.

    `polygons` (N, 2), also as `geometries` for shapely, are in pixels at the test size; `counted`
    are the indices of those to check.
    """
    findings = []
    hulls = shapely.area(shapely.convex_hull(geometries))
    areas = shapely.area(geometries)
    for index in counted:
        polygon = polygons[index].astype(np.float32)
        if is_too_small(polygon, TARGETS.min_text_size):
            short = min(cv2.minAreaRect(polygon)[1])
            findings.append(Finding("too-small", f"short side {short:.1f} pixels", index))
        elif areas[index] < CONVEX * hulls[index]:
            offset = offset_distance(polygon, TARGETS.shrink_ratio)
            # Half a pixel less, as the targets are drawn.
            shrunk = shapely.buffer(geometries[index], min(0.5 - offset, 0))
            # At least one: the inscribed circle's radius is at least area by perimeter, hence > D.
            parts = shapely.get_num_geometries(shrunk)
            if parts > 1:
                findings.append(Finding("splits", f"into {parts} parts", index))
    return findings


def measure(polygons: Sequence[Array], areas: Array) -> Measures:
    """Measure words (N, 2) of even-odd `areas`, in pixels at the test size."""
    short, long, angle = least_rectangles(polygons)
    return Measures(short, areas, long / np.maximum(short, np.finfo(np.float32).tiny), angle)
