"""Bins of histograms."""

import itertools
from typing import NamedTuple

import numpy as np

INFINITE = float("inf")


class Bins(NamedTuple):
    """What is counted, with its unit, and edges of bins; one belongs to the bin above it."""

    title: str
    edges: tuple[float, ...]
    whole: bool = False  # whether the values are whole numbers

    def labels(self, to: str = "..", more: str = "+") -> list[str]:
        """Name the bins."""
        return [self._label(*edges, to, more) for edges in itertools.pairwise(self.edges)]

    def _label(self, low: float, high: float, to: str, more: str) -> str:
        if high == INFINITE:
            return f"{low:g}{more}"
        single = self.whole and high == low + 1
        return f"{low:g}" if single else f"{low:g}{to}{high - self.whole:g}"

    def counts_of(self, values: np.ndarray) -> np.ndarray:
        """Count values (N,), NaN in no bin and what lies beyond in the outermost; (bins,) int64."""
        places = np.searchsorted(self.edges, values[~np.isnan(values)], side="right") - 1
        num_bins = len(self.edges) - 1
        return np.bincount(places.clip(0, num_bins - 1), minlength=num_bins)
