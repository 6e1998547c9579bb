import math
from collections.abc import Sequence

import cv2
import numpy as np
import pyclipper
from torch import Tensor

from dbnet.geometry import join_rings
from dbnet.registry import MODELS


@MODELS.register_module()
class DBPostprocessor:
    """Turn probability maps into text polygons, as the DB paper and MMOCR 1.x do.

    The pixels above `bin_thresh` form regions; each is approximated by a polygon, dropped if its
    mean probability is low, and grown back by the offset D' = A' r' / L'.

    The whole map is read, with the padding of its batch; polygons may reach beyond the image.

    Args:
        bin_thresh: Pixels with a higher probability belong to a region.
        box_thresh: Lowest mean probability of a kept region.
        unclip_ratio: r' of the paper.
        max_candidates: Regions looked at per image; MMOCR looks at one more.
        min_text_width: Lowest short side of a quad, in pixels of the map.
        epsilon_ratio: Tolerance of the polygonal approximation, a part of the region's perimeter.
        text_repr_type: "quad" for the rectangle of least area around the grown region, "poly" for
            the grown region itself.
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
    ) -> None:
        if text_repr_type not in ("quad", "poly"):
            raise ValueError(f'text_repr_type must be "quad" or "poly", got "{text_repr_type}"')
        self.bin_thresh = bin_thresh
        self.box_thresh = box_thresh
        self.unclip_ratio = unclip_ratio
        self.max_candidates = max_candidates
        self.min_text_width = min_text_width
        self.epsilon_ratio = epsilon_ratio
        self.text_repr_type = text_repr_type

    def __call__(self, prob_map: Tensor, metas: Sequence[dict]) -> list[dict]:
        """Find the texts of a batch.

        Args:
            prob_map: Probability maps, (N, H, W), of any float type on any device.
            metas: N dicts with `scale_factor`, (w, h) of resized / original image.

        Returns:
            A dict per image: `polygons`, a list of M arrays (K, 2) float32 in pixels of the
            original image, and `scores`, (M,) float32, their mean probabilities.
        """
        if len(prob_map) != len(metas):
            raise ValueError(f"{len(prob_map)} maps came with {len(metas)} metas")
        # NumPy has no bfloat16; half floats are widened after the transfer, which is the shorter.
        arrays = prob_map.detach().cpu().float().numpy()
        return [self._find_texts(array, meta) for array, meta in zip(arrays, metas)]

    def _find_texts(self, prob_map: np.ndarray, meta: dict) -> dict:
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
        found = [
            (outline, score)
            for region, distance, score in zip(regions, distances, scores)
            if (outline := self._outline(region, distance)) is not None
        ]
        return dict(
            polygons=all_to_original([outline for outline, _ in found], meta["scale_factor"]),
            scores=np.array([score for _, score in found], dtype=np.float32),
        )

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
