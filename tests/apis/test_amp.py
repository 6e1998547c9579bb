"""`--amp` and `TextDetInferencer(..., amp=True)`: bfloat16 where the processor has it."""

import json
import logging

import numpy as np
import pytest
import torch

import dbnet
from dbnet.apis import torch_network
from dbnet.cli import infer as infer_tool
from dbnet.cli import test as test_tool
from dbnet.models.detectors.dbnet import DBNet
from tests.bright import PATCH_POLYGON, corners, draw_patch, write_bright


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    return write_bright(tmp_path_factory.mktemp("bright"))


@pytest.fixture
def seen(monkeypatch):
    """What the heads see: whether autocast is on, at each call."""
    from tests.bright import BrightHead

    calls = []
    forward = BrightHead.forward
    monkeypatch.setattr(
        BrightHead,
        "forward",
        lambda self, *args, **kwargs: (
            calls.append(torch.is_autocast_enabled("cpu")) or forward(self, *args, **kwargs)
        ),
    )
    return calls


@pytest.mark.parametrize(("native", "expected"), [(True, True), (False, False)])
def test_only_where_the_processor_has_bfloat16(bright, monkeypatch, seen, caplog, native, expected):
    monkeypatch.setattr(torch_network, "has_fast_bfloat16", lambda device: native)
    with caplog.at_level(logging.WARNING, "dbnet"):
        detect = dbnet.TextDetInferencer(*bright, amp=True)
    assert ("the network runs in float32" in caplog.text) is not expected
    [texts] = detect(draw_patch())
    np.testing.assert_allclose(corners(texts["polygons"][0]), corners(PATCH_POLYGON), atol=1)
    for amp in (None, False):
        assert dbnet.TextDetInferencer(*bright, amp=amp)(draw_patch())
    assert seen == [expected, expected, False]


def test_unasked_for_it_is_taken_for_known_networks_on_a_cpu(monkeypatch, caplog):
    monkeypatch.setattr(torch_network, "has_fast_bfloat16", lambda device: True)
    detector, other = DBNet.__new__(DBNet), torch.nn.Identity()
    cpu, cuda = torch.device("cpu"), torch.device("cuda:0")
    decide = torch_network.decide_amp
    assert [decide(None, cpu, detector), decide(None, cpu, other)] == [True, False]
    assert [decide(None, cuda, detector), decide(True, cuda, detector)] == [False, True]
    monkeypatch.setattr(torch_network, "has_fast_bfloat16", lambda device: False)
    assert decide(None, cpu, detector) is False and not caplog.text


def test_the_commands(bright, monkeypatch, seen, tmp_path):
    monkeypatch.setattr(torch_network, "has_fast_bfloat16", lambda device: True)
    monkeypatch.setattr(test_tool, "has_fast_bfloat16", lambda: True)
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), draw_patch())
    entry = dict(img_path="a.png", instances=[])
    (tmp_path / "train.json").write_text(json.dumps(dict(metainfo={}, data_list=[entry])))
    config, checkpoint = bright
    chosen = ["--config", config, "--checkpoint", checkpoint, "--device", "cpu", "--amp"]
    out = ["--out", str(tmp_path / "found")]
    assert infer_tool.main([str(tmp_path / "a.png"), *chosen, *out]) == 0
    where = ["--data-root", str(tmp_path), "--work-dir", str(tmp_path / "work")]
    assert test_tool.main([*bright, *where, "--amp"]) == 0
    assert seen == [True, True]
