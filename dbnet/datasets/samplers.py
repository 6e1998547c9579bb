"""Samplers that tell the dataset which epoch a sample is drawn for.

Augmentation is a pure function of (seed, epoch, index). Persistent workers never learn the epoch
by themselves, so the sampler sends it along with the index.

A run that continues from a checkpoint sets `start`: how many samples of this process the next
iteration leaves out, without anything being loaded for them.
"""

import itertools
from collections.abc import Iterator, Sized
from typing import NamedTuple

import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, DefaultSampler, RepeatDataset
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from dbnet.errors import UserError
from dbnet.registry import DATA_SAMPLERS


class SampleKey(NamedTuple):
    """All that a training sample depends on, besides its image and annotation."""

    seed: int
    epoch: int
    item: int  # index into the dataset; a tuple's `index` is a method


def as_sample_key(key: int | SampleKey, test_mode: bool) -> SampleKey:
    """Complete what a sampler sent to a dataset; for training a plain index is refused."""
    if isinstance(key, SampleKey):
        return key
    if not test_mode:
        raise UserError(
            "train_dataloader.sampler: sends no epoch, so that augmentation would be the "
            "same in all; use EpochKeySampler or InfiniteKeySampler"
        )
    return SampleKey(seed=0, epoch=0, item=int(key))


def check_takes_keys(dataset: Sized) -> None:
    """Refuse mmengine's wrappers, which reckon with integer indices."""
    if isinstance(dataset, ConcatDataset | RepeatDataset | ClassBalancedDataset):
        raise UserError(
            f"train_dataloader.dataset: {type(dataset).__name__} cannot pass on the epoch that "
            "augmentation depends on; use ConcatDataset by its name, with weights"
        )


@DATA_SAMPLERS.register_module()
class EpochKeySampler(DefaultSampler):
    """Shuffle by epoch and shard over processes as `DefaultSampler`; yield a `SampleKey` each."""

    start = 0

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        check_takes_keys(dataset)
        super().__init__(dataset, shuffle, seed)

    def __iter__(self) -> Iterator[SampleKey]:
        for index in itertools.islice(super().__iter__(), self.start, None):
            yield SampleKey(self.seed, self.epoch, index)


@DATA_SAMPLERS.register_module()
class InfiniteKeySampler(Sampler):
    """Endless stream of `SampleKey`, one shuffled epoch after the other, sharded over processes.

    Args:
        dataset: The dataset, for its length.
        shuffle: Draw a new order for each epoch.
        seed: The same in all processes; None draws one.
    """

    start = 0

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        check_takes_keys(dataset)
        self.size = len(dataset)
        self.shuffle = shuffle
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()

    def __iter__(self) -> Iterator[SampleKey]:
        current, order = -1, list[int]()
        first = self.start * self.world_size + self.rank
        for position in itertools.count(first, self.world_size):
            epoch, offset = divmod(position, self.size)
            if epoch != current:
                current, order = epoch, self._order(epoch)
            yield SampleKey(self.seed, epoch, order[offset])

    def __len__(self) -> int:
        """Samples of one epoch over all processes."""
        return self.size

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(self.size))
        generator = torch.Generator().manual_seed(self.seed + epoch)
        return torch.randperm(self.size, generator=generator).tolist()


@DATA_SAMPLERS.register_module()
class EqualShapeBatchSampler(Sampler):
    """Batch consecutive images of equal size, so that nothing is padded.

    The order stays, which sharding over processes relies on; `TextDetDataset(sort_by_size=True)`
    makes the rows long.

    Args:
        sampler: Yields the indices of its `dataset`, a `TextDetDataset` or several as one.
        batch_size: Most images of a batch.
        drop_last: Must be False: a test leaves nothing out.
    """

    def __init__(self, sampler: DefaultSampler, batch_size: int, drop_last: bool = False) -> None:
        if drop_last:
            raise UserError("EqualShapeBatchSampler.drop_last: a test leaves nothing out")
        if isinstance(sampler, EpochKeySampler | InfiniteKeySampler):
            raise UserError(
                f"EqualShapeBatchSampler: is for tests, whose sampler is a DefaultSampler, not a "
                f"{type(sampler).__name__}"
            )
        if not hasattr(sampler.dataset, "size_of"):
            raise UserError(
                f"EqualShapeBatchSampler: dataset is a {type(sampler.dataset).__name__}, which "
                "states no sizes; it must be a TextDetDataset"
            )
        self.sampler = sampler
        self.batch_size = batch_size
        self.batches = list(self._cut())  # a test's order stays; loaders ask for the length often

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def _cut(self) -> Iterator[list[int]]:
        batch, shape = list[int](), None
        for index in self.sampler:
            size = self.sampler.dataset.size_of(index)
            # Nothing is known of an image whose annotation states no size.
            if batch and (size is None or size != shape or len(batch) == self.batch_size):
                yield batch
                batch = []
            batch.append(index)
            shape = size
        if batch:
            yield batch

    def __len__(self) -> int:
        """Batches of this process."""
        return len(self.batches)
