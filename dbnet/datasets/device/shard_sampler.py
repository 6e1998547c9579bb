import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from dbnet.datasets.samplers import SampleKey


@dataclass(eq=False)
class ShardKeySampler(Sampler):
    """Shuffle by epoch within this process's own samples, whose images it keeps on its device.

    Deviation from `EpochKeySampler`, which deals all images again in each epoch: a process always
    sees the same ones, see `PlannedDataset`.
    """

    length: int  # samples of an epoch in this process
    rank: int
    shuffle: bool  # draw a new order for each epoch
    seed: int  # the same in all processes
    epoch: int = 0
    start: int = 0

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
