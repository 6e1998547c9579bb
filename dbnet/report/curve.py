"""Precision and recall over the threshold of the score."""

from typing import NamedTuple

import numpy as np

from dbnet.evaluation.counts import SCORE_THRESHOLDS, Overlaps, count_hits, rates
from dbnet.evaluation.matching import first_come

STEPS = 100  # thresholds between 0 and 1


class Point(NamedTuple):
    """Figures at a threshold; None stands for all predictions in the file."""

    threshold: float | None
    predictions: int
    precision: float
    recall: float
    hmean: float


def trace_curve(overlaps: Overlaps) -> list[Point]:
    """Count at each of the thresholds 0, 0.01, ... 1 that leaves a prediction."""
    if overlaps.scores is None or not len(overlaps.scores):
        return []
    highest = overlaps.scores.max()
    limits = [step / STEPS for step in range(STEPS + 1) if np.float32(step / STEPS) <= highest]
    return [_point(limit, overlaps) for limit in limits]


def operating_points(overlaps: Overlaps) -> list[Point]:
    """Count all predictions in the file, and at each of the thresholds of `icdar/hmean`."""
    limits = () if overlaps.scores is None else SCORE_THRESHOLDS
    return [_point(limit, overlaps) for limit in (None, *limits)]


def _point(limit: float | None, overlaps: Overlaps) -> Point:
    hits = count_hits(limit, overlaps, first_come).sum()
    number = len(overlaps.images)
    if limit is not None and overlaps.scores is not None:
        number = int((overlaps.scores >= np.float32(limit)).sum())
    figures = rates(hits, np.array(len(overlaps.text_images)), np.array(number))
    return Point(limit, number, *map(float, figures))
