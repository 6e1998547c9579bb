"""A training set in which nothing counts, or in which the crop makes most words too small."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from dbnet.datasets.text_det_dataset import TextDetDataset
from dbnet.datasets.transforms.geometric import AffineCropTransform
from dbnet.datasets.transforms.targets import GenerateDBTargets, is_too_small
from dbnet.errors import ImageError, UserError
from dbnet.images import read_shape
from dbnet.registry import HOOKS

NO_TEXT = "loss_prob would stay 0 and loss_db 1"


@HOOKS.register_module()
class NothingToLearnHook(Hook):
    """Stop a run that has nothing to learn, and warn of words that the crop makes too small.

    It stops before the first step if the annotation ignores every word, and after `num_samples`
    training samples without a pixel of text. The warning comes before the first step, once, if
    most words of as many samples fall below the `min_text_size` of `GenerateDBTargets`.

    Args:
        num_samples: Samples that are looked at, per process.
    """

    priority = "VERY_HIGH"  # before `DeviceDataHook` puts something else in the pipeline's place

    def __init__(self, num_samples: int = 100) -> None:
        self.num_samples = num_samples
        self.seen = 0
        self.found = False

    def before_train(self, runner: Runner) -> None:
        """Refuse annotations in which no word counts, and warn of too small ones."""
        loader: Any = runner.train_loop.dataloader
        sets = list(_annotated(loader.dataset))
        if sets and all(each.annotations.ignored.array.all() for each in sets):
            num_words = sum(len(each.annotations.ignored.array) for each in sets)
            raise UserError(
                f"{', '.join(each.ann_file for each in sets)}: nothing to learn, "
                f"{f'all {num_words} words are ignored' if num_words else 'no word is in it'}; "
                f"{NO_TEXT}"
            )
        for each in sets:
            small, total, limit = count_small(each, self.num_samples)
            if small > total / 2:
                runner.logger.warning(
                    f"{each.ann_file}: {small} of {total} words in samples of the training "
                    f"pipeline are below min_text_size={limit:g} pixels and not learnt: the crop "
                    "cuts only where no text is, and shrinks large pages; use RandomScaleCrop"
                )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Stop if no batch had text so far; one on the device is not looked at, nor waited for."""
        if self.found or not data_batch:
            return
        if plans := data_batch.get("plans"):  # of `DeviceDataHook`
            has_text, number = plans.num_learnt > 0, plans.num_samples
        else:
            shrink_map = data_batch.get("targets", {}).get("shrink_map")
            if not isinstance(shrink_map, Tensor) or shrink_map.device.type != "cpu":
                return
            has_text, number = bool(shrink_map.any()), len(shrink_map)
        self.found |= has_text
        self.seen += number
        if not self.found and self.seen >= self.num_samples:
            raise UserError(
                f"nothing to learn: none of the first {self.seen} training samples has a pixel of "
                "text, all words are ignored or below min_text_size of GenerateDBTargets; "
                f"{NO_TEXT}; dbnet browse CONFIG shows the samples"
            )


def _annotated(dataset: Any) -> Iterator[TextDetDataset]:
    """Yield the annotation files' datasets, those of a `ConcatDataset` too."""
    if isinstance(dataset, TextDetDataset):
        yield dataset
    for part in getattr(dataset, "datasets", []):
        yield from _annotated(part)


def count_small(dataset: TextDetDataset, num_samples: int) -> tuple[int, int, float]:
    """Sample crops, without any pixels, and count the words that count in the annotation.

    Returns:
        How many of them are too small in the crops, how many there are, and the least size,
        pixels; zeros if the pipeline has no such crop.
    """
    steps = dataset.pipeline.transforms
    crop = next((step for step in steps if isinstance(step, AffineCropTransform)), None)
    targets = next((step for step in steps if isinstance(step, GenerateDBTargets)), None)
    if crop is None or targets is None:
        return 0, 0, 0.0
    small: list[bool] = []
    # From the whole file, whose first images may be of one kind.
    for item in np.linspace(0, len(dataset) - 1, min(num_samples, len(dataset))).astype(int):
        sample = dataset.get_data_info(int(item))
        try:
            shape = dataset.size_of(int(item)) or read_shape(sample["img_path"])
        except ImageError:  # reported when it is read
            continue
        rng = np.random.default_rng(int(item))
        cut = crop.sample(sample["polygons"], sample["ignored"], shape, rng)
        words = [polygon for polygon, ignore in zip(cut.polygons, cut.ignored) if not ignore]
        small += [is_too_small(word, targets.min_text_size) for word in words]
    return sum(small), len(small), targets.min_text_size
