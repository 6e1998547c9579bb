"""Search a postprocessor's settings on kept maps, without torch: processes share the images."""

import itertools
import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbnet.evaluation.counts import (
    Difference,
    count_images,
    differences,
    intervals,
    join_overlaps,
    metrics_of,
)
from dbnet.evaluation.matching import match_image
from dbnet.postprocessing import DBPostprocessor
from dbnet.tuning.maps import read_map

Settings = dict[str, Any]  # of the postprocessor, but for `box_thresh`
Size = tuple[int, int] | None  # (W, H) of the test images, None for the config's

BIN_THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
BOX_THRESHOLDS = (0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85)
UNCLIP_RATIOS = (1.25, 1.5, 1.75, 2.0, 2.25, 2.5)
EPSILON_RATIOS = (0.002, 0.01)
SHRINK_RATIOS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
SHAPES = ("quad", "poly")

TIE = 1e-9  # less than any two hmeans of a dataset differ by


def make_grid(own: Settings) -> list[Settings]:
    """List the settings to try, `own`, those of the config, first."""
    axes = [
        dict(
            bin_thresh=BIN_THRESHOLDS,
            grow=("unclip",),
            unclip_ratio=UNCLIP_RATIOS,
            epsilon_ratio=EPSILON_RATIOS,
            text_repr_type=SHAPES,
        ),
        dict(
            bin_thresh=BIN_THRESHOLDS,
            grow=("inverse",),
            shrink_ratio=SHRINK_RATIOS,
            text_repr_type=SHAPES,
        ),
    ]
    grid = [
        dict(zip(axis, values)) for axis in axes for values in itertools.product(*axis.values())
    ]
    return [own, *(settings for settings in grid if settings != own)]


def used_settings(postprocessor: DBPostprocessor) -> Settings:
    """Name the settings of a postprocessor that take effect, but for `box_thresh`."""
    names = (
        ("shrink_ratio",) if postprocessor.grow == "inverse" else ("unclip_ratio", "epsilon_ratio")
    )
    return {
        name: getattr(postprocessor, name)
        for name in ("bin_thresh", "grow", *names, "text_repr_type")
    }


def count_map(
    path: Path, grid: Sequence[Settings], box_thresholds: Sequence[float], fixed: Mapping[str, Any]
) -> np.ndarray:
    """Count texts, predictions and hits of an image by S settings, (S, B, 7) float32, see `counts`.

    Texts are found once for all B `box_thresholds`, ascending: a score alone decides which stay.
    """
    kept = read_map(path)
    counts = []
    for settings in grid:
        postprocessor = DBPostprocessor(**{**fixed, **settings, "box_thresh": box_thresholds[0]})
        meta = dict(scale_factor=kept.scale_factor)
        (found,) = postprocessor(kept.prob_map[None], [meta])
        iou, counted = match_image(kept.texts, kept.ignored, found["polygons"])
        scores = found["scores"][counted]
        passing = [dict(iou=iou[:, scores >= t], scores=None) for t in box_thresholds]
        counts.append(count_images(join_overlaps(passing)))
    return np.array(counts, np.float32)


def count_maps(
    paths: Sequence[Path],
    grid: Sequence[Settings],
    box_thresholds: Sequence[float],
    fixed: Mapping[str, Any],
    num_processes: int,
) -> Iterator[np.ndarray]:
    """Yield `count_map` of each file, in order."""
    count = partial(count_map, grid=grid, box_thresholds=box_thresholds, fixed=fixed)
    if num_processes == 1:
        yield from map(count, paths)
        return
    # Spawned: this process has torch's threads, which a fork does not survive.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, context, _use_one_thread) as pool:
        yield from pool.map(count, paths)


def _use_one_thread() -> None:
    import cv2

    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)


class Candidate(NamedTuple):
    """One way to find texts, and how well it did."""

    size: Size  # of the test images
    settings: Settings  # of the postprocessor, with `box_thresh`
    counts: np.ndarray  # (N, 7), per image
    value: float  # of the metric that is searched for


class Search:
    """What all settings gave at all sizes.

    The grid has S settings, the config's own first, and there are B box thresholds. `counts` are
    (N, S, B, 7) by size, the config's own first; `metric` is one of `counts.metrics_of`, which the
    best has most of.
    """

    def __init__(
        self,
        grid: Sequence[Settings],
        box_thresholds: Sequence[float],
        own_box_thresh: float,
        counts: Mapping[Size, np.ndarray],
        metric: str,
    ) -> None:
        self.grid, self.box_thresholds = grid, box_thresholds
        self.counts, self.metric = counts, metric
        sums = {size: each.sum(axis=0, dtype=np.float64) for size, each in counts.items()}
        metrics = {size: metrics_of(each) for size, each in sums.items()}
        self.values = {size: each[metric] for size, each in metrics.items()}
        first = next(iter(counts))
        self.own = self.candidate(first, 0, list(box_thresholds).index(own_box_thresh))
        # Of equally good ones the one whose outlines fit best.
        ranks = {size: each[metric] + TIE * each["mean_iou"] for size, each in metrics.items()}
        size = max(ranks, key=lambda one: ranks[one].max())
        row, column = np.unravel_index(ranks[size].argmax(), ranks[size].shape)
        best = self.candidate(size, int(row), int(column))
        self.best = best if best.value > self.own.value else self.own

    def candidate(self, size: Size, row: int, column: int) -> Candidate:
        settings = {**self.grid[row], "box_thresh": self.box_thresholds[column]}
        value = float(self.values[size][row, column])
        return Candidate(size, settings, self.counts[size][:, row, column], value)

    def interval(self) -> tuple[float, float]:
        """95 % interval of the best's metric over resampled images."""
        return intervals(self.best.counts)[self.metric]

    def gain(self, other: Candidate) -> Difference:
        """How much better the best is than another, on the same images."""
        return differences(self.best.counts, other.counts)[self.metric]

    def plateau(self) -> Iterator[tuple[str, list[Candidate]]]:
        """Yield each setting and the candidates that differ from the best in it alone, ordered."""
        for name in self.best.settings:
            near = [one for one in self._at(self.best.size) if _differ(one, self.best) <= {name}]
            if len(near) > 1:
                yield name, sorted(near, key=lambda one: one.settings[name])
        if len(self.counts) > 1:
            same = [c for s in self.counts for c in self._at(s) if not _differ(c, self.best)]
            yield "size", same

    def _at(self, size: Size) -> Iterator[Candidate]:
        for row, column in np.ndindex(self.values[size].shape):
            yield self.candidate(size, row, column)


def _differ(one: Candidate, other: Candidate) -> set[str]:
    names = one.settings.keys() | other.settings.keys()
    return {name for name in names if one.settings.get(name) != other.settings.get(name)}
