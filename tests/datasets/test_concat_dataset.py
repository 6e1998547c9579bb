"""Several datasets as one."""

import json
from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler

from dbnet.config.find import config_folder
from dbnet.config.load import load_config
from dbnet.datasets import ConcatDataset, EpochKeySampler, EqualShapeBatchSampler, SampleKey
from dbnet.datasets.concat_dataset import quotas
from dbnet.errors import UserError
from dbnet.registry import DATASETS


@DATASETS.register_module()
class KeysDataset:
    """Return the name and the key that it is asked for."""

    def __init__(self, name, length):
        self.name, self.length = name, length

    def __len__(self):
        return self.length

    def __getitem__(self, key):
        return self.name, key


def make(lengths, weights=None):
    configs = [dict(type="KeysDataset", name=i, length=n) for i, n in enumerate(lengths)]
    return ConcatDataset(configs, weights)


def epoch_of(dataset, epoch, seed=0):
    return [dataset[SampleKey(seed, epoch, i)] for i in range(len(dataset))]


def test_without_weights_each_sample_once():
    dataset = make([3, 1, 2])
    assert len(dataset) == 6
    samples = epoch_of(dataset, epoch=4, seed=7)
    assert [(name, key.item) for name, key in samples] == [
        *[(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1)]
    ]
    assert {key.epoch for _, key in samples} == {4}
    # Other random numbers for each dataset, those of a single one for the first.
    assert [key.seed for _, key in samples] == [7, 7, 7, 8, 9, 9]


def test_plain_indices_for_tests():
    dataset = make([3, 2])
    assert [dataset[i] for i in range(5)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_weights_give_exact_shares_and_equal_use():
    # 10 + 2 samples, 1 : 3, so 3 and 9 an epoch. In 10 epochs the first gives 30 of its 10
    # samples, 3 each; the second 90 of its 2, 45 each.
    dataset = make([10, 2], weights=[1, 3])
    seen = Counter()
    drawn = set()
    for epoch in range(10):
        samples = epoch_of(dataset, epoch)
        assert Counter(name for name, _ in samples) == {0: 3, 1: 9}
        seen.update((name, key.item) for name, key in samples)
        drawn.update(samples)
    assert [seen[0, i] for i in range(10)] == [3] * 10
    assert [seen[1, i] for i in range(2)] == [45] * 2
    assert len(drawn) == 120  # no key twice: each time another augmentation


def test_passes_have_orders_of_their_own():
    dataset = make([8, 8], weights=[3, 1])  # 12 and 4
    orders = [[k.item for n, k in epoch_of(dataset, e) if n == 1] for e in range(4)]
    first, second = orders[0] + orders[1], orders[2] + orders[3]
    assert sorted(first) == sorted(second) == list(range(8)) and first != second


def test_a_key_means_the_same_sample_whatever_came_before():
    keys = [SampleKey(3, epoch, item) for epoch in (0, 1, 5) for item in (0, 4, 9)]
    one = make([5, 5], weights=[1, 4])
    forward = [one[key] for key in keys]
    other = make([5, 5], weights=[1, 4])
    assert [other[key] for key in reversed(keys)] == forward[::-1]


def test_each_order_is_drawn_once_in_an_epoch_and_dropped_after_it(monkeypatch):
    """A shuffled epoch that spans two passes of a dataset goes to and fro between them."""
    drawn = []
    default_rng = np.random.default_rng

    def counting(seed):
        drawn.append(tuple(seed))
        return default_rng(seed)

    monkeypatch.setattr(np.random, "default_rng", counting)
    dataset = make([6, 6], weights=[3, 1])  # 9 and 3
    for epoch in range(4):
        for item in (0, 8, 9, 1, 7, 10, 2, 6, 11):  # passes 1.5 to 3, to and fro
            dataset[SampleKey(0, epoch, item)]
    assert len(drawn) == len(set(drawn))
    # Of the last epoch alone: places 27 to 36 are passes 4 and 5; 9 to 12 are pass 1.
    assert [sorted(orders) for orders in dataset._orders] == [[(0, 4), (0, 5)], [(1, 1)]]


@pytest.mark.parametrize(
    ("weights", "lengths", "expected"),
    [
        ([1, 1], [3, 5], [4, 4]),
        ([0.5, 0.25, 0.25], [4, 4, 4], [6, 3, 3]),
        ([1, 1e-9], [5, 5], [10, 1]),  # at least one of each
        ([2], [7], [7]),
    ],
)
def test_quotas(weights, lengths, expected):
    assert quotas(weights, lengths) == expected


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "needs one for each of 2 datasets, got .1."),
        ([1, 0], "must be positive"),
        ([1, -1], "must be positive"),
        ([1, float("nan")], "must be positive"),
        ([1, float("inf")], "must be positive"),
        (["a", 1], "must be positive"),
        (2, "needs one for each of 2 datasets, got 2"),
    ],
)
def test_wrong_weights(weights, message):
    with pytest.raises(UserError, match=f"ConcatDataset.weights: .*{message}"):
        make([3, 2], weights)


def test_batches_of_one_shape_over_several_data_sets(tmp_path):
    configs = []
    for name, sizes in (("a", [(4, 6), (6, 4)]), ("b", [(6, 4), (6, 4)])):
        entries = [dict(img_path="x", instances=[], height=h, width=w) for h, w in sizes]
        (tmp_path / name).write_text(json.dumps(dict(data_list=entries)))
        configs.append(dict(type="TextDetDataset", ann_file=str(tmp_path / name), test_mode=True))
    sampler = DefaultSampler(ConcatDataset(configs), shuffle=False)
    assert list(EqualShapeBatchSampler(sampler, 2)) == [[0], [1, 2], [3]]


def test_no_data_sets():
    with pytest.raises(UserError, match="give at least one"):
        ConcatDataset([])


def test_sampler_takes_it():
    dataset = make([3, 2], weights=[1, 1])
    assert sorted(key.item for key in EpochKeySampler(dataset, seed=0)) == [0, 1, 2, 3, 4]


CONFIG = """
_base_ = ["{base}"]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="ConcatDataset",
        datasets=[
            dict(type="TextDetDataset", data_root="{first}", ann_file="a.json"),
            dict(type="TextDetDataset", data_root="{second}", ann_file="b.json"),
        ],
        weights=[1, 2],
    )
)
"""


def write_config(folder, first, second):
    path = folder / "concat.py"
    base = config_folder() / "textdet" / "dbnet" / "dbnet_r18_fpnc_1200e_icdar2015.py"
    path.write_text(CONFIG.format(base=base, first=first, second=second))
    return str(path)


def test_data_root_of_all_or_an_error(tmp_path):
    config = load_config(write_config(tmp_path, "data/x", "data/x"), data_root="/d")
    assert [d.data_root for d in config.train_dataloader.dataset.datasets] == ["/d", "/d"]
    with pytest.raises(UserError, match="in 2 folders") as caught:
        load_config(write_config(tmp_path, "data/x", "data/y"), data_root="/d")
    assert "train_dataloader.dataset.datasets.0.data_root=DIR" in str(caught.value)
