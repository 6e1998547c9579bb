from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from logging import Logger
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch.utils.data import Dataset

from dbnet.datasets.annotations import Annotations
from dbnet.datasets.concat_dataset import ConcatDataset
from dbnet.datasets.device.batch_maker import DeviceBatchMaker
from dbnet.datasets.device.plans import Planner, SamplePlan, pipeline_parts
from dbnet.datasets.device.shares import KINDS, Share
from dbnet.datasets.device.store import check_budget, fill_store, lay_out
from dbnet.datasets.samplers import SampleKey
from dbnet.errors import UserError

WHERE = "default_hooks.device_data: train_dataloader"


@dataclass(eq=False)
class PlannedDataset(Dataset):
    """Plans in place of the samples of a dataset, of this process's share of its images.

    All processes have equally many; where the images cannot be dealt evenly, those with one less
    see another one of theirs twice in each epoch.
    """

    annotations: Annotations
    rows: range  # where in them those of `items` are
    items: range  # indices in the dataset, every `world_size`-th
    replaced: Mapping[int, int]  # for each unreadable image another one
    planner: Planner

    def __len__(self) -> int:
        return -(-self.items.stop // self.items.step)

    def __getitem__(self, key: SampleKey) -> SamplePlan:
        """Plan with the random numbers of the dataset's own sample of this seed and epoch."""
        place = key.item if key.item < len(self.items) else key.epoch % len(self.items)
        item = self.replaced.get(self.items[place], self.items[place])
        sample = self.annotations[self.rows[self.items.index(item)]]
        rng = np.random.default_rng([key.seed, key.epoch, item])
        return self.planner(dict(sample, sample_idx=item, rng=rng))


def leaves_of(dataset: Any, path: str = "dataset") -> Iterator[tuple[str, Any]]:
    """Yield the datasets that a `ConcatDataset` joins, or the one, each with its path."""
    if not isinstance(dataset, ConcatDataset):
        yield path, dataset
        return
    for number, part in enumerate(dataset.datasets):
        yield from leaves_of(part, f"{path}.datasets.{number}")


def with_leaves(dataset: Any, leaves: Iterator[Any]) -> Any:
    """Join the next of some datasets as `dataset` joins its own."""
    if not isinstance(dataset, ConcatDataset):
        return next(leaves)
    return dataset.with_datasets([with_leaves(part, leaves) for part in dataset.datasets])


def make_shares(dataset: Any) -> dict[str, Share]:
    """Divide the images of every dataset over the processes; return this one's, by path."""
    rank, world_size = get_dist_info()
    shares = {}
    for path, leaf in leaves_of(dataset):
        kind = next((KINDS[known] for known in KINDS if isinstance(leaf, known)), None)
        if kind is None:
            names = " or ".join(known.__name__ for known in KINDS)
            raise UserError(f"{WHERE}.{path} is a {type(leaf).__name__}, not a {names}")
        if len(leaf) < world_size:
            raise UserError(
                f"{WHERE}.{path} has fewer images than there are processes, {world_size}"
            )
        shares[path] = kind(leaf, range(rank, len(leaf), world_size))
    return shares


def check_agreement(parts: Mapping[str, tuple]) -> None:
    """Refuse datasets whose samples cannot be of one batch."""
    (first, (crop, _, targets)), *others = parts.items()
    for path, (other_crop, _, other_targets) in others:
        if tuple(other_crop.size) != tuple(crop.size):
            raise UserError(
                f"{WHERE}: {first} has crops of {crop.size}, {path} of {other_crop.size}"
            )
        if vars(other_targets) != vars(targets):
            raise UserError(f"{WHERE}: {first} and {path} have different GenerateDBTargets")


def plan_dataset(
    dataset: Any, device: torch.device, max_gb: float | None, logger: Logger
) -> tuple[Any, DeviceBatchMaker]:
    """Put the images of a training dataset on a device, this process's share of them.

    Returns:
        The dataset of plans, `PlannedDataset` or several of them in a `ConcatDataset`, and what
        makes batches of them.
    """
    shares = make_shares(dataset)
    parts = {
        path: pipeline_parts(share.dataset.pipeline.transforms, f"train_dataloader.{path}")
        for path, share in shares.items()
    }
    check_agreement(parts)
    crop, _, targets = next(iter(parts.values()))
    shapes = {path: share.shapes() for path, share in shares.items()}
    keyed = {(path, item): shape for path in shapes for item, shape in shapes[path].items()}
    layout = lay_out(keyed, crop.size)
    memory = check_budget(layout.num_pixels * 3, device, max_gb)
    logger.info(f"device data: {len(keyed)} images take {memory} on {device}")

    versions = {path: {i: layout.versions[path, i] for i in shapes[path]} for path in shares}
    pictures = (
        ((path, item), images)
        for path, share in shares.items()
        for item, images in share.pictures(versions[path])
    )
    store, failed = fill_store(layout, pictures, device, logger)
    for (path, item), error in failed.items():
        shares[path].failed[item] = error
    leaves = (
        PlannedDataset(
            *share.annotations(),
            share.items,
            share.replaced(),
            Planner(*parts[path], versions[path]),
        )
        for path, share in shares.items()
    )
    maker = DeviceBatchMaker(store, crop.size, (targets.thresh_min, targets.thresh_max))
    return with_leaves(dataset, leaves), maker
