"""From probability maps to text polygons, with NumPy and OpenCV alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyclipper

from dbnet.geometry import join_rings, order_corners

if TYPE_CHECKING:
    from torch import Tensor

SUBPIXELS = 64  # to a pixel, of the clipper's whole numbers
MITER_LIMIT = 2.0  # times the offset, that a corner's tip may be away; up to 120 degrees


@dataclass(eq=False)
class DBPostprocessor:
    """Turn probability maps into text polygons.

    The pixels above `bin_thresh` form regions; each is dropped if its mean probability is low, and
    grown back to the text that it was shrunk from, in one of two ways:

    - "unclip", of the DB paper and MMOCR 1.x: the region is approximated by a polygon, within a
      part of its perimeter, and offset by D' = A' r' / L'. That is less than the targets took
      away, the more so the longer the text, and texts longer than 12 times their height are lost.
    - "inverse": the offset D that, taken away again by D = A (1 - r^2) / L of the grown outline,
      gives the region back; see `inverse_offset`. Holes of regions are no texts, and regions one
      pixel thick, which have no area, are dropped.

    The whole map is read, with the padding of its batch; polygons may reach beyond the image.
    """

    bin_thresh: float = 0.3  # pixels with a higher probability belong to a region
    box_thresh: float = 0.3  # lowest mean probability of a kept region
    unclip_ratio: float = 1.5  # r' of the paper; for "unclip"
    max_candidates: int = 3000  # regions looked at per image; MMOCR looks at one more
    min_text_width: float = 5  # lowest short side of a quad, in pixels of the map
    # Tolerance of the polygonal approximation, a part of the region's perimeter; for "unclip".
    epsilon_ratio: float = 0.01
    # "quad" for the rectangle of least area around the grown region, "poly" for that itself.
    text_repr_type: str = "quad"
    grow: str = "unclip"  # or "inverse"
    # r that "inverse" undoes: 0.4 for the targets themselves. Networks predict thicker regions than
    # their targets, which a larger r fits, such as 0.55.
    shrink_ratio: float = 0.4

    def __post_init__(self) -> None:
        if self.text_repr_type not in ("quad", "poly"):
            raise ValueError(
                f'text_repr_type must be "quad" or "poly", got "{self.text_repr_type}"'
            )
        if self.grow not in ("unclip", "inverse"):
            raise ValueError(f'grow must be "unclip" or "inverse", got "{self.grow}"')
        if not 0 < self.shrink_ratio < 1:
            raise ValueError(f"shrink_ratio must lie between 0 and 1, got {self.shrink_ratio}")

    def __call__(self, prob_map: "Tensor | np.ndarray", metas: Sequence[dict]) -> list[dict]:
        """Find the texts of a batch.

        Args:
            prob_map: Probability maps, (N, H, W), a tensor of any float type on any device, or a
                float32 array.
            metas: N dicts with `scale_factor`, (w, h) of resized / original image.

        Returns:
            A dict per image: `polygons`, a list of M arrays (K, 2) float32 in pixels of the
            original image, and `scores`, (M,) float32, their mean probabilities.
        """
        if len(prob_map) != len(metas):
            raise ValueError(f"{len(prob_map)} maps came with {len(metas)} metas")
        if not isinstance(prob_map, np.ndarray):
            # NumPy has no bfloat16; half floats are widened after the transfer, the shorter so.
            prob_map = prob_map.detach().cpu().float().numpy()
        return [self._find_texts(array, meta) for array, meta in zip(prob_map, metas)]

    def _find_texts(self, prob_map: np.ndarray, meta: dict) -> dict:
        # Small ones have no area; specks are many.
        if self.grow == "inverse":
            contours: Sequence[np.ndarray] = find_regions(prob_map, self.bin_thresh)
            regions = [c for c in contours[: self.max_candidates] if len(c) >= 3]
        else:
            contours = find_contours(prob_map, self.bin_thresh)[: self.max_candidates]
            regions = [r for c in contours if len(r := approximate(c, self.epsilon_ratio)) >= 4]
        scored = [(region, box_score(prob_map, region.reshape(-1, 2))) for region in regions]
        scored = [(region, score) for region, score in scored if score >= self.box_thresh]  # no NaN
        outlines = self._grow([region for region, _ in scored])
        found = [(o, score) for o, (_, score) in zip(outlines, scored) if o is not None]
        return dict(
            polygons=all_to_original([outline for outline, _ in found], meta["scale_factor"]),
            scores=np.array([score for _, score in found], dtype=np.float32),
        )

    def _grow(self, regions: list[np.ndarray]) -> list[np.ndarray | None]:
        """Find the outline (K, 2) of each region, in pixels of the map; None if there is none."""
        if self.grow == "inverse":
            undo = inverse_quads if self.text_repr_type == "quad" else inverse_polygons
            grown = undo(regions, self.shrink_ratio)
            return [outline if 0 < w >= self.min_text_width else None for outline, w in grown]
        outlines = list(map(grow, regions, unclip_distances(regions, self.unclip_ratio)))
        if self.text_repr_type == "poly":
            return outlines
        return [None if o is None else min_area_quad(o, self.min_text_width) for o in outlines]


def find_contours(prob_map: np.ndarray, bin_thresh: float) -> Sequence[np.ndarray]:
    """Trace the regions above a probability, and their holes: outlines, each (K, 1, 2) int32."""
    bitmap = (prob_map > bin_thresh).view(np.uint8)
    contours, _ = cv2.findContours(bitmap, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return contours


def find_regions(prob_map: np.ndarray, bin_thresh: float) -> list[np.ndarray]:
    """Trace the regions above a probability without their holes; as `find_contours`."""
    bitmap = (prob_map > bin_thresh).view(np.uint8)
    # Two levels: outlines of regions, also of those in holes, and below them the holes.
    contours, levels = cv2.findContours(bitmap, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [contours[i] for i in np.flatnonzero(levels[0, :, 3] < 0).tolist()] if contours else []


def inverse_offset(
    area: np.ndarray, length: np.ndarray, corners: np.ndarray, shrink_ratio: float
) -> np.ndarray:
    """Offset D by which an outline grows to the one that D = A' (1 - r^2) / L' shrinks back to it.

    With mitred corners an outline of area A and length L grows to A' = A + L D + c D^2 and L' = L +
    2 c D, where c, `corners`, sums tan(t / 2) over its exterior angles t: 4 for a rectangle, pi for
    a circle. With s = 1 - r^2, D is the positive root of c (2 - s) D^2 + (1 - s) L D - s A = 0. In
    pixels, of numbers or arrays of any shape.

    A text of 100 x 20 is shrunk by D = 2000 * 0.84 / 240 = 7, to 86 x 6:

    >>> float(inverse_offset(area=86 * 6, length=2 * (86 + 6), corners=4, shrink_ratio=0.4))
    7.0
    """
    s = 1 - shrink_ratio**2
    square, linear = corners * (2 - s), (1 - s) * length
    return (np.sqrt(linear**2 + 4 * square * s * area) - linear) / (2 * square)


def inverse_quads(
    contours: Sequence[np.ndarray], shrink_ratio: float
) -> list[tuple[np.ndarray, float]]:
    """Grow the least rectangles around contours, each (K, 1, 2).

    A contour runs through centres of pixels. The targets hold the rasteriser's half pixel already
    (see `draw_targets`), so that it is the outline of what they left of a text. Returns the corners
    (4, 2) float32 and the short side of each; 0 for a region without area.
    """
    rectangles = [cv2.minAreaRect(contour) for contour in contours]
    sizes = np.array([size for _, size, _ in rectangles]).reshape(-1, 2)
    areas = sizes.prod(axis=1)
    offsets = inverse_offset(areas, 2 * sizes.sum(axis=1), np.full(len(areas), 4.0), shrink_ratio)
    sizes += 2 * offsets[:, None]
    corners = [
        cv2.boxPoints((center, size, angle))
        for (center, _, angle), size in zip(rectangles, sizes.tolist())
    ]
    quads = order_corners(np.array(corners, np.float32).reshape(-1, 4, 2))
    widths = np.where(areas > 0, sizes.min(axis=1), 0.0)
    return list(zip(quads, widths.tolist()))


def inverse_polygons(
    contours: Sequence[np.ndarray], shrink_ratio: float
) -> list[tuple[np.ndarray, float]]:
    """Grow contours, each (K, 1, 2), with mitred corners.

    Returns the outline (K', 2) float32 and the thickness of each; 0 for a region without area.
    """
    smooth = [smooth_contour(contour) for contour in contours]
    areas, lengths, corners = measure_rings(smooth)
    offsets = inverse_offset(areas, lengths, np.maximum(corners, math.pi), shrink_ratio)
    # Of the rectangle of that area and length; a band's thickness, however it is bent.
    widths = (lengths - np.sqrt(np.maximum(lengths**2 - 16 * areas, 0))) / 4 + 2 * offsets
    return [
        (grow_mitred(outline, offset), width) if area > 0 else (outline, 0.0)
        for outline, area, offset, width in zip(smooth, areas, offsets.tolist(), widths.tolist())
    ]


def smooth_contour(contour: np.ndarray) -> np.ndarray:
    """Take the stairs off the slanted edges of a contour (K, 1, 2); (K', 2) int32.

    Within a tenth of the region's thickness or nine tenths of a pixel.
    """
    thickness = 2 * cv2.contourArea(contour) / max(cv2.arcLength(contour, True), 1)
    return cv2.approxPolyDP(contour, max(0.9, 0.1 * thickness), True)[:, 0]


def grow_mitred(outline: np.ndarray, offset: float) -> np.ndarray:
    """Offset an outline (K, 2) outwards by pixels; (K', 2) float32, the largest part."""
    clipper = pyclipper.PyclipperOffset(MITER_LIMIT)
    clipper.AddPath((outline * SUBPIXELS).tolist(), pyclipper.JT_MITER, pyclipper.ET_CLOSEDPOLYGON)
    parts = [np.array(part, np.float32) for part in clipper.Execute(offset * SUBPIXELS)]
    grown = max(parts, key=cv2.contourArea) if len(parts) > 1 else parts[0]
    grown /= SUBPIXELS
    return grown


def measure_rings(polygons: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure areas, perimeters and corners of M polygons (K, 2), each (M,) float64.

    `corners` sums tan(t / 2) over the exterior angles t; reflex ones count negative.

    >>> area, length, corners = measure_rings([np.array([[0, 0], [9, 0], [9, 5], [0, 5]])])
    >>> area, length, corners.round(6)
    (array([45.]), array([28.]), array([4.]))
    """
    if not polygons:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    vertices, following, starts = join_rings(polygons)
    edges = following - vertices
    areas = 0.5 * np.abs(np.add.reduceat(_cross(vertices, following), starts))
    lengths = np.add.reduceat(np.hypot(*edges.T), starts)
    before = np.arange(-1, len(edges) - 1)
    before[starts] = [*starts[1:] - 1, len(edges) - 1]
    before = edges[before]
    turns = np.arctan2(_cross(before, edges), (before * edges).sum(axis=1))
    # The clipper cuts sharper corners off.
    sharpest = 2 * math.acos(1 / MITER_LIMIT)
    tangents = np.tan(np.clip(turns, -sharpest, sharpest) / 2)
    return areas, lengths, np.abs(np.add.reduceat(tangents, starts))


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def approximate(contour: np.ndarray, epsilon_ratio: float) -> np.ndarray:
    """Reduce a contour (K, 1, 2) to few vertices (K', 2), within a part of its perimeter."""
    if len(contour) < 4:  # would stay so; specks are many
        return contour[:, 0]
    tolerance = epsilon_ratio * cv2.arcLength(contour, True)
    return cv2.approxPolyDP(contour, tolerance, True)[:, 0]


def box_score(prob_map: np.ndarray, polygon: np.ndarray) -> float:
    """Mean of a map (H, W) float32 in a polygon (K, 2) int32 inside it, its outline included."""
    x, y, width, height = cv2.boundingRect(polygon)
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(mask, [polygon], 1, offset=(-x, -y))
    return cv2.mean(prob_map[y : y + height, x : x + width], mask)[0]


def unclip_distances(polygons: Sequence[np.ndarray], unclip_ratio: float) -> list[float]:
    """Compute the offsets D' = A' r' / L' of polygons, in pixels; NaN for one of no length.

    The M arrays (K, 2) int32 go through NumPy at once, which costs as much as one of them alone.
    """
    if not polygons:
        return []
    vertices, following, starts = join_rings(polygons)
    (x, y), (next_x, next_y) = vertices.T, following.T
    ends = [*starts[1:], len(vertices)]
    edges = np.sqrt((next_x - x) ** 2 + (next_y - y) ** 2)
    # Whole numbers, so that their sums are exact in any order.
    areas = 0.5 * np.abs(np.add.reduceat(x * next_y - y * next_x, starts))
    # By NumPy's sum of one outline, not `reduceat`'s, which rounds otherwise: the last digit of D'
    # can decide where the clipper rounds a vertex to.
    lengths = np.array([edges[start:end].sum() for start, end in zip(starts, ends)])
    quotients = np.full(len(polygons), np.nan)
    return np.divide(areas * unclip_ratio, lengths, out=quotients, where=lengths > 0).tolist()


def grow(polygon: np.ndarray, distance: float) -> np.ndarray | None:
    """Offset a polygon (K, 2) int32 outwards by `distance`, in pixels, with round corners.

    The clipper's coordinates are integers, so are the new vertices, as in MMOCR. (MMOCR keeps the
    first of several parts if all have as many vertices, which happens on specks of noise.) Returns
    (K', 2) float32, or None where the result is empty, in several parts or a mere triangle.
    """
    if math.isnan(distance):
        return None
    clipper = pyclipper.PyclipperOffset()
    clipper.AddPath(polygon.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    parts = clipper.Execute(distance)
    if len(parts) != 1 or len(parts[0]) < 4:
        return None
    return np.array(parts[0], dtype=np.float32)


def min_area_quad(polygon: np.ndarray, min_width: float) -> np.ndarray | None:
    """Corners (4, 2) float32 of the least rectangle around a polygon (K, 2) float32, in pixels.

    Their order is OpenCV's, as in MMOCR. None if the short side is below `min_width`.
    """
    rectangle = cv2.minAreaRect(polygon)
    if min(rectangle[1]) < min_width:
        return None
    return cv2.boxPoints(rectangle)


def all_to_original(
    polygons: Sequence[np.ndarray], scale_factor: tuple[float, float]
) -> list[np.ndarray]:
    """Bring polygons, M arrays (K, 2), to pixels of the original image by `to_original`."""
    if not polygons:
        return []
    vertices = to_original(np.concatenate(polygons), scale_factor)
    ends = np.cumsum([len(polygon) for polygon in polygons]).tolist()
    return [vertices[start:end] for start, end in zip([0, *ends], ends)]


def to_original(polygon: np.ndarray, scale_factor: tuple[float, float]) -> np.ndarray:
    """Bring a polygon (K, 2) from pixels of the map to pixels of the original image, float32.

    Integer coordinates are centres of pixels, so the image's edge is at -0.5 on either side of the
    scaling, of (w, h) resized / original. MMOCR only divides, which shifts its polygons by (1 /
    scale - 1) / 2 pixels.
    """
    scale = np.asarray(scale_factor, dtype=np.float64)
    return ((polygon + 0.5) / scale - 0.5).astype(np.float32)
