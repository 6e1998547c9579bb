"""The one cause of each miss and each false alarm of an image, by rules on areas alone."""

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np

from dbnet.evaluation.matching import MIN_IOU
from dbnet.evaluation.protocols.scene import Scene
from dbnet.geometry import short_side
from dbnet.visualization.detections import Verdict, verdict_of

Array = np.ndarray

MOSTLY = 0.5  # a share above it is "most of"
TOUCHED = 0.1  # share of a text above which a prediction touches it
SMALL = 8.0  # pixels; the short side of a text below which it is too small

# In the order in which they are tried: the first that holds is the cause.
MISSES = {
    "too small": f"the short side of the text is below {SMALL:g} pixels",
    "low score": "a prediction below the threshold has an IoU above 1/2 with it, or touches it "
    "where none above the threshold does",
    "merged": "a prediction covers most of it and most of another text that counts",
    "split": "two or more predictions lie mostly in it and together cover most of it",
    "beside an ignored text": "a prediction covers most of it, and covers most of an ignored text "
    "or lies mostly in one",
    "too long": "a prediction covers most of it, and too much beside it",
    "cut short": "a prediction touches it, but covers half of it at most",
    "no region": "no prediction touches it",
}
FALSE_ALARMS = {
    "duplicate": "its IoU with a text that another prediction took is above 1/2, or it lies mostly "
    "in such a text",
    "merged": "it covers most of two or more texts that count",
    "split part": "it is one of the predictions that split a text",
    "beside an ignored text": "it covers most of an ignored text, or touches one and no text that "
    "counts",
    "too long": "it covers most of a text, and too much beside it",
    "cut short": "it touches a text that counts, but covers half of it at most",
    "background": "it touches no text",
}


class Judgement(NamedTuple):
    """What became of an image's texts and predictions at a threshold of the score."""

    verdict: Verdict  # matches, misses and false alarms; indices of all texts and predictions
    misses: Mapping[int, str]  # cause of each missed text
    false_alarms: Mapping[int, str]  # cause of each false alarm


def judge_scene(scene: Scene, scores: Array | None, threshold: float | None) -> Judgement:
    """Match an image as `icdar/hmean` does at a threshold, and find the causes of its errors.

    Predictions of a lower score, (M,) float32, are left out; with None all stay.
    """
    kept = np.ones(len(scene.predictions), dtype=bool)
    if scores is not None and threshold is not None:
        kept = scores >= np.float32(threshold)
    verdict = verdict_of(scene.ignored, *scene.icdar2015, kept)
    relations = Relations(scene, kept, [text for text, _ in verdict.pairs])
    misses, false_alarms = relations.misses(), relations.false_alarms()
    return Judgement(
        verdict,
        _first_that_holds(misses, MISSES, verdict.missed),
        _first_that_holds(false_alarms, FALSE_ALARMS, verdict.false_alarms),
    )


def _first_that_holds(rules: list[Array], causes: Mapping[str, str], of: list[int]) -> dict:
    """Name the cause `of` each error, the last one if no rule, (G,) or (M,) bool, explains it."""
    names = list(causes)
    holds = np.stack([*rules, np.ones_like(rules[0])])
    return {index: names[int(holds[:, index].argmax())] for index in of}


class Relations:
    """How the texts (G,) and predictions (M,) of an image lie to each other, as the rules ask.

    The score of the predictions `kept`, (M,) bool, is high enough; `found` are the texts that one
    took.
    """

    def __init__(self, scene: Scene, kept: Array, found: list[int]) -> None:
        self.scene, self.kept = scene, kept
        self.counts = ~scene.ignored[:, None]
        self.found = np.isin(np.arange(len(scene.texts)), found)
        texts, (iou, counted) = np.flatnonzero(~scene.ignored), scene.icdar2015
        self.hits = np.zeros((len(scene.texts), len(kept)), dtype=bool)
        self.hits[np.ix_(texts, np.flatnonzero(counted))] = iou > MIN_IOU
        self.covers = (scene.recall > MOSTLY) | self.hits  # a prediction covers most of a text
        self.within = (scene.precision > MOSTLY) | self.hits  # it lies mostly in it
        self.touches = (scene.recall > TOUCHED) | self.within

    @cached_property
    def merging(self) -> Array:
        """(M,) bool, predictions that cover most of two texts that count."""
        return self.kept & ((self.covers & self.counts).sum(axis=0) > 1)

    @cached_property
    def split(self) -> Array:
        """(G,) bool, texts in pieces that together cover most of them."""
        pieces = self.within & self.kept
        covered = (self.scene.recall * pieces).sum(axis=1)
        return (pieces.sum(axis=1) > 1) & (covered > MOSTLY)

    def misses(self) -> list[Array]:
        """Where each cause but the last of `MISSES` holds, (G,) each."""
        covers, touched = self.covers & self.kept, (self.touches & self.kept).any(axis=1)
        hit_below = (self.hits & ~self.kept).any(axis=1)
        touched_below = (self.touches & ~self.kept).any(axis=1)
        in_ignored = ((self.covers | self.within) & ~self.counts).any(axis=0)
        return [
            np.array([short_side(text) < SMALL for text in self.scene.texts], dtype=bool),
            hit_below | (touched_below & ~touched),
            (covers & self.merging).any(axis=1),
            self.split,
            (covers & in_ignored).any(axis=1),
            covers.any(axis=1),
            touched,
        ]

    def false_alarms(self) -> list[Array]:
        """Where each cause but the last of `FALSE_ALARMS` holds, (M,) each."""
        covers, touches = self.covers & self.counts, (self.touches & self.counts).any(axis=0)
        beside = (self.covers & ~self.counts).any(axis=0)
        beside |= (self.touches & ~self.counts).any(axis=0) & ~touches
        return [
            ((self.hits | self.within) & self.found[:, None]).any(axis=0),
            self.merging,
            (self.within & self.split[:, None]).any(axis=0),
            beside,
            covers.any(axis=0),
            touches,
        ]
