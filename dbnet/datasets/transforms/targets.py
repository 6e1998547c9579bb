import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform

from dbnet.datasets.transforms.geometric import Flags, Polygons, Size
from dbnet.geometry import distance_field, offset_distance, short_side, signed_area
from dbnet.registry import TRANSFORMS


class Instance(NamedTuple):
    """What the target maps need to know of a text before any pixel is looked at."""

    polygon: np.ndarray  # (N, 2), pixels of the maps
    offset: float  # D of the paper, pixels
    rows: slice  # rows of the window outside which the text changes no map
    columns: slice  # its columns
    ignored: bool  # "Don't care", or too small


@TRANSFORMS.register_module()
@dataclass(eq=False)
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

    shrink_ratio: float = 0.4
    thresh_min: float = 0.3
    thresh_max: float = 0.7
    min_text_size: float = 8.0

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
    polygons: Polygons,
    ignored: Flags,
    shape: Size,
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
        Each is (H, W), `thresh_map` float32, the others uint8: less to move between processes. A
        text whose shrunk region holds no pixel is ignored.
    """
    shrink_map = np.zeros(shape, dtype=bool)
    shrink_mask = np.ones(shape, dtype=bool)
    nearness = np.zeros(shape, dtype=np.float32)  # 1 on an outline, 0 from D on
    thresh_mask = np.zeros(shape, dtype=bool)
    for polygon, offset, rows, columns, ignore in touching_instances(
        polygons, ignored, shape, shrink_ratio, min_text_size
    ):
        window = (rows, columns)
        distance, inside = distance_field(
            polygon, np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
        )
        shrunk = inside & (distance >= offset - 0.5)
        if ignore or not shrunk.any():
            shrink_mask[window] &= ~(inside | (distance <= 0.5))
            continue
        shrink_map[window] |= shrunk
        thresh_mask[window] |= inside | (distance <= offset)
        distance *= -1 / offset
        distance += 1
        np.maximum(nearness[window], distance, out=nearness[window])
    thresh_min, thresh_max = thresh_range
    nearness *= np.float32(thresh_max - thresh_min)
    nearness += np.float32(thresh_min)
    return dict(
        shrink_map=shrink_map.view(np.uint8),
        shrink_mask=shrink_mask.view(np.uint8),
        thresh_map=nearness,
        thresh_mask=thresh_mask.view(np.uint8),
    )


def touching_instances(
    polygons: Polygons, ignored: Flags, shape: Size, shrink_ratio: float, min_text_size: float
) -> list[Instance]:
    """Prepare the texts that touch maps of `shape`; the arguments are those of `draw_targets`."""
    instances = []
    for polygon, ignore in zip(polygons, ignored):
        offset = offset_distance(polygon, shrink_ratio)
        unreadable = bool(ignore) or is_too_small(polygon, min_text_size)
        window = touched_window(polygon, 0.5 if unreadable else max(offset, 0.5), shape)
        if window is not None:
            instances.append(Instance(polygon, offset, *window, unreadable))
    return instances


def is_too_small(polygon: np.ndarray, min_text_size: float) -> bool:
    """Check whether a text is too small to learn from, by MMOCR's rule."""
    return abs(signed_area(polygon)) < 1 or short_side(polygon) < min_text_size


def touched_window(polygon: np.ndarray, margin: float, shape: Size) -> tuple[slice, slice] | None:
    """Rows and columns of the pixels within `margin` of a polygon's bounding box.

    Returns:
        Slices inside an image of `shape` (H, W), or None if no pixel is left.
    """
    left, top = (max(math.ceil(v - margin), 0) for v in polygon.min(axis=0).tolist())
    x_max, y_max = polygon.max(axis=0).tolist()
    right = min(math.floor(x_max + margin), shape[1] - 1)
    bottom = min(math.floor(y_max + margin), shape[0] - 1)
    if left > right or top > bottom:
        return None
    return slice(top, bottom + 1), slice(left, right + 1)
