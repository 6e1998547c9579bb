"""`dbnet test --tta`: the mean map of an image's views."""

import numpy as np
import pytest
import torch
from shapely import Polygon
from shapely.ops import unary_union

from dbnet.config.load import load_config
from dbnet.engine.test_time_augmentation import average_views
from dbnet.evaluation.metrics import PredictionCollector
from tests.bright import BRIGHT
from tests.engine.test_evaluation_loops import make_runner
from tests.scenes import write_config, write_scenes


def ramp(shapes=None):
    """A network whose map rises from left to right, whatever the image."""

    def network(inputs):
        if shapes is not None:
            shapes.append(tuple(inputs.shape[-2:]))
        width = inputs.shape[-1]
        return ((torch.arange(width) + 0.5) / width).expand(len(inputs), *inputs.shape[-2:])

    return network


def test_without_kinds_the_network_stays():
    network = ramp()
    assert average_views(network, ()) is network


def test_a_mirrored_map_is_mirrored_back():
    found = average_views(ramp(), ["flip"])(torch.zeros(2, 3, 32, 64))
    # x / W and 1 - x / W have the mean one half.
    torch.testing.assert_close(found, torch.full((2, 32, 64), 0.5))


def test_scaled_maps_are_brought_back():
    shapes = []
    found = average_views(ramp(shapes), ["scale"])(torch.zeros(1, 3, 128, 160))
    assert shapes == [(128, 160), (96, 128), (160, 192)]  # 120 and 200 are not multiples of 32
    # A ramp stays one when it is resized, but for the pixels at the edge.
    torch.testing.assert_close(found[..., 1:-1], ramp()(torch.zeros(1, 3, 128, 160))[..., 1:-1])


def test_both_are_six_views_and_tiny_images_keep_a_stride():
    shapes = []
    found = average_views(ramp(shapes), ["flip", "scale"])(torch.zeros(1, 3, 32, 32))
    assert len(shapes) == 6 and set(shapes) == {(32, 32)}
    torch.testing.assert_close(found, torch.full((1, 32, 32), 0.5))


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="tta must be of flip, scale, got rotate"):
        average_views(ramp(), ["flip", "rotate"])


def test_in_the_loop(tmp_path):
    """Bright areas are found in every view."""
    root = write_scenes(tmp_path, 2)
    path = write_config(root, "bright_views", epochs=1, extra=BRIGHT)
    areas = []
    for tta in ([], ["flip"], ["flip", "scale"]):
        runner = make_runner(path, tmp_path / "work")
        runner.test_loop.tta = tta
        runner.test_evaluator.metrics.append(collector := PredictionCollector())
        runner.test()
        found = [Polygon(np.reshape(p, (-1, 2))) for i in collector.images for p in i["polygons"]]
        areas.append(unary_union(found).area)
    assert areas[0] > 100
    assert areas[1] == pytest.approx(areas[0], rel=0.02)
    assert areas[2] == pytest.approx(areas[0], rel=0.3) and areas[2] != areas[0]


def test_a_model_of_the_users_own_way_refuses(tmp_path):
    root = write_scenes(tmp_path, 1)
    path = write_config(root, "bright_views", epochs=1, extra=BRIGHT)
    options = {"test_cfg.type": "OverlappedTestLoop", "test_cfg.tta": ["flip"]}
    assert load_config(path, options).test_cfg.tta == ["flip"]
    runner = make_runner(path, tmp_path / "work", model="MirroringDBNet")
    runner._test_loop = dict(type="OverlappedTestLoop", tta=["flip"])
    with pytest.raises(ValueError, match="not for MirroringDBNet"):
        _ = runner.test_loop
