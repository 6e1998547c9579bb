import numpy as np
import pytest
import torch

from dbnet.errors import UserError
from dbnet.tuning.maps import MapKeeper, read_map

TEXT = np.float32([[1, 2], [9, 2], [9, 6.5], [1, 6.5]])


def meta(texts, ignored):
    return dict(scale_factor=(2.0, np.float32(1.5)), gt_polygons=texts, gt_ignored=ignored)


def test_maps_come_back_within_half_a_step(tmp_path):
    maps = torch.rand(2, 32, 64, dtype=torch.bfloat16)
    maps[1, 0, 0] = float("nan")
    keeper = MapKeeper(tmp_path, 10**6)
    found = keeper(maps, [meta([TEXT, TEXT[:3]], [False, True]), meta([], [])])
    assert [len(one["scores"]) for one in found] == [0, 0]
    first, second = map(read_map, keeper.paths)
    np.testing.assert_allclose(first.prob_map, maps[0].float(), atol=0.5 / 255 + 1e-7)
    assert first.prob_map.dtype == np.float32
    assert (first.scale_factor, first.ignored) == ((2.0, 1.5), [False, True])
    np.testing.assert_array_equal(first.texts[0], TEXT)
    assert first.texts[1].shape == (3, 2)
    assert second.texts == [] and second.prob_map[0, 0] == 0


def test_more_than_the_budget_is_one_line(tmp_path):
    keeper = MapKeeper(tmp_path, 5000)
    noise = torch.rand(1, 64, 64)  # 4 kB
    keeper(noise, [meta([], [])])
    with pytest.raises(UserError, match="the maps of 2 images take more than"):
        keeper(noise, [meta([], [])])
