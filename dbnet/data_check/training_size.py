"""Measure how many words are large enough to be learnt in samples of a training pipeline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import Compose

from dbnet.data_check.inspection import sort_words
from dbnet.data_check.kinds import Finding
from dbnet.data_check.raw_entries import entry_problem
from dbnet.datasets.transforms.targets import is_too_small
from dbnet.errors import ImageError
from dbnet.remote.paths import join

NUM_SAMPLES = 50
FEW = 0.5  # share of the words below which there is a warning
LARGEST = 1e5  # coordinates beyond are damage, reported as such
TARGETS = "GenerateDBTargets"
# Turns no polygon, and takes time.
LEFT_OUT = (TARGETS, "ColorJitter", "PackTextDetInputs")


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
