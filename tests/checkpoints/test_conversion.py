"""Weights of other projects: independent forward passes, there and back, wrong files."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops import deform_conv2d

from dbnet.checkpoints.mhliao import from_mhliao, to_mhliao
from dbnet.checkpoints.read import load_weights
from dbnet.config.load import load_config
from dbnet.errors import UserError
from dbnet.registry import MODELS

MHLIAO = "dbnet_r18dcn_fpnc_1200e_icdar2015_mhliao"


def build(name):
    config = load_config(name).model
    backbone = {key: value for key, value in config.backbone.items() if key != "init_cfg"}
    return MODELS.build({**config, "backbone": backbone}).eval()


def randomise(module, seed=0):
    """Give every weight, statistic and offset a random value; a forward pass stays in range."""
    torch.manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) * 0.5 + 0.5)
            if value.ndim > 1:
                fan_in = max(value[0].numel(), 1)
                value.copy_(torch.randn(value.shape) / fan_in**0.5)
            elif name.endswith(("bias", "running_mean")):
                value.copy_(torch.randn(value.shape) * 0.1)


# ---- MhLiao/DB, written anew from its description: names, order of levels, offsets, input


class DeformableBlock(nn.Module):
    """BasicBlock whose second convolution is deformable, with `conv2_offset` beside it."""

    def __init__(self, block):
        super().__init__()
        self.conv1, self.bn1 = block.conv1, block.bn1
        self.conv2 = nn.Conv2d(block.conv2.in_channels, block.conv2.out_channels, 3, bias=False)
        self.conv2_offset = nn.Conv2d(block.conv2.in_channels, 27, 3, padding=1)
        self.bn2, self.downsample = block.bn2, block.downsample

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        offset = self.conv2_offset(out)
        out = deform_conv2d(
            out, offset[:, :18], self.conv2.weight, padding=1, mask=offset[:, 18:].sigmoid()
        )
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(out) + shortcut)


class PaperBackbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels = (64, 64, 128, 256, 512)
        for stage in range(1, 5):
            before, after = channels[stage - 1], channels[stage]
            stride = 1 if stage == 1 else 2
            down = None
            if stage > 1:
                down = nn.Sequential(
                    nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after)
                )
            blocks = [BasicBlock(before, after, stride, down), BasicBlock(after, after)]
            if stage > 1:
                blocks = [DeformableBlock(block) for block in blocks]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, 1000)  # both unused, and in its files
        self.smooth = nn.Conv2d(2048, 256, 1)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        features = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return features


class PaperDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        for level, channels in zip((2, 3, 4, 5), (64, 128, 256, 512)):
            setattr(self, f"in{level}", nn.Conv2d(channels, 256, 1, bias=False))
            smooth = nn.Conv2d(256, 64, 3, padding=1, bias=False)
            factor = 2 ** (level - 2)
            out = smooth if level == 2 else nn.Sequential(smooth, nn.Upsample(scale_factor=factor))
            setattr(self, f"out{level}", out)
        self.binarize, self.thresh = self.branch(), self.branch()

    @staticmethod
    def branch():
        return nn.Sequential(
            nn.Conv2d(256, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 64, 2, 2),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 1, 2, 2),
            nn.Sigmoid(),
        )

    def forward(self, features):
        in2, in3, in4, in5 = (getattr(self, f"in{i + 2}")(f) for i, f in enumerate(features))
        out4 = F.interpolate(in5, scale_factor=2) + in4
        out3 = F.interpolate(out4, scale_factor=2) + in3
        out2 = F.interpolate(out3, scale_factor=2) + in2
        fuse = torch.cat([self.out5(in5), self.out4(out4), self.out3(out3), self.out2(out2)], 1)
        return self.binarize(fuse), self.thresh(fuse)


@pytest.fixture(scope="module")
def paper():
    """Give the network and its state dict with the names of its files."""
    network = nn.ModuleDict(dict(backbone=PaperBackbone(), decoder=PaperDecoder())).eval()
    randomise(network)
    state = {f"model.module.{key}": value for key, value in network.state_dict().items()}
    return network, state


def test_mhliao_maps_are_those_of_an_independent_forward_pass(paper, tmp_path):
    network, state = paper
    torch.save(state, tmp_path / "paper.pth")
    model = build(MHLIAO)
    load_weights(model, str(tmp_path / "paper.pth"))
    image = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)  # BGR
    with torch.no_grad():
        # BGR pixels less the means of R, G, B, over 255.
        means = torch.tensor([122.67891434, 116.66876762, 104.00698793]).view(3, 1, 1)
        features = network["backbone"]((image - means) / 255)
        prob, thresh = network["decoder"](features)
        inputs = model.data_preprocessor(dict(inputs=image))["inputs"]
        maps = model.det_head(model.neck(model.backbone(inputs)))
    assert prob.std() > 0.05 and thresh.std() > 0.05  # no constant would do
    torch.testing.assert_close(maps["prob_map"], prob[:, 0], rtol=0, atol=2e-5)
    torch.testing.assert_close(maps["thresh_map"], thresh[:, 0], rtol=0, atol=2e-5)


def test_mhliao_there_and_back(paper):
    _, state = paper
    kept = {k: v for k, v in state.items() if ".fc." not in k and ".smooth." not in k}
    again = to_mhliao(from_mhliao(state))
    assert set(again) == set(kept)
    assert all(torch.equal(again[key], kept[key]) for key in kept)


@pytest.mark.parametrize("prefix", ["model.module.", "module.model.", "model.", ""])
def test_mhliao_prefixes(paper, prefix):
    _, state = paper
    expected = from_mhliao(state)
    other = {prefix + key.removeprefix("model.module."): v for key, v in state.items()}
    assert from_mhliao(other).keys() == expected.keys()


def test_mhliao_needs_its_config(paper, tmp_path):
    _, state = paper
    torch.save(state, tmp_path / "paper.pth")
    config = load_config(MHLIAO).model
    normal = load_config("dbnet_r18_fpnc_1200e_icdar2015").model.data_preprocessor
    backbone = dict(type="ResNet", depth=18, stage_with_dcn=(False, True, True, True))
    model = MODELS.build({**config, "backbone": backbone, "data_preprocessor": normal})
    with pytest.raises(UserError, match=f"MhLiao/DB's network needs mean .*{MHLIAO}"):
        load_weights(model, str(tmp_path / "paper.pth"))


def test_mhliao_networks_without_counterpart(paper):
    _, state = paper
    asf = {**state, "model.module.decoder.concat_attention.conv.weight": torch.zeros(1)}
    with pytest.raises(UserError, match=r"concat_attention\.conv\.weight .* no counterpart"):
        from_mhliao(asf)
    with pytest.raises(UserError, match=r"neck\.asf\.weight has no counterpart in MhLiao/DB"):
        to_mhliao({"neck.asf.weight": torch.zeros(1)})
