import itertools
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from dbnet.datasets.samplers import SampleKey


class ShardKeySampler(Sampler):
    """Shuffle by epoch within this process's own samples, whose images it keeps on its device.

    Deviation from `EpochKeySampler`, which deals all images again in each epoch: a process always
    sees the same ones, see `PlannedDataset`.

    Args:
        length: Samples of an epoch in this process.
        rank: Number of this process.
        shuffle: Draw a new order for each epoch.
        seed: The same in all processes.
    """

    start = 0

    def __init__(self, length: int, rank: int, shuffle: bool, seed: int) -> None:
        self.length = length
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[SampleKey]:
        items = list(range(self.length))
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch, self.rank]).shuffle(items)
        for item in itertools.islice(items, self.start, None):
            yield SampleKey(self.seed, self.epoch, item)
