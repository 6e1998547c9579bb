import numpy as np
import pytest
import torch

from dbnet.postprocessing import DBPostprocessor
from dbnet.tuning import search
from dbnet.tuning.maps import MapKeeper
from dbnet.tuning.search import Search, count_map, count_maps, make_grid, used_settings

FIXED = dict(max_candidates=3000, min_text_width=5)


def write_map(folder):
    """Two texts of probability .9 and .6, and one of .5 that is none; at twice their size."""
    prob_map = torch.zeros(1, 128, 256)
    for (top, left), value in (((20, 20), 0.9), ((20, 140), 0.6), ((80, 20), 0.5)):
        prob_map[0, top : top + 17, left : left + 65] = value

    # D' = 1.5 * 64 * 16 / 160 = 9.6: grown to 83 x 35 around the same centre.
    def text(x, y):
        return np.float32([[x, y], [x + 83, y], [x + 83, y + 35], [x, y + 35]]) / 2

    texts = [text(20 - 9.6, 20 - 9.6), text(140 - 9.6, 20 - 9.6)]
    keeper = MapKeeper(folder, 10**6)
    keeper(prob_map, [dict(scale_factor=(2, 2), gt_polygons=texts, gt_ignored=[False, False])])
    return keeper.paths


def test_the_grid_begins_with_the_configs_own_and_has_it_once():
    own = used_settings(DBPostprocessor())
    assert own == dict(
        bin_thresh=0.3, grow="unclip", unclip_ratio=1.5, epsilon_ratio=0.01, text_repr_type="quad"
    )
    grid = make_grid(own)
    assert grid[0] == own and grid.count(own) == 1
    # 7 thresholds, 2 shapes, 6 x 2 ways of unclipping and 7 of undoing.
    assert len(grid) == 7 * 2 * (6 * 2 + 7)
    odd = used_settings(DBPostprocessor(grow="inverse", shrink_ratio=0.53))
    assert odd["shrink_ratio"] == 0.53 and "unclip_ratio" not in odd
    assert len(make_grid(odd)) == len(grid) + 1


def test_counts_of_a_map(tmp_path):
    (path,) = write_map(tmp_path)
    grid = [used_settings(DBPostprocessor()), used_settings(DBPostprocessor(bin_thresh=0.55))]
    counts = count_map(path, grid, [0.3, 0.55, 0.7, 0.95], FIXED)
    assert counts.shape == (2, 4, 7)
    # Texts, predictions, hits at IoU .5: the third goes by its score, or is no region at all.
    assert counts[0][:, [0, 1, 3]].tolist() == [[2, 3, 2], [2, 2, 2], [2, 1, 1], [2, 0, 0]]
    assert counts[1][:, [0, 1, 3]].tolist() == [[2, 2, 2], [2, 2, 2], [2, 1, 1], [2, 0, 0]]


@pytest.mark.parametrize("num_processes", [1, 2])
def test_processes_count_alike(tmp_path, num_processes):
    paths = write_map(tmp_path) * 2
    grid = make_grid(used_settings(DBPostprocessor()))[:2]
    one, other = count_maps(paths, grid, [0.3, 0.7], FIXED, num_processes)
    np.testing.assert_array_equal(one, count_map(paths[0], grid, [0.3, 0.7], FIXED))
    np.testing.assert_array_equal(other, one)


def hits(*counts):
    """Rows of images with ten texts and ten predictions each."""
    return [[10, 10, 0, count, count, count, count] for count in counts]


def test_best_gain_and_plateau():
    grid = [dict(bin_thresh=0.3), dict(bin_thresh=0.4), dict(bin_thresh=0.2)]
    # Images x settings x thresholds: hits of three images.
    table = np.array(
        [
            [hits(2, 2, 2), hits(5, 5, 5)],
            [hits(9, 8, 9), hits(8, 9, 8)],
            [hits(1, 1, 1), hits(0, 0, 0)],
        ],
        np.float32,
    ).transpose(2, 0, 1, 3)
    found = Search(grid, [0.5, 0.7], 0.7, {None: table}, "official_hmean")
    assert found.best.settings == dict(bin_thresh=0.4, box_thresh=0.5)
    assert found.best.value == pytest.approx(26 / 30)
    assert found.own.settings == dict(bin_thresh=0.3, box_thresh=0.7)
    gain = found.gain(found.own)
    assert gain.change == pytest.approx(11 / 30) and gain.share == 1
    low, high = found.interval()
    assert 0.8 <= low <= 26 / 30 <= high <= 0.9
    plateau = {
        name: [(c.settings[name], round(c.value * 30)) for c in near]
        for name, near in found.plateau()
    }
    assert plateau == {
        "bin_thresh": [(0.2, 3), (0.3, 6), (0.4, 26)],
        "box_thresh": [(0.5, 26), (0.7, 25)],
    }
    # 25 of 30 cannot be told from 26: in some resamples it is as good.
    near = dict(found.plateau())["box_thresh"][1]
    assert found.gain(near).low <= 0


def test_sizes_are_a_setting_and_the_configs_own_wins_ties():
    grid = [dict(bin_thresh=0.3)]
    own, larger = (np.array([[hits(3)]], np.float32) for _ in range(2))
    found = Search(grid, [0.5], 0.5, {(10, 5): own, (20, 10): larger}, "official_hmean")
    assert found.best is found.own and found.best.size == (10, 5)
    assert [(name, [c.size for c in near]) for name, near in found.plateau()] == [
        ("size", [(10, 5), (20, 10)])
    ]


def test_the_search_needs_no_torch():
    import subprocess
    import sys

    program = f"import sys, {search.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
