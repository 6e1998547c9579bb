from collections.abc import Sequence

import numpy as np

from dbnet.geometry import transform
from dbnet.visualization.draw import (
    GREEN,
    GREY,
    SKY_BLUE,
    VERMILION,
    YELLOW,
    LineStyle,
    draw_polygons,
    resize_to_fit,
)
from dbnet.visualization.legend import add_legend, caption, shorten
from dbnet.visualization.matches import Verdict

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


def draw_verdict(
    image: np.ndarray,
    verdict: Verdict,
    gt_polygons: Sequence[np.ndarray],
    polygons: Sequence[np.ndarray],
) -> np.ndarray:
    """Return a copy of a BGR image with texts and predictions, each in the style of its verdict.

    Args:
        image: (H, W, 3) uint8.
        verdict: Of `judge_image`, with indices of the other two arguments.
        gt_polygons: Ground truth, each (K, 2), in pixels of `image`.
        polygons: Predictions, each (K, 2), in the same frame.
    """
    layers = [
        (IGNORED_TEXT, [gt_polygons[i] for i in verdict.ignored_texts]),
        (IGNORED_PREDICTION, [polygons[i] for i in verdict.ignored_predictions]),
        (MATCHED_TEXT, [gt_polygons[text] for text, _ in verdict.pairs]),
        (MATCHED, [polygons[prediction] for _, prediction in verdict.pairs]),
        (FALSE_ALARM, [polygons[i] for i in verdict.false_alarms]),
        (MISSED, [gt_polygons[i] for i in verdict.missed]),  # its gaps show what is below
    ]
    for style, outlines in layers:
        image = draw_polygons(image, outlines, style)
    return image


def draw_detections(
    image: np.ndarray,
    name: str,
    verdict: Verdict,
    gt_polygons: Sequence[np.ndarray],
    polygons: Sequence[np.ndarray],
) -> np.ndarray:
    """As `draw_verdict`, above a legend with the image's name and the counts."""
    counts = [len(verdict.pairs), None, *map(len, verdict[1:])]
    entries = [
        (style, label if count is None else f"{label} {count}")
        for (style, label), count in zip(LEGEND, counts)
    ]
    return add_legend(draw_verdict(image, verdict, gt_polygons, polygons), name, entries)


def draw_tile(
    image: np.ndarray,
    name: str,
    verdict: Verdict,
    gt_polygons: Sequence[np.ndarray],
    polygons: Sequence[np.ndarray],
) -> np.ndarray:
    """As `draw_verdict`, on a small copy below a line with the image's name and its errors."""
    image, matrix = resize_to_fit(image, TILE_SIZE)
    small = [[transform(p, matrix) for p in group] for group in (gt_polygons, polygons)]
    errors = f"{len(verdict.missed)} missed, {len(verdict.false_alarms)} false"
    return caption(draw_verdict(image, verdict, *small), f"{shorten(name, 32)}: {errors}")
