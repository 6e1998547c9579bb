"""Which predictions stand for which texts of an image, by ICDAR2015's rules."""

from collections import deque
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import shapely

from dbnet.polygon_iou import (
    areas_and_boxes,
    box_intersections,
    exact_area,
    exact_intersection_area,
    to_geometries,
)

MIN_IOU = 0.5  # a match overlaps by more than this
MAX_IGNORED_OVERLAP = 0.5  # part of a prediction that may lie in one ignored text
LIMITS = tuple(Fraction(tenths, 10) for tenths in range(5, 10))  # shares that anything depends on
MIN_SHARE = 0.4  # below it nothing depends on a share
MARGIN = 1e-6  # what a share may err by; it errs by far less


def match_image(
    gt_polygons: Sequence[np.ndarray], gt_ignored: Sequence[bool], polygons: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Measure how well each prediction stands for each text of one image.

    A prediction with more than half of its area in a single ignored text neither hits nor misses.
    One without area counts, and is never left out. As in the competition's script, the area of an
    outline that crosses itself is that of the shoelace formula, in which lobes of opposite
    direction cancel, while an intersection is measured even-odd.

    Comparisons with 0.5, 0.6, ... 0.9 are exact, whatever the polygons: an IoU of which rounding
    could hide on which side of such a limit it lies is computed in fractions.

    Takes G texts, each (K, 2) in pixels of the original image, G flags of those that are "don't
    care", and M predictions in the same frame. Returns the IoU (G', M') float64 of the texts and
    predictions that count, 0 where the boxes alone show that it is below 0.4 (a hit is above 0.5),
    and which predictions count, (M,) bool.
    """
    ignored = np.asarray(gt_ignored, dtype=bool)
    num_texts = len(gt_polygons)
    areas, boxes = areas_and_boxes([*gt_polygons, *polygons])
    text_areas, areas = areas[:num_texts], areas[num_texts:]
    geometries = to_geometries([*gt_polygons, *polygons])
    # Pairs of which the boxes meet; (P,) indices of texts and of predictions.
    found, texts = shapely.STRtree(geometries[:num_texts]).query(geometries[num_texts:])
    # They share no more than their boxes do: most pairs need no closer look.
    at_most = box_intersections(boxes[texts], boxes[num_texts + found])
    whole = np.where(ignored[texts], areas[found], text_areas[texts] + areas[found] - at_most)
    near = at_most > MIN_SHARE * whole
    found, texts = found[near], texts[near]
    shared = shapely.intersection(geometries[texts], geometries[num_texts + found])
    common = shapely.area(shared)
    whole = np.where(ignored[texts], areas[found], text_areas[texts] + areas[found] - common)
    share = np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)
    for pair in np.flatnonzero(_is_close(share)).tolist():
        text, prediction = gt_polygons[texts[pair]], polygons[found[pair]]
        share[pair] = _exact_share(text, prediction, bool(ignored[texts[pair]]))
    counted = np.ones(len(polygons), dtype=bool)
    counted[found[ignored[texts] & (share > MAX_IGNORED_OVERLAP)]] = False
    iou = np.zeros((num_texts, len(polygons)))
    iou[texts, found] = share
    return iou[~ignored][:, counted], counted


def _is_close(share: np.ndarray) -> np.ndarray:
    """Find the shares that lie so near to a limit that rounding may have moved them across it."""
    tenths = 10 * share
    return (np.abs(tenths - np.rint(tenths)) < 10 * MARGIN) & (tenths > 4.5) & (tenths < 9.5)


def _exact_share(text: np.ndarray, prediction: np.ndarray, ignored: bool) -> float:
    """Compute an IoU, or the part in an ignored text, rounded on its side of each limit."""
    common = exact_intersection_area(text, prediction)
    area = exact_area(prediction)
    whole = area if ignored else exact_area(text) + area - common
    share = common / whole
    rounded = float(share)
    if any(share > limit and rounded <= float(limit) for limit in LIMITS):
        return float(np.nextafter(rounded, 1))
    return rounded


def first_come_pairs(hits: np.ndarray) -> list[tuple[int, int]]:
    """Match the texts and predictions of one image as `first_come` does.

    Takes which predictions could stand for which texts, (G, M) bool; returns (text, prediction) of
    each match, by text.
    """
    texts, predictions = np.nonzero(hits)
    chosen = first_come(texts, predictions)
    return list(zip(texts[chosen].tolist(), predictions[chosen].tolist()))


def first_come(texts: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Let each text in turn take the first free prediction that hits it.

    This is the order of ICDAR2015's own script and of MMOCR's strategy "vanilla". Takes the texts
    (P,) and the predictions (P,) of hits, sorted by text, then by prediction; numbers may run over
    all images of a dataset. Returns the hits (K,) that are matches, in order.
    """
    chosen = _sole(texts, predictions)
    taken: set[int] = set()
    matched = -1
    for hit in np.flatnonzero(~chosen).tolist():
        text, prediction = int(texts[hit]), int(predictions[hit])
        if text != matched and prediction not in taken:
            matched = text
            taken.add(prediction)
            chosen[hit] = True
    return np.flatnonzero(chosen)


def maximum(texts: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Find a maximum bipartite matching by augmenting paths; see `first_come`."""
    chosen = _sole(texts, predictions)
    neighbours: dict[int, dict[int, int]] = {}  # prediction: hit, of each text
    for hit in np.flatnonzero(~chosen).tolist():
        neighbours.setdefault(int(texts[hit]), {})[int(predictions[hit])] = hit
    text_of: dict[int, int] = {}
    for text in neighbours:
        _augment(text, neighbours, text_of)
    chosen[[neighbours[text][prediction] for prediction, text in text_of.items()]] = True
    return np.flatnonzero(chosen)


def _sole(texts: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Find the hits (P,) bool whose text and prediction have no other one: always matches."""
    sole = np.ones(len(texts), dtype=bool)
    for ends in (texts, predictions):
        _, index, number = np.unique(ends, return_inverse=True, return_counts=True)
        sole &= number[index] == 1
    return sole


def _augment(start: int, neighbours: dict[int, dict[int, int]], text_of: dict[int, int]) -> None:
    """Match a text, if it can be, along a shortest path to a free prediction; changes `text_of`."""
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
                return
            queue.append((text_of[prediction], prediction))


def _hand_over(
    free: int, origin: dict[int, tuple[int, int | None]], text_of: dict[int, int]
) -> None:
    """Match each prediction on the path that ends in `free` with the text it was reached from."""
    prediction: int | None = free
    while prediction is not None:
        text, held = origin[prediction]
        text_of[prediction] = text
        prediction = held
