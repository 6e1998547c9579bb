"""What the entries of a file tell together: mixed levels, and what a config makes of words."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from mmengine.dataset import Compose

from dbnet.data_check.inspection import entry_problem, sort_words
from dbnet.data_check.kinds import Finding
from dbnet.data_check.polygons import resize_factor
from dbnet.datasets.annotation_file import stated_size
from dbnet.datasets.transforms.targets import draw_targets, is_too_small
from dbnet.errors import ImageError
from dbnet.geometry import least_rectangles
from dbnet.models.postprocessors import DBPostprocessor
from dbnet.polygon_iou import areas_and_boxes, intersection_areas
from dbnet.remote.paths import join

AS_HIGH = 0.5  # part of a line's height that its words have at least
SHORTER = 0.8  # part of a line's length that its words have at most
MIN_WORDS = 2  # whose middles lie in a line
MIN_LINES = 2
LINE_SHARE = 0.005  # of the texts that count
# Share of transcriptions with a space. ICDAR2015's words: 0.007. Of lines more have one.
SPACED = (0.05, 0.4)
LONGER = 2.0  # times that texts with a space are longer for their height

NUM_SAMPLES = 50
FEW = 0.5  # share of the words below which there is a warning
LARGEST = 1e5  # coordinates beyond are damage, reported as such
TARGETS = "GenerateDBTargets"
# Turns no polygon, and takes time.
LEFT_OUT = (TARGETS, "ColorJitter", "PackTextDetInputs")

NUM_WORDS = 2000
MIN_WORD = 8.0  # pixels; as in `GenerateDBTargets`
MARGIN = 16  # pixels around a word, in which its box may grow


def words_that_count(entry: Any) -> list[tuple[int, np.ndarray]]:
    """List the words of an entry that are kept and not ignored: index and polygon (K, 2)."""
    if entry_problem(entry):
        return []
    _, kept, polygons = sort_words(entry["instances"])
    return [(i, p) for i, p in zip(kept, polygons) if not entry["instances"][i]["ignore"]]


def mixed_levels(entries: Sequence[Any]) -> Iterator[Finding]:
    """Find signs of words and lines in the entries of a file; what is ignored does not count."""
    num_texts = num_lines = 0
    aspects: dict[bool, list[float]] = {True: [], False: []}
    for entry in entries:
        counted = words_that_count(entry)
        short, long, _ = least_rectangles([polygon for _, polygon in counted])
        num_texts += len(counted)
        num_lines += count_lines([polygon for _, polygon in counted], short, long)
        for (word, _), aspect in zip(counted, (long / np.maximum(short, 1)).tolist()):
            text = entry["instances"][word].get("text")
            if isinstance(text, str) and text.strip():
                aspects[" " in text.strip()].append(aspect)
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


class TrainingSize(NamedTuple):
    """Words in samples of the training pipeline."""

    num_samples: int  # that were measured
    num_words: int  # words in them that count
    num_learnable: int  # those of them that are large enough

    def describe(self) -> str:
        """Return the numbers in words."""
        return (
            f"{self.num_learnable} of {self.num_words} words are large enough to be learnt in "
            f"{self.num_samples} training samples"
        )

    def findings(self) -> list[Finding]:
        """Report that less than half of the words are large enough."""
        few = self.num_learnable < FEW * self.num_words
        return [Finding("small-in-training", self.describe())] if few else []


def measure_training(
    entries: Sequence[Any], folder: Path, pipeline: Sequence[dict]
) -> TrainingSize:
    """Run samples of sound entries through a training pipeline, as far as its geometry."""
    geometry = Compose([step for step in pipeline if step["type"] not in LEFT_OUT])
    targets = next((step for step in pipeline if step["type"] == TARGETS), {})
    least = targets.get("min_text_size", 8.0)
    order = np.random.default_rng(0).permutation(len(entries)).tolist()
    num_samples = num_words = num_learnable = 0
    for number in range(NUM_SAMPLES):
        sample = _sample(entries[order[number % len(order)]], folder)
        if sample is None:
            continue
        try:
            result = geometry({**sample, "rng": np.random.default_rng(number)})
        except ImageError:
            continue
        words = [p for p, ignore in zip(result["polygons"], result["ignored"]) if not ignore]
        num_samples += 1
        num_words += len(words)
        num_learnable += sum(not is_too_small(word, least) for word in words)
    return TrainingSize(num_samples, num_words, num_learnable)


def _sample(entry: Any, folder: Path) -> dict[str, Any] | None:
    """Return what enters the pipeline; None for a damaged entry."""
    if entry_problem(entry):
        return None
    _, kept, polygons = sort_words(entry["instances"])
    if any(np.abs(polygon).max() > LARGEST for polygon in polygons):
        return None
    ignored = [bool(entry["instances"][index]["ignore"]) for index in kept]
    img_path = join(str(folder), entry["img_path"])
    return dict(img_path=img_path, polygons=polygons, ignored=ignored)


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
    words = list(_large_words(entries, test_size))
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


def _large_words(
    entries: Sequence[Any], test_size: tuple[int, int]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield entry, word and polygon at the test size, of words that are large enough to count."""
    for item, entry in enumerate(entries):
        shape = None if entry_problem(entry) else stated_size(entry)
        if shape is None:
            continue
        factor = np.float32(resize_factor(shape, test_size))
        for word, polygon in words_that_count(entry):
            is_near = np.abs(polygon).max() <= max(shape) * 2
            if is_near and not is_too_small(polygon * factor, MIN_WORD):
                yield item, word, polygon * factor
