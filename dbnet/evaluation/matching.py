from collections import deque
from collections.abc import Sequence

import numpy as np

from dbnet.polygon_iou import (
    areas_and_boxes,
    box_intersections,
    convex_quad_intersections,
    intersection_areas,
)

MIN_IOU = 0.5  # a match overlaps by more than this
MAX_IGNORED_OVERLAP = 0.5  # part of a prediction that may lie in one ignored text
MARGIN = 1e-6  # what areas may err by, relatively; they err by far less


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
    ignored = np.asarray(gt_ignored, dtype=bool)
    num_texts = len(gt_polygons)
    areas, boxes = areas_and_boxes([*gt_polygons, *polygons])
    text_areas, areas = areas[:num_texts], areas[num_texts:]
    # A smaller common area changes nothing: IoU > m where it exceeds m / (1 + m) of both areas.
    decisive = np.where(
        ignored[:, None],
        MAX_IGNORED_OVERLAP * areas,
        MIN_IOU / (1 + MIN_IOU) * (text_areas[:, None] + areas),
    )
    in_boxes = box_intersections(boxes[:num_texts], boxes[num_texts:])
    texts, found = np.nonzero(in_boxes * (1 + MARGIN) > decisive)
    common = _common_areas(
        [gt_polygons[text] for text in texts.tolist()],
        [polygons[prediction] for prediction in found.tolist()],
        decisive[texts, found],
    )
    areas_found = areas[found]
    in_ignored = ignored[texts] & (areas_found > 0) & (common > MAX_IGNORED_OVERLAP * areas_found)
    counted = np.ones(len(polygons), dtype=bool)
    counted[found[in_ignored]] = False
    union = text_areas[texts] + areas_found - common
    iou = np.divide(common, union, out=np.zeros_like(union), where=union > 0)
    hits = np.zeros(decisive.shape, dtype=bool)
    hits[texts, found] = iou > MIN_IOU
    return hits[~ignored][:, counted], counted


def _common_areas(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], decisive: np.ndarray
) -> np.ndarray:
    """Area (N,) that each of N polygons shares with its partner.

    Where it differs clearly from the area (N,) on which something depends, the quick way will do.
    """
    common = np.full(len(decisive), np.nan)
    quads = [i for i, (a, b) in enumerate(zip(first, second)) if len(a) == len(b) == 4]
    if quads:
        vertices = np.concatenate([polygons[i] for polygons in (first, second) for i in quads])
        common[quads] = convex_quad_intersections(*vertices.reshape(2, -1, 4, 2))
    unclear = np.flatnonzero(~(np.abs(common - decisive) > MARGIN * decisive)).tolist()
    if unclear:
        exact = intersection_areas([first[i] for i in unclear], [second[i] for i in unclear])
        common[unclear] = exact
    return common


def first_come_matches(hits: np.ndarray) -> int:
    """Count the matches when each text in turn takes the first free prediction that hits it.

    This is the order of ICDAR2015's own script and of MMOCR's strategy "vanilla".

    Args:
        hits: (G, M) bool of `match_image`.
    """
    matched, taken = set(), set()
    for text, prediction in np.argwhere(hits).tolist():  # by text, then by prediction
        if text not in matched and prediction not in taken:
            matched.add(text)
            taken.add(prediction)
    return len(taken)


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
