import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dbnet.datasets.samplers import SampleKey
from dbnet.errors import UserError
from dbnet.registry import DATASETS


@DATASETS.register_module()
class ConcatDataset:
    """Concatenate datasets; `weights` fixes the share of each per epoch.

    Without `weights`, an epoch has each sample once. With them, an epoch of the same length gives
    each dataset its share exactly; over the epochs a dataset goes through its samples one whole
    pass after the other, each pass in an order of its own, so that none is seen more often than
    another. Which sample a key stands for depends on the key alone.

    Registered in place of mmengine's class of that name, which cannot pass on the epoch.

    Args:
        datasets: Configs of the datasets.
        weights: Share of each in an epoch, up to a common factor.
    """

    metainfo = dict(dataset_type="TextDetDataset", task_name="textdet")

    def __init__(self, datasets: Sequence[dict], weights: Sequence[float] | None = None) -> None:
        if not datasets:
            raise UserError("ConcatDataset.datasets: is empty, give at least one")
        self.weights = weights
        self._set([DATASETS.build(config) for config in datasets])

    def _set(self, datasets: list[Any]) -> None:
        self.datasets = datasets
        self.lengths = [len(dataset) for dataset in datasets]
        self.quotas = self.lengths if self.weights is None else quotas(self.weights, self.lengths)
        self.ends = np.cumsum(self.quotas)
        self._orders: list[dict[tuple[int, int], np.ndarray]] = [{} for _ in datasets]

    def with_datasets(self, datasets: Sequence[Any]) -> "ConcatDataset":
        """Return a copy that has other datasets, with the same weights."""
        other = copy.copy(self)
        other._set(list(datasets))
        return other

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, key: int | SampleKey) -> dict:
        """Return the sample of a key, or of an index where all datasets are for tests."""
        which, offset = self._locate(key.item if isinstance(key, SampleKey) else int(key))
        if not isinstance(key, SampleKey):
            return self.datasets[which][offset]
        return self.datasets[which][self._key(key, which, offset)]

    def size_of(self, idx: int) -> tuple[int, int] | None:
        """Return (H, W) of an image as its annotation states it, if it does."""
        which, offset = self._locate(idx)
        return self.datasets[which].size_of(offset)

    def _locate(self, position: int) -> tuple[int, int]:
        """Return the dataset of a place in an epoch, and the place in its part."""
        which = int(np.searchsorted(self.ends, position, side="right"))
        return which, position - int(self.ends[which]) + self.quotas[which]

    def _key(self, key: SampleKey, which: int, offset: int) -> SampleKey:
        """Turn a place in an epoch into the pass and the sample of a dataset."""
        seed, length, quota = key.seed + which, self.lengths[which], self.quotas[which]
        if quota == length:
            return SampleKey(seed, key.epoch, offset)
        number, place = divmod(key.epoch * quota + offset, length)
        first = key.epoch * quota // length
        return SampleKey(seed, number, int(self._order(which, seed, number, first)[place]))

    def _order(self, which: int, seed: int, number: int, first: int) -> np.ndarray:
        """Order of a pass; those of an epoch, whose passes begin with `first`, are kept."""
        orders = self._orders[which]
        if (seed, number) not in orders:
            for old in [known for known in orders if known[0] != seed or known[1] < first]:
                del orders[old]
            rng = np.random.default_rng([seed, number])
            orders[seed, number] = rng.permutation(self.lengths[which])
        return orders[seed, number]


def quotas(weights: Sequence[float], lengths: Sequence[int]) -> list[int]:
    """Split as many samples as there are by `weights`; each dataset gets at least one."""
    if not isinstance(weights, Sequence) or len(weights) != len(lengths):
        raise UserError(
            f"ConcatDataset.weights: needs one for each of {len(lengths)} datasets, got {weights}"
        )
    if not all(isinstance(weight, int | float) and 0 < weight < math.inf for weight in weights):
        raise UserError(f"ConcatDataset.weights: must be positive, got {list(weights)}")
    ends = np.round(np.cumsum(weights) / sum(weights) * sum(lengths)).astype(int)
    return [max(int(quota), 1) for quota in np.diff(ends, prepend=0)]
