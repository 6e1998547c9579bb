"""Doubts of a detector whose maps are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dbnet.apis.doubt import Doubt, disagreement, measure_doubt, mirror, order
from dbnet.postprocessing import DBPostprocessor


class Copying:
    """A network whose map is the image's first channel, or a shifted one of the mirrored image."""

    def __init__(self, postprocessor):
        self.postprocessor = postprocessor

    def maps(self, samples):
        return torch.stack([sample["inputs"][0] / 100 for sample in samples])


def inferencer_of(prob_map, postprocessor):
    inputs = torch.from_numpy((np.stack([prob_map] * 3) * 100).astype(np.float32))
    height, width = prob_map.shape
    metas = dict(scale_factor=(1.0, 1.0), img_shape=(height, width))
    prepare = lambda path: dict(inputs=inputs, metas=metas)  # noqa: E731
    return SimpleNamespace(network=Copying(postprocessor), prepare=prepare)


def test_measures_by_hand():
    """100 x 50: 20 x 10 of 0.35, 20 x 10 of 0.6 and 20 x 10 of 0.9."""
    prob_map = np.zeros((50, 100))
    for left, probability in ((5, 0.35), (35, 0.6), (65, 0.9)):
        prob_map[20:30, left : left + 20] = probability
    postprocessor = DBPostprocessor(bin_thresh=0.3, box_thresh=0.55)
    doubt = measure_doubt(inferencer_of(prob_map, postprocessor), "a.png")
    assert doubt == Doubt("a.png", pytest.approx(200 / 5000), 1, pytest.approx(0, abs=1e-6))
    assert postprocessor.box_thresh == 0.55  # as it was


def test_disagreement():
    first, second = np.array([[0.2, 0.8]]), np.array([[0.6, 0.4]])
    assert disagreement(first, second) == pytest.approx(1 - (0.2 + 0.4) / (0.6 + 0.8))
    assert disagreement(np.zeros((2, 2)), np.zeros((2, 2))) == 0


def test_mirror_of_both_kinds_of_samples():
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert mirror(dict(image=picture))["image"][0, 0].tolist() == [9, 10, 11]
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    assert mirror(dict(inputs=tensor))["inputs"][:, 0, 0].tolist() == [9, 10, 11]


def test_order_is_the_mean_place():
    """Places by each measure, ties in the middle: a 1/2 of three is (2 + 1/2) / 3."""
    doubts = [Doubt("a", 0.1, 0, 0.5), Doubt("b", 0.3, 0, 0.1), Doubt("c", 0.2, 5, 0.3)]
    ranked = order(doubts)
    assert [doubt.img_path for _, doubt in ranked] == ["c", "a", "b"]  # of equals the first
    # c: 1.5/3, 2.5/3, 1.5/3; a: 0.5/3, 1/3, 2.5/3; b: 2.5/3, 1/3, 0.5/3.
    assert [place for place, _ in ranked] == pytest.approx([5.5 / 9, 4 / 9, 4 / 9])
    assert order([]) == []
