"""How hmean depends on what a text is like: its size, form and surroundings."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import shapely

from dbnet.evaluation.counts import INTERVAL, rates, resampled_sums
from dbnet.evaluation.protocols.scene import Scene
from dbnet.geometry import clip
from dbnet.polygon_iou import to_geometries
from dbnet.report.causes import Judgement

Array = np.ndarray
INFINITE = float("inf")
PERCENTILES = (5, 95)  # of the grey values in an outline, whose difference is its contrast


class Slice(NamedTuple):
    """What texts and predictions are sorted by: a title with the unit, and edges of the bins.

    An edge belongs to the bin above it; `whole` says that all values are whole numbers.
    """

    title: str
    edges: tuple[float, ...]
    whole: bool = False

    def labels(self) -> list[str]:
        """Name the bins."""
        return [self._label(*edges) for edges in itertools.pairwise(self.edges)]

    def _label(self, low: float, high: float) -> str:
        if high == INFINITE:
            return f"{low:g} and more"
        if self.whole and high == low + 1:
            return f"{low:g}"
        return f"{low:g} to {high - self.whole:g}"


SLICES = {
    "height": Slice("height: short side, pixels", (0, 8, 12, 16, 24, 32, 48, 64, INFINITE)),
    "angle": Slice("angle of the long side to the horizontal, degrees", (0, 5, 15, 30, 60, 90)),
    "aspect": Slice("aspect ratio: long by short side", (1, 1.5, 2, 3, 4, 6, 8, 12, INFINITE)),
    "length": Slice(
        "length of the transcription, characters", (1, 2, 3, 4, 6, 9, 13, INFINITE), True
    ),
    "contrast": Slice(
        "contrast: 95th less 5th percentile of the grey values inside",
        (0, 32, 64, 96, 128, 160, 192, 256),
    ),
    "crowding": Slice(
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
    rectangles = [cv2.minAreaRect(np.asarray(p, np.float32)) for p in polygons]
    sides = np.array([r[1] for r in rectangles]).reshape(-1, 2)
    turned = np.array([r[2] for r in rectangles]) + 90 * (sides[:, 1] > sides[:, 0])
    angle = np.abs((turned + 90) % 180 - 90)
    short, long = sides.min(axis=1), sides.max(axis=1)
    aspect = np.divide(long, short, out=np.full_like(long, np.nan), where=short > 0)
    gaps = np.divide(_gaps(polygons), short, out=np.full_like(long, np.nan), where=short > 0)
    nothing = np.full(len(polygons), np.nan)
    contrast = nothing if image is None else np.array([_contrast(p, image) for p in polygons])
    return dict(height=short, angle=angle, aspect=aspect, contrast=contrast, crowding=gaps)


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
        hits = _in_bins(of_texts[name][matched], slice_)
        missed = _in_bins(of_texts[name][verdict.missed], slice_)
        false = _in_bins(of_predictions[name][verdict.false_alarms], slice_)
        rows.append(np.stack([hits, hits + missed, hits + false], axis=1))
    return np.concatenate(rows)


def _in_bins(values: Array, slice_: Slice) -> Array:
    """Count values in bins, (bins,); an infinite one is in the last, NaN in none."""
    edges = np.array(slice_.edges)
    places = np.searchsorted(edges, values[~np.isnan(values)], side="right") - 1
    return np.bincount(places.clip(0, len(edges) - 2), minlength=len(edges) - 1).astype(np.float64)


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
        for index, label in enumerate(slice_.labels(), start=first):
            texts, predictions = map(int, totals[index, 1:])
            known = name != "length" and texts + predictions > 0
            bins.append(
                Rate(
                    label,
                    texts,
                    predictions,
                    float(recall[index]) if texts else None,
                    float(hmean[index]) if known else None,
                    (low[index], high[index]),
                )
            )
        found[name], first = bins, first + len(bins)
    return found
