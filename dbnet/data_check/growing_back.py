"""Find words that the post-processing of a config cannot give back, not even from perfect maps."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from dbnet.data_check.inspection import sort_words
from dbnet.data_check.kinds import Finding
from dbnet.data_check.polygons import resize_factor
from dbnet.data_check.raw_entries import entry_problem
from dbnet.datasets.annotation_file import stated_size
from dbnet.datasets.transforms.targets import draw_targets, is_too_small
from dbnet.models.postprocessors import DBPostprocessor
from dbnet.polygon_iou import areas_and_boxes, intersection_areas

NUM_WORDS = 2000
MIN_WORD = 8.0  # pixels; as in `GenerateDBTargets`
MARGIN = 16  # pixels around a word, in which its box may grow


class LostWord(NamedTuple):
    """A word whose box does not come back."""

    item: int  # index of its entry in `data_list`
    word: int  # index in `instances`
    size: tuple[float, float]  # (long, short) side of its least rectangle, pixels at the test size

    def finding(self) -> Finding:
        """Report it."""
        long, short = self.size
        detail = f"{long:.0f} x {short:.0f} pixels at the test size"
        return Finding("not-given-back", detail, self.word)


def measure_growing_back(
    entries: Sequence[Any],
    test_size: tuple[int, int],
    postprocessor: DBPostprocessor,
    shrink_ratio: float,
) -> tuple[int, list[LostWord]]:
    """Draw the probability map that a perfect network gives of each word, and look for its box.

    The inverse way is fitted to a network's regions, which it takes to be shrunk by its own ratio.
    `NUM_WORDS` of the entries' words are tried, spread evenly; `test_size` is the longest and
    shortest side at most, in either order. Returns how many were tried, and those without a box of
    an IoU above one half.
    """
    if postprocessor.grow == "inverse":
        shrink_ratio = postprocessor.shrink_ratio
    words = list(_words_that_count(entries, test_size))
    chosen = [
        words[i] for i in np.linspace(0, len(words) - 1, min(NUM_WORDS, len(words)), dtype=int)
    ]
    lost = []
    for item, word, polygon in chosen:
        if best_iou(polygon, postprocessor, shrink_ratio) <= 0.5:
            short, long = sorted(cv2.minAreaRect(polygon)[1])
            lost.append(LostWord(item, word, (long, short)))
    return len(chosen), lost


def best_iou(polygon: np.ndarray, postprocessor: DBPostprocessor, shrink_ratio: float) -> float:
    """IoU of a polygon (K, 2), in pixels of a map, with the best box found on its own targets."""
    # By whole pixels: how it lies on the grid of pixels counts.
    polygon = polygon - np.floor(polygon.min(axis=0)) + np.float32(MARGIN)
    width, height = (np.ceil(polygon.max(axis=0)) + MARGIN).astype(int).tolist()
    targets = draw_targets([polygon], [False], (height, width), shrink_ratio, (0.3, 0.7), MIN_WORD)
    prob_map = torch.from_numpy(targets["shrink_map"])[None]
    (found,) = postprocessor(prob_map, [dict(scale_factor=(1.0, 1.0))])
    outlines = found["polygons"]
    shared = intersection_areas([polygon] * len(outlines), outlines)
    (area, *areas), _ = areas_and_boxes([polygon, *outlines])
    return max((both / (area + own - both) for both, own in zip(shared, areas)), default=0.0)


def _words_that_count(
    entries: Sequence[Any], test_size: tuple[int, int]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield entry, word and polygon at the test size, of words that are large enough to count."""
    for item, entry in enumerate(entries):
        shape = None if entry_problem(entry) else stated_size(entry)
        if shape is None:
            continue
        factor = np.float32(resize_factor(shape, test_size))
        _, kept, polygons = sort_words(entry["instances"])
        for word, polygon in zip(kept, polygons):
            if entry["instances"][word]["ignore"] or np.abs(polygon).max() > max(shape) * 2:
                continue
            if not is_too_small(polygon * factor, MIN_WORD):
                yield item, word, polygon * factor
