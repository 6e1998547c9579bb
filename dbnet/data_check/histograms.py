"""Histograms with fixed bins of the images and words of an annotation file."""

import itertools
from typing import NamedTuple

import numpy as np

from dbnet.data_check.inspection import Inspection

INFINITE = float("inf")


class Scale(NamedTuple):
    """The bins of a histogram."""

    title: str  # what is counted, with its unit
    # Of the bins, each from its edge up to the next, which belongs to the next one.
    edges: tuple[float, ...]
    whole: bool = False  # whether the values are whole numbers

    def labels(self) -> list[str]:
        """Name the bins."""
        return [self._label(low, high) for low, high in itertools.pairwise(self.edges)]

    def _label(self, low: float, high: float) -> str:
        if high == INFINITE:
            return f"{low:g}+"
        if self.whole and high == low + 1:
            return f"{low:g}"
        return f"{low:g}..{high - 1 if self.whole else high:g}"


SCALES = {
    "words": Scale("words per image", (0, 1, 2, 3, 5, 9, 17, 33, 65, 129, INFINITE), whole=True),
    "short_side": Scale(
        "short side of words, pixels at the test size",
        (0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, INFINITE),
    ),
    "area": Scale(
        "area of words, square pixels at the test size",
        (0, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, INFINITE),
    ),
    "aspect": Scale(
        "long by short side of words", (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, INFINITE)
    ),
    "angle": Scale("angle of the long side, degrees clockwise", (*range(-90, 91, 15),)),
}


class Histograms:
    """The histograms of one annotation file: rows of (counted, ignored) words per bin.

    Attributes:
        counts: By the name of the scale, (2, bins) int64. Images are counted in the first row.
    """

    def __init__(self) -> None:
        self.counts = {
            name: np.zeros((2, len(scale.edges) - 1), dtype=np.int64)
            for name, scale in SCALES.items()
        }

    def add(self, inspection: Inspection) -> None:
        """Count an image and its words."""
        self.counts["words"][0] += bin_counts("words", np.array([inspection.num_words]))
        for name, values in inspection.measures._asdict().items():
            for row, chosen in enumerate((~inspection.ignored, inspection.ignored)):
                self.counts[name][row] += bin_counts(name, values[chosen])


def bin_counts(name: str, values: np.ndarray) -> np.ndarray:
    """Count values (N,) in the bins of a scale; what lies beyond goes to the outermost bins."""
    edges = np.array(SCALES[name].edges)
    places = np.searchsorted(edges, values, side="right") - 1
    return np.bincount(places.clip(0, len(edges) - 2), minlength=len(edges) - 1)
