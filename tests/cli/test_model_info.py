import json

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops import deform_conv2d

from dbnet.cli import model_info

R18 = "dbnet_r18_fpnc_1200e_icdar2015"
R50 = "dbnet_r50dcnv2_fpnc_1200e_icdar2015"


class Head(nn.Conv2d):
    def forward(self, x, mode):
        return super().forward(x).repeat(2 if mode == "loss" else 1, 1, 1, 1)


class Model(nn.Module):
    """3 -> 4 channels at stride 2, 4 -> 5 per pixel, 5 -> 1 of 3x3."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False)
        self.neck = nn.Conv2d(4, 5, 1)
        self.det_head = Head(5, 1, 3, padding=1)
        self.loss_module = nn.Identity()

    def forward(self, x, mode):
        return self.det_head(self.neck(self.backbone(x)), "predict")


def test_parameters_by_hand():
    model = Model()
    # 3 * 4 * 9; 4 * 5 + 5; 5 * 9 + 1. The loss has none.
    expected = dict(backbone=108, neck=25, det_head=46, total=179)
    assert model_info.count_parameters(model) == expected
    model.neck.requires_grad_(False)
    trainable = model_info.count_parameters(model, trainable=True)
    assert trainable == dict(backbone=108, det_head=46, total=154)


def test_flops_by_hand():
    # Outputs of 4 x 8 pixels; 2 per multiply-add, no biases.
    expected = dict(backbone=2 * 32 * 108, neck=2 * 32 * 20, det_head=2 * 32 * 45)
    flops = model_info.count_flops(Model(), torch.zeros(1, 3, 8, 16), "predict")
    assert flops == {**expected, "total": sum(expected.values())}


def test_deformable_convolution_counts_as_the_plain_one():
    inputs, weight = torch.zeros(2, 6, 10, 12), torch.zeros(8, 6, 3, 3)
    counts = []
    for deformable in (False, True):
        own = {torch.ops.torchvision.deform_conv2d: model_info.deform_conv_flops}
        with FlopCounterMode(display=False, custom_mapping=own) as counter:
            if deformable:
                offset, mask = torch.zeros(2, 18, 5, 6), torch.ones(2, 9, 5, 6)
                deform_conv2d(inputs, offset, weight, stride=2, padding=1, mask=mask)
            else:
                nn.functional.conv2d(inputs, weight, stride=2, padding=1)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] == 2 * 2 * 8 * 30 * 6 * 9


def test_flops_of_a_grouped_deformable_convolution():
    shapes = [(1, 6, 4, 4), (8, 3, 3, 3)]  # two groups of 3 channels
    flops = model_info.deform_conv_flops(*shapes, (1, 18, 4, 4), out_shape=(1, 8, 4, 4))
    assert flops == 2 * 8 * 16 * 27


def run(capsys, *arguments):
    assert model_info.main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.fixture
def _no_timing(monkeypatch):
    monkeypatch.setattr(model_info, "measure_speed", lambda *_: dict(float32=dict(ms=8, passes=3)))


@pytest.mark.usefixtures("_no_timing")
def test_known_numbers_of_r18(capsys):
    info = json.loads(run(capsys, R18, "--size", "160,128", "--device", "cpu", "--json"))
    assert info["parameters"]["total"] == pytest.approx(12.341e6, rel=1e-4)  # MMOCR's model zoo
    assert info["trainable"] == info["parameters"]
    assert info["input_size"] == [160, 128]
    # 58.1 GFLOP at 640x640, of which this is 1/20.
    assert info["flops_with_threshold_map"]["total"] * 20 == pytest.approx(58.1e9, rel=1e-3)
    # Both branches of the head are alike.
    assert info["flops_with_threshold_map"]["det_head"] == 2 * info["flops"]["det_head"]
    for key in ("parameters", "flops", "flops_with_threshold_map"):
        *parts, total = info[key].values()
        assert sum(parts) == total


@pytest.mark.usefixtures("_no_timing")
def test_table(capsys):
    # 100 is padded to 128; the backbone's 3x3 convolutions alone have 11.0 of its 11.2 M weights.
    lines = run(capsys, R18, "--size", "64,100", "--device", "cpu").splitlines()
    assert lines[0] == f"{R18}, network input 64x128"
    rows = {line.split()[0]: line.split()[1:] for line in lines[2:7]}
    assert rows["backbone"][:2] == ["11,176,512"] * 2
    assert rows["total"][:2] == ["12,340,930"] * 2
    assert rows["total"][2:] == ["0.99", "1.16"]  # 49.65 and 58.09 / 50
    assert any("2 per multiply-add" in line for line in lines)
    assert lines[-1] == "float32: 8.0 ms (median of 3)"


@pytest.mark.slow
@pytest.mark.usefixtures("_no_timing")
def test_r50_counts_its_deformable_convolutions(capsys):
    arguments = [R50, "--size", "64,64", "--device", "cpu", "--json", "--cfg-options"]
    plain, deformable = (
        json.loads(run(capsys, *arguments, f"model.backbone.stage_with_dcn={dcn}"))["flops"]
        for dcn in ("(False,False,False,False)", "(False,True,True,True)")
    )
    # Offsets and masks: convolutions of 3x3 to 27 channels, 2 per multiply-add. The 4, 6 and 3
    # blocks of the stages have 128, 256 and 512 channels, and 8x8, 4x4 and 2x2 pixels.
    stages = [(4, 128, 64), (6, 256, 16), (3, 512, 4)]
    extra = sum(2 * blocks * 27 * 9 * channels * pixels for blocks, channels, pixels in stages)
    assert deformable["backbone"] - plain["backbone"] == extra


@pytest.mark.parametrize("bfloat16", [False, True])
def test_speed_is_a_median_without_the_first_pass(monkeypatch, bfloat16):
    clock, durations = [0.0], iter([9.0, 1.0, 5.0, 2.0] * 2)  # the first would change the median
    monkeypatch.setattr(model_info, "has_fast_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(model_info, "get_device", lambda: "cpu")
    monkeypatch.setattr(model_info.time, "perf_counter", lambda: clock[0])
    seen = []

    def model(inputs, mode):
        clock[0] += next(durations)
        seen.append((mode, torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled()))

    speed = model_info.measure_speed(model, torch.zeros(1, 3, 8, 8))
    once = dict(ms=2000, passes=3)
    assert speed == (dict(float32=once, bfloat16=once) if bfloat16 else dict(float32=once))
    assert seen == [("tensor", False, True)] * 4 + [("tensor", True, True)] * (4 * bfloat16)


def test_speed_of_a_fast_model_takes_many_passes(monkeypatch):
    monkeypatch.setattr(model_info, "get_device", lambda: "cuda")  # not where the inputs are
    speed = model_info.measure_speed(Model(), torch.zeros(1, 3, 8, 8))
    assert list(speed) == ["float32"]
    assert speed["float32"]["passes"] == model_info.MAX_PASSES
    assert 0 < speed["float32"]["ms"] < 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dbnet_r19"], "no such file, and no config"),
        ([R18, "--device", "foo"], "--device foo: "),
        ([R18, "--device", "cuda:99"], "--device cuda:99: "),
        ([R18, "--cfg-options", "model.backbone.depth=19"], f"config {R18}: "),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, message):
    assert model_info.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
