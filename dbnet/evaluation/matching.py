from collections import deque
from collections.abc import Sequence

import numpy as np

from dbnet.utils.polygon import signed_area
from dbnet.utils.polygon_iou import pairwise_intersection, to_geometries

MIN_IOU = 0.5  # a match overlaps by more than this
MAX_IGNORED_OVERLAP = 0.5  # part of a prediction that may lie in one ignored text


def match_image(
    gt_polygons: Sequence[np.ndarray], gt_ignored: Sequence[bool], polygons: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Find which predictions could stand for which texts of one image.

    A prediction with more than half of its area in a single ignored text neither hits nor misses.
    One without area counts, and is never left out. As in the competition's script, the area of an
    outline that crosses itself is that of the shoelace formula, in which lobes of opposite
    direction cancel, while an intersection is measured even-odd.

    Args:
        gt_polygons: G ground-truth polygons, each (K, 2), in pixels of the original image.
        gt_ignored: G flags, true where the text is "don't care".
        polygons: M predicted polygons, each (K, 2), in the same frame.

    Returns:
        hits: (G', M') bool, true where IoU > 0.5, of the texts and predictions that count.
        counted: (M,) bool, true for the M' predictions that count.
    """
    common = pairwise_intersection(to_geometries(gt_polygons), to_geometries(polygons))
    text_areas, areas = _outline_areas(gt_polygons), _outline_areas(polygons)
    ignored = np.asarray(gt_ignored, dtype=bool)
    in_ignored = (common[ignored] > MAX_IGNORED_OVERLAP * areas) & (areas > 0)
    counted = ~in_ignored.any(axis=0)
    union = text_areas[:, None] + areas - common
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return iou[~ignored][:, counted] > MIN_IOU, counted


def _outline_areas(polygons: Sequence[np.ndarray]) -> np.ndarray:
    """Areas (N,) by the shoelace formula; 0 for a polygon with a coordinate that is not finite."""
    finite = [polygon if np.isfinite(polygon).all() else polygon[:0] for polygon in polygons]
    return np.array([abs(signed_area(polygon)) for polygon in finite])


def first_come_matches(hits: np.ndarray) -> int:
    """Count the matches when each text in turn takes the first free prediction that hits it.

    This is the order of ICDAR2015's own script and of MMOCR's strategy "vanilla".

    Args:
        hits: (G, M) bool of `match_image`.
    """
    free = np.ones(hits.shape[1], dtype=bool)
    for row in hits:
        free[np.flatnonzero(row & free)[:1]] = False
    return int((~free).sum())


def maximum_matches(hits: np.ndarray) -> int:
    """Count the matches of a maximum bipartite matching, by augmenting paths.

    Args:
        hits: (G, M) bool of `match_image`.
    """
    neighbours = [np.flatnonzero(row).tolist() for row in hits]
    text_of: dict[int, int] = {}
    return sum(_augment(text, neighbours, text_of) for text in range(len(hits)))


def _augment(start: int, neighbours: list[list[int]], text_of: dict[int, int]) -> bool:
    """Match one more text along a shortest path to a free prediction; `text_of` is changed."""
    # Of each prediction on a path: the text it was reached from and what that text held before.
    origin: dict[int, tuple[int, int | None]] = {}
    queue: deque[tuple[int, int | None]] = deque([(start, None)])
    while queue:
        text, held = queue.popleft()
        for prediction in neighbours[text]:
            if prediction in origin:
                continue
            origin[prediction] = (text, held)
            if prediction not in text_of:
                _hand_over(prediction, origin, text_of)
                return True
            queue.append((text_of[prediction], prediction))
    return False


def _hand_over(
    free: int, origin: dict[int, tuple[int, int | None]], text_of: dict[int, int]
) -> None:
    """Give each prediction on the path that ends in `free` to the text it was reached from."""
    prediction: int | None = free
    while prediction is not None:
        text, held = origin[prediction]
        text_of[prediction] = text
        prediction = held


def precision_recall_hmean(
    num_hits: int, num_texts: int, num_predictions: int
) -> tuple[float, float, float]:
    """Precision, recall and their harmonic mean, from counts over a data set.

    Without texts the recall is 1, and the precision is 1 only without predictions; with texts but
    without predictions the precision is 0. So does MMOCR's `compute_hmean`. (ICDAR2015's script
    agrees for a single image, but calls all three 0 for a data set without texts.)
    """
    if num_texts == 0:
        precision = float(num_predictions == 0)
        return precision, 1.0, precision
    precision = num_hits / num_predictions if num_predictions else 0.0
    # 2 P R / (P + R), in whole numbers: equal means are equal floats, as ties need.
    hmean = 2 * num_hits / (num_texts + num_predictions)
    return precision, num_hits / num_texts, hmean
