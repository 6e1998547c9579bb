"""How hmean depends on what a text is like: its size, form and surroundings."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import shapely

from dbnet.evaluation.counts import INTERVAL, rates, resampled_sums
from dbnet.evaluation.protocols.scene import Scene
from dbnet.geometry import clip, least_rectangles
from dbnet.polygon_iou import to_geometries
from dbnet.report.causes import Judgement
from dbnet.utils.bins import INFINITE, Bins

Array = np.ndarray
PERCENTILES = (5, 95)  # of the grey values in an outline, whose difference is its contrast

# What texts and predictions are sorted by.
SLICES = {
    "height": Bins("height: short side, pixels", (0, 8, 12, 16, 24, 32, 48, 64, INFINITE)),
    "angle": Bins("angle of the long side to the horizontal, degrees", (0, 5, 15, 30, 60, 90)),
    "aspect": Bins("aspect ratio: long by short side", (1, 1.5, 2, 3, 4, 6, 8, 12, INFINITE)),
    "length": Bins(
        "length of the transcription, characters", (1, 2, 3, 4, 6, 9, 13, INFINITE), True
    ),
    "contrast": Bins(
        "contrast: 95th less 5th percentile of the grey values inside",
        (0, 32, 64, 96, 128, 160, 192, 256),
    ),
    "crowding": Bins(
        "crowding: gap to the next outline, by the short side",
        (0, 0.05, 0.1, 0.25, 0.5, 1, 2, INFINITE),
    ),
}


class Rate(NamedTuple):
    """A bin: texts and predictions in it, the recall, and hmean with its 95 % interval.

    `hmean` is None where predictions have no such feature, or nothing is in the bin.
    """

    label: str
    texts: int
    predictions: int
    recall: float | None
    hmean: float | None
    interval: tuple[float, float]


def measure(polygons: Sequence[Array], image: Array | None) -> dict[str, Array]:
    """Measure outlines for `SLICES`, (N,) float64 each, NaN where nothing can be measured.

    They are N polygons (K, 2), all of the texts or of the predictions of an image (H, W, 3) uint8
    BGR, None if it cannot be read.
    """
    short, long, angle = least_rectangles(polygons)
    aspect = np.divide(long, short, out=np.full_like(long, np.nan), where=short > 0)
    gaps = np.divide(_gaps(polygons), short, out=np.full_like(long, np.nan), where=short > 0)
    nothing = np.full(len(polygons), np.nan)
    contrast = nothing if image is None else np.array([_contrast(p, image) for p in polygons])
    return dict(height=short, angle=np.abs(angle), aspect=aspect, contrast=contrast, crowding=gaps)


def _gaps(polygons: Sequence[Array]) -> Array:
    """Distance (N,) from each outline to the next one, in pixels; infinite if it is alone."""
    geometries = to_geometries(polygons)
    gaps = shapely.distance(geometries[:, None], geometries[None])
    gaps[np.diag_indices(len(gaps))] = np.inf
    return np.nan_to_num(gaps, nan=np.inf, posinf=np.inf).min(axis=1, initial=np.inf)


def _contrast(polygon: Array, image: Array) -> float:
    height, width = image.shape[:2]
    inside = clip(polygon, (0, 0), (width - 1, height - 1))
    if len(inside) < 3:
        return float("nan")
    points = np.rint(inside).astype(np.int32)
    left, top, wide, high = cv2.boundingRect(points)
    mask = cv2.fillPoly(np.zeros((high, wide), np.uint8), [points - (left, top)], 1)
    grey = cv2.cvtColor(image[top : top + high, left : left + wide], cv2.COLOR_BGR2GRAY)
    low, upper = np.percentile(grey[mask > 0], PERCENTILES)
    return float(upper - low)


def count_slices(
    scene: Scene, judgement: Judgement, texts: dict[str, Array], predictions: dict[str, Array]
) -> Array:
    """Count matches, texts and predictions in each bin of `SLICES`, (bins, 3) float64.

    A match is counted where its text is, prediction and all; a false alarm where it is itself. See
    `measure` for what is known of texts and predictions.
    """
    verdict, rows = judgement.verdict, []
    matched = [text for text, _ in verdict.pairs]
    length = np.array([n if n > 0 else np.nan for n in scene.num_chars], np.float64)
    nothing = np.full(len(scene.predictions), np.nan)
    of_texts, of_predictions = texts | {"length": length}, predictions | {"length": nothing}
    for name, slice_ in SLICES.items():
        hits = slice_.counts_of(of_texts[name][matched])
        missed = slice_.counts_of(of_texts[name][verdict.missed])
        false = slice_.counts_of(of_predictions[name][verdict.false_alarms])
        rows.append(np.stack([hits, hits + missed, hits + false], axis=1))
    return np.concatenate(rows).astype(np.float64)


def rate_slices(counts: Array) -> dict[str, list[Rate]]:
    """Form the figures of each bin from the counts of N images, (N, bins, 3)."""
    num_images, num_bins = counts.shape[:2]
    (sums,) = resampled_sums([counts.reshape(num_images, -1)])
    drawn = rates(*np.moveaxis(sums.reshape(-1, num_bins, 3), -1, 0))[2]
    low, high = np.percentile(drawn, INTERVAL, axis=0).tolist()
    totals = counts.sum(axis=0)
    _, recall, hmean = rates(*totals.T)
    found, first = {}, 0
    for name, slice_ in SLICES.items():
        bins = []
        for index, label in enumerate(slice_.labels(" to ", " and more"), start=first):
            texts, predictions = map(int, totals[index, 1:])
            known = name != "length" and texts + predictions > 0
            recalled = float(recall[index]) if texts else None
            mean, ends = float(hmean[index]) if known else None, (low[index], high[index])
            bins.append(Rate(label, texts, predictions, recalled, mean, ends))
        found[name], first = bins, first + len(bins)
    return found
