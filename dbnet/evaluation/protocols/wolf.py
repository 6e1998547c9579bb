"""Protocols that credit splits and merges, after Wolf and Jolion (IJDAR 8, 2006).

A text may be found by several predictions, a prediction may find several texts.
"""

from typing import NamedTuple

import numpy as np

from dbnet.evaluation.protocols.scene import DIGITS, Array, Row, Scene, shares
from dbnet.polygon_iou import areas_and_boxes, box_intersections

SPLIT = 0.8  # what a text in several pieces counts, and each of the pieces
MIN_RECALL, MIN_PRECISION = 0.8, 0.4  # shares of a text, of a prediction, in the other one
MAX_DISTANCE = 1.0  # between two centres, in means of the two diagonals; less than this
TOTALTEXT_RECALL, TOTALTEXT_PRECISION = 0.7, 0.6
TOTALTEXT_DIGITS = 2  # its script rounds all shares


class Pairs(NamedTuple):
    """How the G texts and M predictions of an image lie to each other."""

    recall: Array  # (G, M) share of the text in the prediction
    precision: Array  # (G, M) share of the prediction in the text
    near: Array  # (G, M) bool, whether the centres lie near each other
    ignored: Array  # (G,) bool, of the texts


def count_icdar2013(scene: Scene) -> Row:
    """Count as ICDAR2013's script does (RRC, `TL2p_icdar`): boxes, a lone piece is a split too."""
    return _count(_pairs_of_boxes(scene), strict=False)


def count_icdar2013_deteval(scene: Scene) -> Row:
    """Count as the script does that stands for the program DetEval (RRC, `TL2p_deteval`): boxes.

    One to one are only texts and predictions that touch no others, split and merged only those that
    do; a lone piece counts in full.
    """
    return _count(_pairs_of_boxes(scene), strict=True)


def count_deteval(scene: Scene) -> Row:
    """Count as DetEval does, on polygons (MhLiao/DB, `deteval.py`, after the RRC's script).

    An outline that meets itself or has no area is left out, text or prediction.
    """
    texts, predictions = (np.flatnonzero(simple) for simple in scene.simple)
    chosen = np.ix_(texts, predictions)
    polygons = [scene.texts[i] for i in texts], [scene.predictions[i] for i in predictions]
    means = [np.array([p.mean(axis=0) for p in part]).reshape(-1, 2) for part in polygons]
    boxes = [areas_and_boxes(part)[1] for part in polygons]
    ignored = scene.ignored[texts]
    near = _near(means[0], means[1], boxes[0], boxes[1])
    return _count(Pairs(scene.recall[chosen], scene.precision[chosen], near, ignored), strict=True)


def _pairs_of_boxes(scene: Scene) -> Pairs:
    """Measure the bounding boxes, which end half a pixel beyond their outermost coordinates."""
    texts, predictions = (
        np.array([[*(p.min(axis=0) - 0.5), *(p.max(axis=0) + 0.5)] for p in part]).reshape(-1, 4)
        for part in (scene.texts, scene.predictions)
    )
    common = box_intersections(texts[:, None], predictions[None])
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (texts, predictions)]
    near = _near(_centres(texts), _centres(predictions), texts, predictions)
    recall, precision = shares(common, areas[0][:, None]), shares(common, areas[1][None])
    return Pairs(recall, precision, near, scene.ignored)


def _centres(boxes: Array) -> Array:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _near(centres: Array, others: Array, boxes: Array, other_boxes: Array) -> Array:
    """Compare distances of centres with the diagonals of boxes, (G, M) bool."""
    distance = np.linalg.norm(centres[:, None] - others[None], axis=-1)
    diagonals, theirs = (np.linalg.norm(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, other_boxes))
    return 2 * distance < MAX_DISTANCE * (diagonals[:, None] + theirs)


def _count(pairs: Pairs, strict: bool) -> Row:
    """Match one to one, then texts that are split, then merged ones; as DetEval if `strict`."""
    recall, precision, near, ignored = pairs
    counted = ~(precision[ignored] > MIN_PRECISION).any(axis=0)
    touch = recall > 0
    touching_texts = (touch & ~ignored[:, None]).sum(axis=0)  # of each prediction
    touching = (touch & counted).sum(axis=1)  # predictions, of each text
    alike = (recall >= MIN_RECALL) & (precision >= MIN_PRECISION)
    alone = (alike.sum(axis=1) == 1)[:, None] & (alike.sum(axis=0) == 1)
    if strict:
        alone &= (touching == 1)[:, None] & (touching_texts == 1)
    matches = alike & alone & near & ~ignored[:, None] & counted
    free_texts, free = ~ignored & ~matches.any(axis=1), counted & ~matches.any(axis=0)
    digits = 4 if strict else DIGITS  # the stricter script rounds its sums
    found = right = float(matches.sum())
    for text in np.flatnonzero(free_texts & ((touching >= 2) | (not strict))):
        pieces = np.flatnonzero(free & (precision[text] >= MIN_PRECISION))
        if round(recall[text, pieces].sum(), digits) >= MIN_RECALL:
            worth = 1 if strict and len(pieces) == 1 else SPLIT
            found, right = found + worth, right + worth * len(pieces)
            free_texts[text] = free[pieces] = False
    for prediction in np.flatnonzero(free & ((touching_texts >= 2) | (not strict))):
        words = np.flatnonzero(free_texts & (recall[:, prediction] >= MIN_RECALL))
        if round(precision[words, prediction].sum(), digits) >= MIN_PRECISION:
            found, right = found + len(words), right + 1
            free_texts[words] = False
    return Row(found, float((~ignored).sum()), right, float(counted.sum()))


def count_totaltext(scene: Scene) -> Row:
    """Count as Total-Text's script does (cs-chan/Total-Text-Dataset, `Deteval.py`).

    Polygons, thresholds 0.7 of the text and 0.6 of the prediction, shares rounded to two digits. A
    prediction counts unless more than half of its area and a pixel lies in one ignored text. Both
    the pieces of a text and the texts that a prediction merges count 0.8.
    """
    areas = scene.areas[1]
    counted = ~(shares(scene.common[scene.ignored], areas[None] + 1.0) > 0.5).any(axis=0)
    chosen = np.ix_(~scene.ignored, counted)
    recall, precision = (
        np.round(of[chosen], TOTALTEXT_DIGITS) for of in (scene.recall, scene.precision)
    )
    free_texts, free = np.ones(len(recall), bool), np.ones(recall.shape[1], bool)
    found = right = float(_one_to_one(recall, precision, free_texts, free))
    for text in np.flatnonzero(free_texts & ((recall > 0).sum(axis=1) >= 2)):
        pieces = np.flatnonzero((precision[text] >= TOTALTEXT_PRECISION) & free)
        if recall[text, pieces].sum() >= TOTALTEXT_RECALL:
            worth = 1 if len(pieces) == 1 else SPLIT
            found, right = found + worth, right + worth * len(pieces)
            free_texts[text] = free[pieces] = False
    for prediction in np.flatnonzero(free & ((precision > 0).sum(axis=0) >= 2)):
        words = np.flatnonzero((recall[:, prediction] >= TOTALTEXT_PRECISION) & free_texts)
        alone = len(words) == 1
        if alone and recall[words[0], prediction] < TOTALTEXT_RECALL:
            continue
        if precision[words, prediction].sum() >= TOTALTEXT_PRECISION:
            worth = 1 if alone else SPLIT
            found, right = found + worth * len(words), right + worth
            free_texts[words] = False
    return Row(found, float(len(recall)), right, float(recall.shape[1]))


def _one_to_one(recall: Array, precision: Array, free_texts: Array, free: Array) -> int:
    """Count the texts that have one prediction alone, and take both.

    As in the script, the prediction that covers the text need not be the one that lies in it, and
    the texts of a pair are not marked before all are found.
    """
    covered, inside = recall > TOTALTEXT_RECALL, precision > TOTALTEXT_PRECISION
    matches = 0
    for text in range(len(recall)):
        covering, within = np.flatnonzero(covered[text]), np.flatnonzero(inside[text])
        if len(covering) != 1 or len(within) != 1:
            continue
        if covered[:, covering].sum() == inside[:, within].sum() == 1:
            matches += 1
            free_texts[text] = free[covering] = False
    return matches
