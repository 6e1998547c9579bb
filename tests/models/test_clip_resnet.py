"""oCLIP's ResNet-50. Its numbers against MMOCR's are in test_mmocr_reference.py."""

import pytest
import torch
import torchvision
from torch import nn

from dbnet.errors import UserError
from dbnet.models import CLIPResNet
from dbnet.models.backbones.clip_resnet import CLIPBottleneck
from dbnet.models.batch_norm_folding import fold_batch_norms


@pytest.fixture(scope="module")
def trained():
    """A backbone whose entries all differ from those of a new one."""
    backbone = CLIPResNet()
    for value in backbone.state_dict().values():
        value.copy_(torch.rand(value.shape) + 0.5)
    return backbone.state_dict()


def number_without_relus(key):
    """Number the stem as bytedance/oclip's converter does: 0, 1 and then 2, 3 for MMOCR's 3, 4."""
    for mmocr, oclip in (("3", "2"), ("4", "3"), ("6", "4"), ("7", "5")):
        if key.startswith(f"stem.{mmocr}."):
            return key.replace(f"stem.{mmocr}.", f"stem.{oclip}.")
    return key


def test_features_have_strides_4_to_32():
    features = CLIPResNet().eval()(torch.rand(2, 3, 64, 96))
    assert CLIPResNet().out_channels == (256, 512, 1024, 2048)
    assert [tuple(f.shape) for f in features] == [
        (2, 256, 16, 24),
        (2, 512, 8, 12),
        (2, 1024, 4, 6),
        (2, 2048, 2, 3),
    ]


def test_parameters_are_those_of_resnet_50_with_another_stem():
    resnet = torchvision.models.resnet50(weights=None)
    plain_stem = 64 * 3 * 49 + 2 * 64
    deep_stem = 32 * 3 * 9 + 32 * 32 * 9 + 64 * 32 * 9 + 2 * (32 + 32 + 64)
    trunk = sum(p.numel() for p in resnet.parameters()) - (2048 * 1000 + 1000)
    found = sum(p.numel() for p in CLIPResNet().parameters())
    assert found == trunk - plain_stem + deep_stem


def test_names_are_mmocrs():
    keys = {key for key in CLIPResNet().state_dict() if key.endswith("weight")}
    assert {key for key in keys if key.startswith("stem")} == {
        f"stem.{index}.weight" for index in (0, 1, 3, 4, 6, 7)
    }
    assert {key for key in keys if "downsample" in key} == {
        f"layer{stage}.0.downsample.{index}.weight" for stage in (1, 2, 3, 4) for index in (1, 2)
    }


def test_bottleneck_averages_after_the_second_convolution_and_in_the_shortcut():
    block = CLIPBottleneck(4, 1, stride=2).eval()
    for conv in (block.conv1, block.conv2, block.conv3, block.downsample[1]):
        nn.init.zeros_(conv.weight)
    block.conv1.weight.data[0, 0] = 1  # the first channel,
    block.conv2.weight.data[0, 0, 1, 1] = 1  # as it is,
    block.conv3.weight.data[:, 0] = 10  # times 10 in every channel
    block.downsample[1].weight.data[2, 1] = 1  # and the second channel added to the third
    for norm in (block.bn1, block.bn2, block.bn3, block.downsample[2]):
        norm.eps = 1e-12  # PyTorch 2.11 refuses 0
    block.bn2.bias.data.fill_(-1)
    x = torch.zeros(1, 4, 2, 2)
    x[0, 0] = torch.tensor([[4.0, -8.0], [0.0, 0.0]])  # ReLU, less 1, ReLU, the mean: 3 / 4
    x[0, 1] = torch.tensor([[4.0, -8.0], [0.0, 0.0]])  # the mean: -1
    assert block(x).detach().flatten().tolist() == pytest.approx([7.5, 7.5, 6.5, 7.5])


def test_gradients_reach_every_parameter():
    backbone = CLIPResNet()
    sum(feature.square().mean() for feature in backbone(torch.rand(2, 3, 64, 64))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.parameters())


@pytest.mark.parametrize(
    ("rename", "wrapped"), [(str, True), (number_without_relus, False)], ids=["mmocr", "oclip"]
)
def test_weights_load_one_to_one(tmp_path, trained, rename, wrapped):
    state = {rename(key): value for key, value in trained.items()}
    assert len(state) == len(trained)
    torch.save(dict(state_dict=state) if wrapped else state, tmp_path / "oclip.pth")
    checkpoint = str(tmp_path / "oclip.pth")
    backbone = CLIPResNet(init_cfg=dict(type="Pretrained", checkpoint=checkpoint))
    backbone.init_weights()
    for key, value in backbone.state_dict().items():
        torch.testing.assert_close(value, trained[key], msg=key)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (torchvision.models.resnet50(weights=None).state_dict(), "keys missing|not of this"),
        ({"stem.2.weight": torch.zeros(1)}, "not of this backbone"),
        (None, "no such file"),
    ],
)
def test_other_weights_are_refused_in_one_line(tmp_path, state, message):
    path = tmp_path / "other.pth"
    if state is not None:
        torch.save(state, path)
    backbone = CLIPResNet(init_cfg=dict(type="Pretrained", checkpoint=str(path)))
    with pytest.raises(UserError, match=f"oCLIP weights.*({message})") as caught:
        backbone.init_weights()
    assert "\n" not in str(caught.value) and "init_cfg=None" in str(caught.value)


def test_frozen_stages_and_fixed_statistics():
    backbone = CLIPResNet(frozen_stages=1, norm_eval=True).train()
    frozen = {name.split(".")[0] for name, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"stem", "layer1"}
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 3 + 16 * 3 + 4 and not any(norm.training for norm in norms)
    assert backbone.layer2.training
    assert not any(m.training for m in CLIPResNet(frozen_stages=0).train().stem)
    free = CLIPResNet().train()
    assert all(p.requires_grad for p in free.parameters())
    assert all(m.training for m in free.modules())


@pytest.mark.parametrize("arguments", [dict(frozen_stages=5), dict(init_cfg=dict(type="Kaiming"))])
def test_refuses(arguments):
    with pytest.raises(ValueError, match="must"):
        CLIPResNet(**arguments)


def test_batch_norms_fold_into_every_convolution():
    backbone = CLIPResNet()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = backbone.eval()(x)
        folded = fold_batch_norms(backbone)
        assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
        for one, other in zip(folded(x), expected):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
