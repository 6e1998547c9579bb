"""Texts and predictions of an image: which match, and a drawing of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dbnet.evaluation.matching import MIN_IOU, first_come_pairs, match_image
from dbnet.visualization.draw import (
    GREEN,
    GREY,
    SKY_BLUE,
    VERMILION,
    YELLOW,
    Layer,
    LineStyle,
    draw_layers,
)
from dbnet.visualization.sheet import add_legend, draw_tile, shorten

MATCHED_TEXT = LineStyle(SKY_BLUE, edged=False)
MATCHED = LineStyle(GREEN)
MISSED = LineStyle(YELLOW, dash=4)
FALSE_ALARM = LineStyle(VERMILION, double=True)
IGNORED_TEXT = LineStyle(GREY, edged=False)
IGNORED_PREDICTION = LineStyle(GREY, dash=2, edged=False)

LEGEND = (
    (MATCHED, "matched"),
    (MATCHED_TEXT, "matched text"),
    (MISSED, "missed"),
    (FALSE_ALARM, "false alarm"),
    (IGNORED_TEXT, "ignored text"),
    (IGNORED_PREDICTION, "ignored prediction"),
)

TILE_SIZE = (640, 480)  # (W, H) at most of an image in a contact sheet, pixels


class Verdict(NamedTuple):
    """The matches of one image by the competition's protocol, with every prediction in it.

    Indices of texts and predictions, each in one of the first three or the last two.
    """

    pairs: list[tuple[int, int]]  # (text, prediction) that match
    missed: list[int]  # texts that no prediction took
    false_alarms: list[int]  # predictions that took no text
    ignored_texts: list[int]  # texts marked "don't care"
    ignored_predictions: list[int]  # predictions that lie in an ignored text

    @property
    def num_errors(self) -> int:
        return len(self.missed) + len(self.false_alarms)


def judge_image(
    gt_polygons: Sequence[np.ndarray], gt_ignored: Sequence[bool], polygons: Sequence[np.ndarray]
) -> Verdict:
    """Match the texts and predictions of an image as `icdar/official_*` counts them.

    Both are polygons, each (K, 2), in pixels of the original image; texts to ignore are "don't
    care".
    """
    iou, counted = match_image(gt_polygons, gt_ignored, polygons)
    return verdict_of(np.asarray(gt_ignored, bool), iou, counted, np.ones(len(polygons), bool))


def verdict_of(
    ignored: np.ndarray, iou: np.ndarray, counted: np.ndarray, kept: np.ndarray
) -> Verdict:
    """Match as `match_image` has measured, with the predictions `kept`, (M,) bool, alone."""
    texts, predictions = np.flatnonzero(~ignored).tolist(), np.flatnonzero(counted).tolist()
    hits = (iou > MIN_IOU) & kept[counted]
    pairs = [(texts[t], predictions[p]) for t, p in first_come_pairs(hits)]
    found, taken = {text for text, _ in pairs}, {prediction for _, prediction in pairs}
    return Verdict(
        pairs=pairs,
        missed=[text for text in texts if text not in found],
        false_alarms=[p for p in np.flatnonzero(counted & kept).tolist() if p not in taken],
        ignored_texts=np.flatnonzero(ignored).tolist(),
        ignored_predictions=np.flatnonzero(~counted & kept).tolist(),
    )


def layers_of(
    verdict: Verdict, gt_polygons: Sequence[np.ndarray], polygons: Sequence[np.ndarray]
) -> list[Layer]:
    """Sort texts and predictions by how they are drawn, see `judge_image`."""
    return [
        (IGNORED_TEXT, [gt_polygons[i] for i in verdict.ignored_texts]),
        (IGNORED_PREDICTION, [polygons[i] for i in verdict.ignored_predictions]),
        (MATCHED_TEXT, [gt_polygons[text] for text, _ in verdict.pairs]),
        (MATCHED, [polygons[prediction] for _, prediction in verdict.pairs]),
        (FALSE_ALARM, [polygons[i] for i in verdict.false_alarms]),
        (MISSED, [gt_polygons[i] for i in verdict.missed]),  # its gaps show what is below
    ]


def draw_detections(
    image: np.ndarray, name: str, verdict: Verdict, layers: Sequence[Layer]
) -> np.ndarray:
    """Draw an image's texts and predictions above a legend with its name and the counts."""
    counts = [len(verdict.pairs), None, *map(len, verdict[1:])]
    entries = [
        (style, label if count is None else f"{label} {count}")
        for (style, label), count in zip(LEGEND, counts)
    ]
    return add_legend(draw_layers(image, layers), name, entries)


def draw_small_detections(
    image: np.ndarray, name: str, verdict: Verdict, layers: Sequence[Layer]
) -> np.ndarray:
    """Draw what `draw_detections` does on a small copy, below its name and errors."""
    errors = f"{len(verdict.missed)} missed, {len(verdict.false_alarms)} false"
    return draw_tile(image, layers, TILE_SIZE, f"{shorten(name, 32)}: {errors}")
