from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dbnet.evaluation.matching import MIN_IOU, match_image


class Verdict(NamedTuple):
    """What the competition's protocol makes of one image, with every prediction in it.

    Indices of texts and predictions, each in one of the first three or the last two.

    Attributes:
        pairs: (text, prediction) that match.
        missed: Texts that no prediction took.
        false_alarms: Predictions that took no text.
        ignored_texts: Texts marked "don't care".
        ignored_predictions: Predictions that lie in an ignored text.
    """

    pairs: list[tuple[int, int]]
    missed: list[int]
    false_alarms: list[int]
    ignored_texts: list[int]
    ignored_predictions: list[int]

    @property
    def num_errors(self) -> int:
        return len(self.missed) + len(self.false_alarms)


def judge_image(
    gt_polygons: Sequence[np.ndarray], gt_ignored: Sequence[bool], polygons: Sequence[np.ndarray]
) -> Verdict:
    """Match the texts and predictions of an image as `icdar/official_*` counts them.

    Args:
        gt_polygons: Ground truth, each (K, 2), in pixels of the original image.
        gt_ignored: True where a text is "don't care".
        polygons: Predictions, each (K, 2), in the same frame.
    """
    iou, counted = match_image(gt_polygons, gt_ignored, polygons)
    ignored = np.asarray(gt_ignored, dtype=bool)
    texts, predictions = np.flatnonzero(~ignored).tolist(), np.flatnonzero(counted).tolist()
    taken = first_come_assignment(iou > MIN_IOU).tolist()
    return Verdict(
        pairs=[(text, predictions[i]) for text, i in zip(texts, taken) if i >= 0],
        missed=[text for text, i in zip(texts, taken) if i < 0],
        false_alarms=[index for i, index in enumerate(predictions) if i not in taken],
        ignored_texts=np.flatnonzero(ignored).tolist(),
        ignored_predictions=np.flatnonzero(~counted).tolist(),
    )


def first_come_assignment(hits: np.ndarray) -> np.ndarray:
    """Give each text in turn the first free prediction that hits it.

    Args:
        hits: (G, M) bool, which predictions could stand for which texts.

    Returns:
        (G,) index of the prediction that each text took, -1 for none. As many are not -1 as
        `first_come_matches` counts.
    """
    free = np.ones(hits.shape[1], dtype=bool)
    taken = np.full(len(hits), -1)
    for text, row in enumerate(hits):
        candidates = np.flatnonzero(row & free)
        if len(candidates):
            taken[text] = candidates[0]
            free[candidates[0]] = False
    return taken
