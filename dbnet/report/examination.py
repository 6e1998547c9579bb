"""All that the page says of a result, and of the difference between two, as numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from dbnet.errors import ImageError
from dbnet.evaluation.counts import (
    SCORE_THRESHOLDS,
    Difference,
    Overlaps,
    count_hits,
    count_images,
    differences,
    intervals,
    join_overlaps,
    metrics_of,
    rates,
)
from dbnet.evaluation.files import GroundTruth, Prediction, make_scenes, paired
from dbnet.evaluation.matching import first_come
from dbnet.evaluation.protocols import NAMES
from dbnet.evaluation.protocols.counting import count_scenes, notes_on
from dbnet.evaluation.protocols.scene import Scene
from dbnet.images import read_image
from dbnet.report.causes import FALSE_ALARMS, MISSES, Judgement, judge_scene
from dbnet.report.slices import Rate, count_slices, measure, rate_slices

Array = np.ndarray

STEPS = 100  # thresholds of the curve between 0 and 1
# The figures of `HmeanIOUMetric` beside those of the protocols, and what they are called.
FIGURES = {
    "hmean": "hmean at the best score threshold",
    "max_hmean": "the same with maximum matching",
    "hmean_iou60": "hmean at IoU 0.6",
    "hmean_iou70": "hmean at IoU 0.7",
    "hmean_iou80": "hmean at IoU 0.8",
    "hmean_iou_mean": "mean hmean at IoU 0.5 to 0.8",
    "mean_iou": "mean IoU of the matches",
}


class Point(NamedTuple):
    """Figures at a threshold; None stands for all predictions in the file."""

    threshold: float | None
    predictions: int
    precision: float
    recall: float
    hmean: float


class Figure(NamedTuple):
    """A metric with its 95 % interval, and the precision and recall it is made of, if any."""

    value: float
    low: float
    high: float
    precision: float | None = None
    recall: float | None = None


class Change(NamedTuple):
    """What a second result changed in an image: texts gained and lost, false alarms added."""

    image: int
    gained: list[int]
    lost: list[int]
    false_alarms: int

    @property
    def net(self) -> int:
        """Errors less than before."""
        return len(self.gained) - len(self.lost) - self.false_alarms


@dataclass
class Examined:
    """One result on N images."""

    name: str  # of its file
    scenes: list[Scene]  # the images with all predictions
    threshold: float | None  # of the score, at which errors are explained; None without scores
    judgements: list[Judgement]  # of each image, at it
    counts: dict[str, Array]  # per image, `icdar` (N, 28) or (N, 7) and each protocol (N, 4)
    points: list[Point]  # at the operating thresholds
    curve: list[Point]  # at all thresholds
    notes: list[str]  # what to know before reading the figures
    slices: dict[str, list[Rate]]  # filled in by `examine_images`

    def figures(self) -> dict[str, Figure]:
        """Form all figures, by the names that `differences_of` uses."""
        found = {}
        for protocol, counts in self.counts.items():
            totals, ends = metrics_of(counts.sum(axis=0)), intervals(counts)
            for name in FIGURES if protocol == "icdar" else ("hmean",):
                if name not in totals:
                    continue
                made_of = ("precision", "recall") if name == "hmean" else ()
                key = name if protocol == "icdar" else protocol
                parts = [float(totals[part]) for part in made_of]
                found[key] = Figure(float(totals[name]), *ends[name], *parts)
        return found

    def causes(self) -> tuple[dict[str, int], dict[str, int]]:
        """Count the misses and the false alarms of each cause."""
        misses = Counter(cause for j in self.judgements for cause in j.misses.values())
        false = Counter(cause for j in self.judgements for cause in j.false_alarms.values())
        return {name: misses[name] for name in MISSES}, {name: false[name] for name in FALSE_ALARMS}

    def worst(self, number: int) -> list[int]:
        """List the images with most errors, the worst first; none without errors."""
        errors = [judgement.verdict.num_errors for judgement in self.judgements]
        order = sorted(range(len(errors)), key=lambda image: -errors[image])
        return [image for image in order[:number] if errors[image]]


def trace_curve(overlaps: Overlaps) -> list[Point]:
    """Count at each of the thresholds 0, 0.01, ... 1 that leaves a prediction."""
    if overlaps.scores is None or not len(overlaps.scores):
        return []
    highest = overlaps.scores.max()
    limits = [step / STEPS for step in range(STEPS + 1) if np.float32(step / STEPS) <= highest]
    return [_point(limit, overlaps) for limit in limits]


def operating_points(overlaps: Overlaps) -> list[Point]:
    """Count all predictions in the file, and at each of the thresholds of `icdar/hmean`."""
    limits = () if overlaps.scores is None else SCORE_THRESHOLDS
    return [_point(limit, overlaps) for limit in (None, *limits)]


def _point(limit: float | None, overlaps: Overlaps) -> Point:
    hits = count_hits(limit, overlaps, first_come).sum()
    number = len(overlaps.images)
    if limit is not None and overlaps.scores is not None:
        number = int((overlaps.scores >= np.float32(limit)).sum())
    figures = rates(hits, np.array(len(overlaps.text_images)), np.array(number))
    return Point(limit, number, *map(float, figures))


def examine(
    name: str,
    truths: Mapping[str, GroundTruth],
    predictions: Mapping[str, Prediction],
    progress: Iterable[int],
) -> Examined:
    """Count a result on N images in every way that needs no pictures.

    An image without predictions counts as empty; of `progress`, 0 to N - 1, numbers are taken as
    the images are done.
    """
    scenes = make_scenes(truths, predictions)
    scores = [prediction.scores for _, prediction in paired(truths, predictions)]
    overlaps = join_overlaps(
        [
            dict(iou=scene.icdar2015[0], scores=None if s is None else s[scene.icdar2015[1]])
            for scene, s in zip(scenes, scores)
        ]
    )
    counts = {"icdar": count_images(overlaps)}
    counts |= count_scenes((scenes[i] for i in progress), NAMES)
    best = metrics_of(counts["icdar"].sum(axis=0)).get("best_score_thr")
    threshold = None if best is None else float(best)
    return Examined(
        name=name,
        scenes=scenes,
        threshold=threshold,
        judgements=[judge_scene(scene, s, threshold) for scene, s in zip(scenes, scores)],
        counts=counts,
        points=operating_points(overlaps),
        curve=trace_curve(overlaps),
        notes=notes_on(scenes, NAMES),
        slices={},
    )


def examine_images(results: Sequence[Examined], images: Sequence[str | None]) -> Iterator[int]:
    """Measure texts and predictions of each image for the slices.

    Yields after each its index if there is no picture of it, else -1.
    """
    rows: list[list[Array]] = [[] for _ in results]
    for index, path in enumerate(images):
        picture = read_or_none(path)
        texts = measure(results[0].scenes[index].texts, picture)
        for result, counted in zip(results, rows):
            scene, judgement = result.scenes[index], result.judgements[index]
            counted.append(
                count_slices(scene, judgement, texts, _measure_kept(result, index, picture))
            )
        yield index if picture is None else -1
    for result, counted in zip(results, rows):
        result.slices = rate_slices(np.stack(counted))


def _measure_kept(result: Examined, index: int, picture: Array | None) -> dict[str, Array]:
    """Measure the predictions above the threshold, (M,) each, NaN for the others."""
    verdict, outlines = result.judgements[index].verdict, result.scenes[index].predictions
    kept = [prediction for _, prediction in verdict.pairs]
    kept += [*verdict.false_alarms, *verdict.ignored_predictions]
    found = {}
    for name, values in measure([outlines[i] for i in kept], picture).items():
        found[name] = np.full(len(outlines), np.nan)
        found[name][kept] = values
    return found


def read_or_none(path: str | None) -> Array | None:
    """Read an image as stored, as training does; None if there is none."""
    try:
        return None if path is None else read_image(path)
    except (ImageError, cv2.error):
        return None


def differences_of(first: Examined, second: Examined) -> dict[str, Difference]:
    """Compare each figure of the second result with the first's, image by image."""
    found: dict[str, Difference] = {}
    for protocol, counts in second.counts.items():
        changes = differences(counts, first.counts[protocol])
        if protocol == "icdar":
            found |= {name: changes[name] for name in FIGURES if name in changes}
        else:
            found[protocol] = changes["hmean"]
    return found


def changes_of(first: Examined, second: Examined) -> list[Change]:
    """List the images in which something changed, those that gained most first."""
    changes = []
    for index, pair in enumerate(zip(first.judgements, second.judgements)):
        before, after = ({text for text, _ in judgement.verdict.pairs} for judgement in pair)
        false = [len(judgement.verdict.false_alarms) for judgement in pair]
        change = Change(index, sorted(after - before), sorted(before - after), false[1] - false[0])
        if change.gained or change.lost or change.false_alarms:
            changes.append(change)
    return sorted(changes, key=lambda change: (-change.net, change.image))
