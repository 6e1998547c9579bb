import itertools
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from dbnet.datasets.samplers import SampleKey


class ShardKeySampler(Sampler):
    """Shuffle by epoch within this process's own images, those it keeps on its device.

    Deviation from `EpochKeySampler`, which deals all images again in each epoch: a process always
    sees the same ones, every `world_size`-th. Where they cannot be dealt evenly, the processes with
    one image less see one of theirs twice.

    Args:
        size: Images of all processes.
        rank: Number of this process.
        world_size: Count of all.
        shuffle: Draw a new order for each epoch.
        seed: The same in all processes.
    """

    start = 0

    def __init__(self, size: int, rank: int, world_size: int, shuffle: bool, seed: int) -> None:
        self.shard = range(rank, size, world_size)
        self.length = -(-size // world_size)
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        """Samples of one epoch in this process."""
        return self.length

    def __iter__(self) -> Iterator[SampleKey]:
        items = list(self.shard)
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch, self.rank]).shuffle(items)
        for item in itertools.islice(itertools.cycle(items), self.start, self.length):
            yield SampleKey(self.seed, self.epoch, item)
