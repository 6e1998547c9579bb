import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dbnet.datasets.samplers import SampleKey
from dbnet.errors import UserError
from dbnet.registry import DATASETS


@DATASETS.register_module()
class ConcatDataset:
    """Several data sets as one, in the shares that one likes.

    Without `weights`, an epoch has each sample once. With them, an epoch of the same length gives
    each data set its share exactly; over the epochs a data set goes through its samples one whole
    pass after the other, each pass in an order of its own, so that none is seen more often than
    another. Which sample a key stands for depends on the key alone.

    Registered in place of mmengine's class of that name, which cannot pass on the epoch.

    Args:
        datasets: Configs of the data sets.
        weights: Share of each in an epoch, up to a common factor.
    """

    metainfo = dict(dataset_type="TextDetDataset", task_name="textdet")

    def __init__(self, datasets: Sequence[dict], weights: Sequence[float] | None = None) -> None:
        if not datasets:
            raise UserError("ConcatDataset.datasets: is empty, give at least one")
        self.datasets: list[Any] = [DATASETS.build(config) for config in datasets]
        self.lengths = [len(dataset) for dataset in self.datasets]
        self.quotas = self.lengths if weights is None else quotas(weights, self.lengths)
        self.ends = np.cumsum(self.quotas)
        self._orders: dict[int, tuple[tuple[int, int], np.ndarray]] = {}

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, key: int | SampleKey) -> dict:
        """Give the sample of a key, or of an index where all data sets are for tests."""
        position = key.item if isinstance(key, SampleKey) else int(key)
        which = int(np.searchsorted(self.ends, position, side="right"))
        offset = position - int(self.ends[which]) + self.quotas[which]
        if not isinstance(key, SampleKey):
            return self.datasets[which][offset]
        return self.datasets[which][self._key(key, which, offset)]

    def _key(self, key: SampleKey, which: int, offset: int) -> SampleKey:
        """Turn a place in an epoch into the pass and the sample of a data set."""
        seed, length, quota = key.seed + which, self.lengths[which], self.quotas[which]
        if quota == length:
            return SampleKey(seed, key.epoch, offset)
        number, place = divmod(key.epoch * quota + offset, length)
        return SampleKey(seed, number, int(self._order(which, seed, number)[place]))

    def _order(self, which: int, seed: int, number: int) -> np.ndarray:
        """Order of a pass; the last one of each data set is kept."""
        known = self._orders.get(which)
        if known is None or known[0] != (seed, number):
            order = np.random.default_rng([seed, number]).permutation(self.lengths[which])
            self._orders[which] = known = ((seed, number), order)
        return known[1]


def quotas(weights: Sequence[float], lengths: Sequence[int]) -> list[int]:
    """Split as many samples as there are by `weights`; each data set gets at least one.

    Raises:
        UserError: A weight is not positive, or there are more or fewer than data sets.
    """
    if len(weights) != len(lengths):
        raise UserError(
            f"ConcatDataset.weights: there are {len(weights)} for {len(lengths)} data sets"
        )
    if not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise UserError(f"ConcatDataset.weights: must be positive, got {list(weights)}")
    ends = np.round(np.cumsum(weights) / sum(weights) * sum(lengths)).astype(int)
    return [max(int(quota), 1) for quota in np.diff(ends, prepend=0)]
