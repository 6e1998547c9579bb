"""Adaptive scale fusion of DBNet++. Its numbers against MMOCR's are in test_mmocr_reference.py."""

import math

import pytest
import torch
from torch import nn

from dbnet.models import FPNC, ScaleChannelSpatialAttention

ATTENTION = dict(type="ScaleChannelSpatialAttention")
SIZES = [(25, 33), (13, 17), (7, 9), (4, 5)]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def make_features():
    return [torch.rand(2, c, *size) for c, size in zip((8, 16, 32, 64), SIZES)]


def make_neck(attention=ATTENTION):
    return FPNC((8, 16, 32, 64), lateral_channels=12, out_channels=4, attention=attention)


def set_weights(module, **values):
    """Fill weights by the names of their parts; a 3x3 kernel in its centre alone."""
    for name, parameter in module.named_parameters():
        nn.init.zeros_(parameter)
        centre = parameter.shape[-1] // 2
        parameter.data[..., centre, centre] = values[name.split(".conv")[0].replace(".", "_")]


def test_attention_by_hand():
    """Two channels of 0.5 and 1.5 at the only pixel; every sum is over both."""
    attention = ScaleChannelSpatialAttention(in_channels=4, out_channels=3)
    set_weights(
        attention,
        channel_wise_0=1.0,
        channel_wise_1=-0.5,
        spatial_wise_0=2.0,
        spatial_wise_1=0.25,
        attention_wise=0.1,
    )
    x = torch.tensor([0.5, 1.5, 0.5, 1.5]).view(1, 4, 1, 1)
    gate = sigmoid(-0.5 * 4.0)  # the sum of the channels' means is 4
    mean = 1.0 + gate  # of the channels, each with the gate added
    spatial = sigmoid(0.25 * 2 * mean)
    expected = sigmoid(0.1 * 4 * (mean + spatial))
    found = attention(x).detach()
    assert found.shape == (1, 3, 1, 1)
    assert found.flatten().tolist() == pytest.approx([expected] * 3)


def test_attention_pools_over_the_image_for_channels_and_over_channels_for_pixels():
    attention = ScaleChannelSpatialAttention(in_channels=4, out_channels=1)
    set_weights(
        attention,
        channel_wise_0=1.0,
        channel_wise_1=1.0,
        spatial_wise_0=1.0,
        spatial_wise_1=1.0,
        attention_wise=1.0,
    )
    x = torch.zeros(1, 4, 1, 2)
    x[0, 0, 0, 0] = 8.0  # means over the image: 4, 0, 0, 0
    gate = sigmoid(4.0)
    expected = []
    for pixel_sum in (8.0, 0.0):
        mean = pixel_sum / 4 + gate
        expected.append(sigmoid(4 * (mean + sigmoid(mean))))
    # Differences from 1, which float32 still tells apart for the second pixel.
    assert attention(x).detach().flatten().tolist() == pytest.approx(expected, abs=1e-7)
    assert 1 - expected[1] > 1e-4


def test_every_level_is_weighed_by_its_own_map():
    torch.manual_seed(0)
    fused, plain = make_neck().eval(), make_neck(None).eval()
    plain.load_state_dict(fused.state_dict(), strict=False)
    features = make_features()
    with torch.no_grad():
        expected = plain(features)
        fused.asf_attn.attention_wise.conv.weight.zero_()  # sigmoid(0) = 0.5 for every level
        torch.testing.assert_close(fused(features), 0.5 * expected)
        weights = torch.rand(2, 4, 25, 33)
        fused.asf_attn = nn.Module()
        fused.asf_attn.forward = lambda x: weights
        found = fused(features)
    for level in range(4):  # 4 channels each
        channels = slice(4 * level, 4 * level + 4)
        torch.testing.assert_close(
            found[:, channels], expected[:, channels] * weights[:, level : level + 1]
        )


def test_names_and_shapes_are_mmocrs():
    own = FPNC((256, 512, 1024, 2048), attention=ATTENTION)
    plain = FPNC((256, 512, 1024, 2048))
    shapes = {key: tuple(value.shape) for key, value in own.state_dict().items()}
    assert {key: shape for key, shape in shapes.items() if key not in plain.state_dict()} == {
        "asf_conv.conv.weight": (256, 256, 3, 3),
        "asf_conv.conv.bias": (256,),
        "asf_attn.channel_wise.0.conv.weight": (64, 256, 1, 1),
        "asf_attn.channel_wise.1.conv.weight": (256, 64, 1, 1),
        "asf_attn.spatial_wise.0.conv.weight": (1, 1, 3, 3),
        "asf_attn.spatial_wise.1.conv.weight": (1, 1, 1, 1),
        "asf_attn.attention_wise.conv.weight": (4, 256, 1, 1),
    }
    assert own.out_channels == plain.out_channels == 256
    assert all("asf" not in key for key in plain.state_dict())


def test_gradients_reach_every_parameter():
    torch.manual_seed(1)
    neck = make_neck()
    neck(make_features()).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in neck.parameters())
