"""Whether a set mixes words and lines: what is one text in one place is several in another."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from dbnet.data_check.inspection import sort_words
from dbnet.data_check.kinds import Finding
from dbnet.data_check.raw_entries import entry_problem

AS_HIGH = 0.5  # part of a line's height that its words have at least
SHORTER = 0.8  # part of a line's length that its words have at most
MIN_WORDS = 2  # whose middles lie in a line
MIN_LINES = 2
LINE_SHARE = 0.005  # of the texts that count
# Share of transcriptions with a space. ICDAR2015's words: 0.007. Of lines more have one.
SPACED = (0.05, 0.4)
LONGER = 2.0  # times that texts with a space are longer for their height


def mixed_levels(entries: Sequence[Any]) -> Iterator[Finding]:
    """Find signs of words and lines in the entries of a file; what is ignored does not count."""
    num_texts = num_lines = 0
    aspects: dict[bool, list[float]] = {True: [], False: []}
    for entry in entries:
        if entry_problem(entry):
            continue
        _, kept, polygons = sort_words(entry["instances"])
        words = [entry["instances"][index] for index in kept]
        counted = [(w, p) for w, p in zip(words, polygons) if not w["ignore"]]
        boxes = np.array([cv2.minAreaRect(polygon)[1] for _, polygon in counted]).reshape(-1, 2)
        short, long = np.sort(boxes, axis=1).T
        num_texts += len(counted)
        num_lines += count_lines([polygon for _, polygon in counted], short, long)
        for (word, _), aspect in zip(counted, (long / np.maximum(short, 1)).tolist()):
            if isinstance(word.get("text"), str) and word["text"].strip():
                aspects[" " in word["text"].strip()].append(aspect)
    if num_lines >= max(MIN_LINES, LINE_SHARE * num_texts):
        yield Finding("mixed-levels", f"{num_lines} of {num_texts} texts lie on words of their own")
    yield from _spaced(aspects[True], aspects[False])


def count_lines(polygons: Sequence[np.ndarray], short: np.ndarray, long: np.ndarray) -> int:
    """Count the polygons (K, 2) in which middles of others lie that are about as high, and shorter.

    `short` and `long` are their sides, (N,) pixels.
    """
    middles = [tuple(polygon.mean(axis=0).tolist()) for polygon in polygons]
    count = 0
    for polygon, height, width in zip(polygons, short, long):
        alike = np.flatnonzero((short >= AS_HIGH * height) & (long <= SHORTER * width))
        inside = [cv2.pointPolygonTest(polygon, middles[i], False) > 0 for i in alike]
        count += sum(inside) >= MIN_WORDS
    return count


def _spaced(spaced: list[float], others: list[float]) -> Iterator[Finding]:
    """Compare texts with and without a space by their lengths, in heights."""
    total = len(spaced) + len(others)
    if not spaced or not others or not SPACED[0] <= len(spaced) / total <= SPACED[1]:
        return
    ratio = float(np.median(spaced) / max(np.median(others), 1e-9))
    if ratio >= LONGER:
        texts = f"{len(spaced)} of {total} transcriptions have spaces"
        detail = f"{texts}, and are {ratio:.1f} times as long for their height as the others"
        yield Finding("mixed-levels", detail)
