from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from dbnet.registry import TRANSFORMS
from dbnet.utils.polygon import distance_field, offset_distance, short_side, signed_area


@TRANSFORMS.register_module()
class GenerateDBTargets(BaseTransform):
    """Draw the four target maps of DBNet from the ground-truth polygons.

    Reads `img` (H, W, 3), `polygons` (list of (N, 2) arrays, pixels of that image) and `ignored`
    (list of bool). Adds `targets`, see `draw_targets`.

    Args:
        shrink_ratio: r of the offset D = A (1 - r^2) / L.
        thresh_min: Lowest label of the threshold map.
        thresh_max: Highest label of the threshold map.
        min_text_size: A text whose shorter side is below this (pixels) is ignored.
    """

    def __init__(
        self,
        shrink_ratio: float = 0.4,
        thresh_min: float = 0.3,
        thresh_max: float = 0.7,
        min_text_size: float = 8.0,
    ) -> None:
        self.shrink_ratio = shrink_ratio
        self.thresh_min = thresh_min
        self.thresh_max = thresh_max
        self.min_text_size = min_text_size

    def transform(self, results: dict) -> dict:
        targets = draw_targets(
            results["polygons"],
            results["ignored"],
            results["img"].shape[:2],
            self.shrink_ratio,
            (self.thresh_min, self.thresh_max),
            self.min_text_size,
        )
        return {**results, "targets": targets}


def draw_targets(
    polygons: Sequence[np.ndarray],
    ignored: Sequence[bool],
    shape: tuple[int, int],
    shrink_ratio: float,
    thresh_range: tuple[float, float],
    min_text_size: float,
) -> dict[str, np.ndarray]:
    """Draw the target maps from one distance field per polygon.

    With d the distance to the outline and D the offset of the paper, a pixel centre belongs to the
    shrunk text if it is inside and d >= D - 0.5: an inward offset by D is the set of inner points
    with d >= D, and the half pixel is that of a rasteriser, which fills an integer outline too.

    Deviation from MMOCR and MhLiao/DB: no polygon clipper, hence no rounding to integers. A text
    whose shrunk region falls apart stays text; MMOCR ignores it.

    Args:
        polygons: (N, 2) arrays, pixels; may reach beyond the image.
        ignored: "Don't care", for each polygon.
        shape: (H, W) of the maps.
        shrink_ratio: r of the offset D = A (1 - r^2) / L.
        thresh_range: Lowest and highest label of the threshold map.
        min_text_size: A text whose minimum-area rectangle has a side below this is ignored.

    Returns:
        shrink_map: 1 inside every shrunk text, the label of the probability map.
        shrink_mask: 0 inside ignored text; only pixels of 1 enter the loss.
        thresh_map: The highest label on a text's outline, falling to the lowest at distance D.
        thresh_mask: 1 inside every text dilated by D; only pixels of 1 enter the loss.
        Each is (H, W) float32. A text whose shrunk region holds no pixel is ignored.
    """
    shrink_map = np.zeros(shape, dtype=np.float32)
    shrink_mask = np.ones(shape, dtype=np.float32)
    nearness = np.zeros(shape, dtype=np.float32)  # 1 on an outline, 0 from D on
    thresh_mask = np.zeros(shape, dtype=np.float32)
    for polygon, ignore in zip(polygons, ignored):
        offset = offset_distance(polygon, shrink_ratio)
        window = touched_window(polygon, max(offset, 0.5), shape)
        if window is None:
            continue
        rows, columns = window
        distance, inside = distance_field(
            polygon, np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
        )
        shrunk = inside & (distance >= offset - 0.5)
        if ignore or is_too_small(polygon, min_text_size) or not shrunk.any():
            shrink_mask[window][inside | (distance <= 0.5)] = 0
            continue
        shrink_map[window][shrunk] = 1
        np.maximum(nearness[window], 1 - distance / offset, out=nearness[window])
        thresh_mask[window][inside | (distance <= offset)] = 1
    thresh_min, thresh_max = thresh_range
    return dict(
        shrink_map=shrink_map,
        shrink_mask=shrink_mask,
        thresh_map=nearness * np.float32(thresh_max - thresh_min) + np.float32(thresh_min),
        thresh_mask=thresh_mask,
    )


def is_too_small(polygon: np.ndarray, min_text_size: float) -> bool:
    """Tell whether a text is too small to learn from, by MMOCR's rule."""
    return abs(signed_area(polygon)) < 1 or short_side(polygon) < min_text_size


def touched_window(
    polygon: np.ndarray, margin: float, shape: tuple[int, int]
) -> tuple[slice, slice] | None:
    """Rows and columns of the pixels within `margin` of a polygon's bounding box.

    Returns:
        Slices inside an image of `shape` (H, W), or None if no pixel is left.
    """
    lower = np.ceil(np.min(polygon, axis=0).astype(np.float64) - margin)
    upper = np.floor(np.max(polygon, axis=0).astype(np.float64) + margin)
    left, top = (int(value) for value in np.maximum(lower, 0))
    right, bottom = (int(v) for v in np.minimum(upper, (shape[1] - 1, shape[0] - 1)))
    if left > right or top > bottom:
        return None
    return slice(top, bottom + 1), slice(left, right + 1)
