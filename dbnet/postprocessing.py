"""From probability maps to text polygons, with NumPy and OpenCV alone."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pyclipper

from dbnet.geometry import join_rings, order_corners, short_side

if TYPE_CHECKING:
    from torch import Tensor

SUBPIXELS = 64  # to a pixel, of the clipper's whole numbers
MITER_LIMIT = 2.0  # times the offset, that a corner's tip may be away; up to 120 degrees


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

    Args:
        bin_thresh: Pixels with a higher probability belong to a region.
        box_thresh: Lowest mean probability of a kept region.
        unclip_ratio: r' of the paper; for "unclip".
        max_candidates: Regions looked at per image; MMOCR looks at one more.
        min_text_width: Lowest short side of a quad, in pixels of the map.
        epsilon_ratio: Tolerance of the polygonal approximation, a part of the region's perimeter;
            for "unclip".
        text_repr_type: "quad" for the rectangle of least area around the grown region, "poly" for
            the grown region itself.
        grow: "unclip" or "inverse".
        shrink_ratio: r that "inverse" undoes: 0.4 for the targets themselves. Networks predict
            thicker regions than their targets, which a larger r fits, such as 0.55.
    """

    def __init__(
        self,
        bin_thresh: float = 0.3,
        box_thresh: float = 0.3,
        unclip_ratio: float = 1.5,
        max_candidates: int = 3000,
        min_text_width: float = 5,
        epsilon_ratio: float = 0.01,
        text_repr_type: str = "quad",
        grow: str = "unclip",
        shrink_ratio: float = 0.4,
    ) -> None:
        if text_repr_type not in ("quad", "poly"):
            raise ValueError(f'text_repr_type must be "quad" or "poly", got "{text_repr_type}"')
        if grow not in ("unclip", "inverse"):
            raise ValueError(f'grow must be "unclip" or "inverse", got "{grow}"')
        if not 0 < shrink_ratio < 1:
            raise ValueError(f"shrink_ratio must lie between 0 and 1, got {shrink_ratio}")
        self.bin_thresh = bin_thresh
        self.box_thresh = box_thresh
        self.unclip_ratio = unclip_ratio
        self.max_candidates = max_candidates
        self.min_text_width = min_text_width
        self.epsilon_ratio = epsilon_ratio
        self.text_repr_type = text_repr_type
        self.grow = grow
        self.shrink_ratio = shrink_ratio

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
        find = self._grow_back if self.grow == "inverse" else self._unclip
        found = find(prob_map)
        outlines = [outline for outline, _ in found]
        return dict(
            polygons=all_to_original(outlines, meta["scale_factor"]),
            scores=np.array([score for _, score in found], dtype=np.float32),
        )

    def _unclip(self, prob_map: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """Find outlines (K, 2) in pixels of the map, and their scores, as the paper does."""
        regions, scores = [], []
        for contour in find_contours(prob_map, self.bin_thresh)[: self.max_candidates]:
            region = approximate(contour, self.epsilon_ratio)
            if len(region) < 4:
                continue
            score = box_score(prob_map, region)
            if score >= self.box_thresh:  # NaN is not
                regions.append(region)
                scores.append(score)
        distances = unclip_distances(regions, self.unclip_ratio)
        return [
            (outline, score)
            for region, distance, score in zip(regions, distances, scores)
            if (outline := self._outline(region, distance)) is not None
        ]

    def _grow_back(self, prob_map: np.ndarray) -> list[tuple[np.ndarray, float]]:
        """Find outlines (K, 2) in pixels of the map, and their scores, by undoing the shrinking."""
        undo = inverse_quad if self.text_repr_type == "quad" else inverse_polygon
        found = []
        for contour in find_regions(prob_map, self.bin_thresh)[: self.max_candidates]:
            score = box_score(prob_map, contour[:, 0])
            if not score >= self.box_thresh:
                continue
            outline = undo(contour, self.shrink_ratio)
            if outline is not None and short_side(outline) >= self.min_text_width:
                found.append((outline, score))
        return found

    def _outline(self, region: np.ndarray, distance: float) -> np.ndarray | None:
        grown = grow(region, distance)
        if grown is None or self.text_repr_type == "poly":
            return grown
        return min_area_quad(grown, self.min_text_width)


def find_contours(prob_map: np.ndarray, bin_thresh: float) -> Sequence[np.ndarray]:
    """Trace the regions above a probability, and their holes: outlines, each (K, 1, 2) int32.

    Args:
        prob_map: (H, W) float32.
        bin_thresh: Pixels with a higher probability belong to a region.
    """
    bitmap = (prob_map > bin_thresh).view(np.uint8)
    contours, _ = cv2.findContours(bitmap, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return contours


def find_regions(prob_map: np.ndarray, bin_thresh: float) -> list[np.ndarray]:
    """Trace the regions above a probability without their holes; as `find_contours`."""
    bitmap = (prob_map > bin_thresh).view(np.uint8)
    # Two levels: outlines of regions, also of those in holes, and below them the holes.
    contours, levels = cv2.findContours(bitmap, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [c for c, (*_, parent) in zip(contours, levels[0]) if parent < 0] if contours else []


def inverse_offset(area: float, length: float, corners: float, shrink_ratio: float) -> float:
    """Offset D by which an outline grows to the one that D = A' (1 - r^2) / L' shrinks back to it.

    With mitred corners an outline of area A and length L grows to A' = A + L D + c D^2 and
    L' = L + 2 c D, where c sums tan(t / 2) over its exterior angles t: 4 for a rectangle, pi for a
    circle. With s = 1 - r^2, D is the positive root of c (2 - s) D^2 + (1 - s) L D - s A = 0.

    A text of 100 x 20 is shrunk by D = 2000 * 0.84 / 240 = 7, to 86 x 6:

    >>> round(inverse_offset(area=86 * 6, length=2 * (86 + 6), corners=4, shrink_ratio=0.4), 6)
    7.0

    Args:
        area: A, square pixels.
        length: L, pixels.
        corners: c.
        shrink_ratio: r.
    """
    s = 1 - shrink_ratio**2
    square, linear = corners * (2 - s), (1 - s) * length
    return (math.sqrt(linear**2 + 4 * square * s * area) - linear) / (2 * square)


def inverse_quad(contour: np.ndarray, shrink_ratio: float) -> np.ndarray | None:
    """Grow the least rectangle around a contour (K, 1, 2); corners (4, 2), None without area.

    The contour runs through centres of pixels. The targets hold the rasteriser's half pixel already
    (see `draw_targets`), so that it is the outline of what they left of a text.
    """
    center, (width, height), angle = cv2.minAreaRect(contour)
    if width * height == 0:
        return None
    offset = inverse_offset(width * height, 2 * (width + height), 4, shrink_ratio)
    grown = center, (width + 2 * offset, height + 2 * offset), angle
    return order_corners(cv2.boxPoints(grown))


def inverse_polygon(contour: np.ndarray, shrink_ratio: float) -> np.ndarray | None:
    """Grow a contour (K, 1, 2) with mitred corners; (K', 2) float32, None without area.

    The stairs of a slanted edge are smoothed first, within a tenth of the region's thickness or
    three quarters of a pixel.
    """
    length = cv2.arcLength(contour, True)
    thickness = 2 * cv2.contourArea(contour) / max(length, 1)
    smooth = cv2.approxPolyDP(contour, max(0.75, 0.1 * thickness), True)[:, 0]
    if len(smooth) < 3 or (area := cv2.contourArea(smooth)) == 0:
        return None
    corners = max(mitred_corners(smooth), math.pi)
    length = cv2.arcLength(smooth, True)
    offset = inverse_offset(area, length, corners, shrink_ratio)
    clipper = pyclipper.PyclipperOffset(MITER_LIMIT)
    clipper.AddPath((smooth * SUBPIXELS).tolist(), pyclipper.JT_MITER, pyclipper.ET_CLOSEDPOLYGON)
    parts = [np.array(part, np.float32) for part in clipper.Execute(offset * SUBPIXELS)]
    return max(parts, key=cv2.contourArea) / SUBPIXELS if parts else None


def mitred_corners(polygon: np.ndarray) -> float:
    """Sum tan(t / 2) over the exterior angles t of a polygon (K, 2); reflex ones count negative.

    >>> round(mitred_corners(np.array([[0, 0], [9, 0], [9, 5], [0, 5]])), 6)
    4.0
    """
    edges = (np.roll(polygon, -1, axis=0) - polygon).astype(np.float64)
    before = np.roll(edges, 1, axis=0)
    cross = before[:, 0] * edges[:, 1] - before[:, 1] * edges[:, 0]
    turns = np.arctan2(cross, (before * edges).sum(axis=1))
    # The clipper cuts sharper corners off.
    sharpest = 2 * math.acos(1 / MITER_LIMIT)
    return abs(float(np.tan(np.clip(turns, -sharpest, sharpest) / 2).sum()))


def approximate(contour: np.ndarray, epsilon_ratio: float) -> np.ndarray:
    """Reduce a contour (K, 1, 2) to few vertices (K', 2), within a part of its perimeter."""
    if len(contour) < 4:  # would stay so; specks are many
        return contour[:, 0]
    tolerance = epsilon_ratio * cv2.arcLength(contour, True)
    return cv2.approxPolyDP(contour, tolerance, True)[:, 0]


def box_score(prob_map: np.ndarray, polygon: np.ndarray) -> float:
    """Mean probability of the pixels in a polygon, its outline included.

    Args:
        prob_map: (H, W) float32.
        polygon: (K, 2) int32, pixels of the map, inside it.
    """
    x, y, width, height = cv2.boundingRect(polygon)
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(mask, [polygon], 1, offset=(-x, -y))
    return cv2.mean(prob_map[y : y + height, x : x + width], mask)[0]


def unclip_distances(polygons: Sequence[np.ndarray], unclip_ratio: float) -> list[float]:
    """Compute the offsets D' = A' r' / L' of polygons, in pixels; NaN for one of no length.

    All polygons go through NumPy at once, which costs as much as one of them alone.

    Args:
        polygons: M arrays (K, 2) int32, each of area A' and perimeter L'.
        unclip_ratio: r' of the DB paper.
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
    """Offset a polygon outwards by `distance`, in pixels, with round corners.

    The clipper's coordinates are integers, so are the new vertices, as in MMOCR. (MMOCR keeps the
    first of several parts if all have as many vertices, which happens on specks of noise.)

    Args:
        polygon: (K, 2) int32.
        distance: D' of `unclip_distances`.

    Returns:
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
    """Corners (4, 2) float32 of the least rectangle around a polygon, None if it is too thin.

    Their order is OpenCV's, as in MMOCR.

    Args:
        polygon: (K, 2) float32, pixels.
        min_width: Lowest length of the short side, pixels.
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
    scaling. MMOCR only divides, which shifts its polygons by (1 / scale - 1) / 2 pixels.

    Args:
        polygon: (K, 2), pixels of the resized image.
        scale_factor: (w, h) of resized / original image.
    """
    scale = np.asarray(scale_factor, dtype=np.float64)
    return ((polygon + 0.5) / scale - 0.5).astype(np.float32)
