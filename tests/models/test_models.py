import copy
import math

import pytest
import torch
import torchvision
from torch import nn

from dbnet.errors import UserError
from dbnet.models import (
    FPNC,
    DBHead,
    ResNet,
    TextDetDataPreprocessor,
)
from dbnet.models.backbones.resnet import ModulatedDeformConv2d
from dbnet.registry import MODELS

ALL_DCN = (False, True, True, True)


def no_grad_eval(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)


# ---- head


def test_head_without_norms():
    head = DBHead(96, norm=False)
    maps = head(torch.rand(2, 96, 8, 8))
    assert set(maps) == {"prob_logits", "prob_map", "thresh_map", "binary_map"}
    assert head.binarize[0].bias is not None and not any(
        isinstance(module, nn.BatchNorm2d) for module in head.modules()
    )


# ---- backbone


@pytest.mark.parametrize(
    ("depth", "channels"), [(18, (64, 128, 256, 512)), (50, (256, 512, 1024, 2048))]
)
def test_resnet_shapes_at_strides_4_to_32(depth, channels):
    backbone = no_grad_eval(ResNet(depth))
    features = backbone(torch.rand(2, 3, 64, 96))
    assert backbone.out_channels == channels
    assert [tuple(f.shape) for f in features] == [
        (2, channel, 64 // stride, 96 // stride)
        for channel, stride in zip(channels, (4, 8, 16, 32))
    ]


@pytest.mark.parametrize(("depth", "name"), [(18, "resnet18"), (50, "resnet50")])
def test_resnet_is_torchvisions(depth, name):
    reference = no_grad_eval(torchvision.models.get_model(name, weights=None))
    backbone = no_grad_eval(ResNet(depth))
    state = {k: v for k, v in reference.state_dict().items() if not k.startswith("fc.")}
    backbone.load_state_dict(state)
    image = torch.rand(1, 3, 64, 64)
    x = reference.maxpool(reference.relu(reference.bn1(reference.conv1(image))))
    expected = reference.layer4(reference.layer3(reference.layer2(reference.layer1(x))))
    torch.testing.assert_close(backbone(image)[-1], expected)


def test_caffe_style_strides_in_the_first_convolution():
    pytorch, caffe = no_grad_eval(ResNet(50)), no_grad_eval(ResNet(50, style="caffe"))
    caffe.load_state_dict(pytorch.state_dict())  # the same keys and shapes
    assert pytorch.layer2[0].conv1.stride == (1, 1) and pytorch.layer2[0].conv2.stride == (2, 2)
    assert caffe.layer2[0].conv1.stride == (2, 2) and caffe.layer2[0].conv2.stride == (1, 1)
    image = torch.rand(1, 3, 64, 64)
    c2, c3, *_ = zip(pytorch(image), caffe(image))
    torch.testing.assert_close(*c2)  # stage 1 has stride 1
    assert c3[0].shape == c3[1].shape and not torch.allclose(*c3, atol=1e-3)


def test_caffe_style_is_no_different_for_resnet18():
    pytorch, caffe = no_grad_eval(ResNet(18)), no_grad_eval(ResNet(18, style="caffe"))
    caffe.load_state_dict(pytorch.state_dict())
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(pytorch(image)[-1], caffe(image)[-1])


@pytest.mark.parametrize("depth", [18, 50])
def test_dcn_per_stage(depth):
    backbone = ResNet(depth, stage_with_dcn=(False, True, False, True))
    deformable = [
        {type(block.conv2) is ModulatedDeformConv2d for block in stage} for stage in backbone.stages
    ]
    assert deformable == [{False}, {True}, {False}, {True}]
    assert backbone.layer2[0].conv2.conv_offset.weight.shape[0] == 27


def test_deformable_convolution_starts_as_half_the_plain_one():
    layer = no_grad_eval(ModulatedDeformConv2d(4, 6, stride=2))
    x = torch.rand(2, 4, 9, 11)
    expected = 0.5 * nn.functional.conv2d(x, layer.weight, stride=2, padding=1)
    torch.testing.assert_close(layer(x), expected)


def test_deformable_convolution_layout_of_offsets_and_mask():
    # An offset of (y, x) = (0, 1) at every kernel point reads the image moved by one column.
    layer = no_grad_eval(ModulatedDeformConv2d(2, 3))
    bias = torch.zeros(27)
    bias[1:18:2] = 1.0  # x offsets, interleaved with y
    bias[18:] = 100.0  # sigmoid = 1
    layer.conv_offset.bias.copy_(bias)
    x = torch.rand(1, 2, 8, 8)
    moved = torch.zeros_like(x)
    moved[..., :-1] = x[..., 1:]
    expected = nn.functional.conv2d(moved, layer.weight, padding=1)
    torch.testing.assert_close(layer(x)[..., 1:], expected[..., 1:])


def test_deformable_convolution_under_autocast_computes_in_float32():
    layer = no_grad_eval(ModulatedDeformConv2d(4, 4))
    nn.init.normal_(layer.conv_offset.weight, std=0.1)
    x = torch.rand(1, 4, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(x)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, layer(x), atol=0.02, rtol=0.02)


def test_deformable_convolution_in_float64():
    layer = no_grad_eval(ModulatedDeformConv2d(4, 4))
    nn.init.normal_(layer.conv_offset.weight, std=0.1)
    x = torch.rand(1, 4, 8, 8)
    output = layer(x)
    exact = layer.double()(x.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(output.double(), exact, atol=1e-5, rtol=1e-5)


def test_frozen_stages_get_no_gradient_and_keep_statistics():
    backbone = ResNet(18, frozen_stages=1).train()
    before = backbone.bn1.running_mean.clone(), backbone.layer2[0].bn1.running_mean.clone()
    sum(f.sum() for f in backbone(torch.rand(2, 3, 32, 32))).backward()
    frozen = {n for n, p in backbone.named_parameters() if p.grad is None}
    assert {n.split(".")[0] for n in frozen} == {"conv1", "bn1", "layer1"}
    torch.testing.assert_close(backbone.bn1.running_mean, before[0])
    assert not torch.equal(backbone.layer2[0].bn1.running_mean, before[1])


def test_norm_eval_keeps_all_statistics():
    backbone = ResNet(18, norm_eval=True).train()
    before = copy.deepcopy(dict(backbone.named_buffers()))
    backbone(torch.rand(2, 3, 32, 32))
    for name, buffer in backbone.named_buffers():
        torch.testing.assert_close(buffer, before[name])


@pytest.mark.parametrize(
    "arguments",
    [
        dict(depth=34),
        dict(depth=18, style="tensorflow"),
        dict(depth=18, frozen_stages=5),
        dict(depth=18, stage_with_dcn=(True,)),
        dict(depth=18, init_cfg=dict(type="Kaiming")),
    ],
)
def test_resnet_refuses(arguments):
    with pytest.raises(ValueError, match="must"):
        ResNet(**arguments)


# ---- ImageNet weights


def test_imagenet_weights_from_a_file(tmp_path):
    reference = torchvision.models.resnet18(weights=None)
    torch.save(reference.state_dict(), tmp_path / "resnet18.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "resnet18.pth"))
    backbone = ResNet(18, stage_with_dcn=ALL_DCN, init_cfg=init_cfg)
    backbone.init_weights()
    torch.testing.assert_close(backbone.layer4[1].conv2.weight, reference.layer4[1].conv2.weight)
    torch.testing.assert_close(backbone.bn1.running_var, reference.bn1.running_var)
    assert (backbone.layer4[1].conv2.conv_offset.weight == 0).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (torchvision.models.resnet50(weights=None).state_dict(), "not of this backbone"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "keys missing"),
        (b"no checkpoint", "ImageNet weights"),
    ],
)
def test_imagenet_weights_that_do_not_fit_are_one_line_with_the_way_out(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    backbone = ResNet(18, init_cfg=dict(type="Pretrained", checkpoint=str(path)))
    with pytest.raises(UserError, match=message) as caught:
        backbone.init_weights()
    assert "model.backbone.init_cfg=None" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_imagenet_weights_without_network_never_go_on_silently(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise OSError("<urlopen error [Errno -2] Name or service not known>")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    backbone = ResNet(18, init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet18"))
    with pytest.raises(UserError, match=r"torchvision://resnet18: .*init_cfg\.checkpoint=FILE"):
        backbone.init_weights()


# ---- neck


def test_fpnc_shapes_follow_odd_feature_sizes():
    neck = no_grad_eval(FPNC((8, 16, 32, 64), lateral_channels=12, out_channels=5))
    sizes = [(25, 33), (13, 17), (7, 9), (4, 5)]
    features = [torch.rand(2, c, *size) for c, size in zip((8, 16, 32, 64), sizes)]
    assert neck.out_channels == 20
    assert neck(features).shape == (2, 20, 25, 33)


def test_fpnc_adds_top_down_and_concatenates_p2_first():
    # Lateral convolutions that copy, smooth ones that copy: p5 = c5, p4 = c4 + p5, ... by hand.
    neck = no_grad_eval(FPNC((1, 1, 1, 1), lateral_channels=1, out_channels=1))
    for lateral, smooth in zip(neck.lateral_convs, neck.smooth_convs):
        lateral.conv.weight.fill_(1)
        smooth.conv.weight.zero_()
        smooth.conv.weight[0, 0, 1, 1] = 1
    values = (1.0, 10.0, 100.0, 1000.0)
    features = [torch.full((1, 1, s, s), v) for s, v in zip((8, 4, 2, 1), values)]
    output = neck(features)
    assert output[0, :, 3, 3].tolist() == [1111, 1110, 1100, 1000]
    assert (output == output[:, :, :1, :1]).all()


def test_fpnc_upsamples_by_repetition():
    neck = no_grad_eval(FPNC((1, 1), lateral_channels=1, out_channels=1))
    for lateral, smooth in zip(neck.lateral_convs, neck.smooth_convs):
        lateral.conv.weight.fill_(1)
        smooth.conv.weight.zero_()
        smooth.conv.weight[0, 0, 1, 1] = 1
    coarse = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    output = neck([torch.zeros(1, 1, 4, 4), coarse])
    assert output[0, 1].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


# ---- head


def test_head_maps_have_the_images_size_and_the_papers_formula():
    head = no_grad_eval(DBHead(16))
    maps = head(torch.randn(2, 16, 5, 7))
    assert {name: tuple(map_.shape) for name, map_ in maps.items()} == dict.fromkeys(
        ("prob_logits", "prob_map", "thresh_map", "binary_map"), (2, 20, 28)
    )
    torch.testing.assert_close(maps["prob_map"], 1 / (1 + torch.exp(-maps["prob_logits"])))
    binary = 1 / (1 + torch.exp(-50 * (maps["prob_map"] - maps["thresh_map"])))
    torch.testing.assert_close(maps["binary_map"], binary)


def test_head_predict_gives_the_probability_alone():
    head = no_grad_eval(DBHead(16))
    x = torch.randn(1, 16, 4, 4)
    expected = head(x)["prob_map"]
    head.threshold = None  # would fail if it were used
    torch.testing.assert_close(head(x, mode="predict"), expected)
    with pytest.raises(ValueError, match="both"):
        head(x, mode="both")


def test_head_starts_near_a_quarter_everywhere():
    prob_map = DBHead(256)(torch.randn(2, 256, 20, 20))["prob_map"]
    assert prob_map.mean().item() == pytest.approx(1 / (1 + math.exp(1.1)), abs=0.04)
    assert prob_map.std().item() < 0.08


def test_head_maps_are_float32_under_autocast():
    head = DBHead(16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = head(torch.randn(1, 16, 4, 4))
    assert {map_.dtype for map_ in maps.values()} == {torch.float32}


def test_head_gives_finite_maps_for_huge_features():
    maps = no_grad_eval(DBHead(16))(1e6 * torch.randn(1, 16, 4, 4))
    assert all(torch.isfinite(map_).all() for map_ in maps.values())


def test_head_state_dict_is_mmocrs():
    keys = {
        key.split(".", 1)[1]
        for key in DBHead(256).state_dict()
        if key.startswith("threshold.") and "num_batches" not in key
    }
    norm = ("weight", "bias", "running_mean", "running_var")
    expected = {"0.weight", "3.weight", "3.bias", "6.weight", "6.bias"}
    assert keys == expected | {f"{i}.{name}" for i in (1, 4) for name in norm}


# ---- data preprocessor


def test_preprocessor_normalises_and_pads_with_zero():
    preprocessor = TextDetDataPreprocessor([10.0, 20.0, 30.0], [2.0, 4.0, 5.0])
    image = torch.tensor([40, 24, 12], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 33, 5)
    metas = [dict(img_path="a.jpg")]
    data = dict(inputs=image, metas=metas)
    output = preprocessor(data)
    assert output["inputs"].shape == (1, 3, 64, 32)
    # BGR 40, 24, 12 is RGB 12, 24, 40: (12-10)/2, (24-20)/4, (40-30)/5
    assert output["inputs"][0, :, 32, 4].tolist() == [1.0, 1.0, 2.0]
    assert (output["inputs"][..., 33:, :] == 0).all() and (output["inputs"][..., 5:] == 0).all()
    assert output["metas"] == metas and data["inputs"].dtype == torch.uint8


def test_preprocessor_without_channel_reversal():
    preprocessor = TextDetDataPreprocessor([10.0, 20.0, 30.0], [1.0, 1.0, 1.0], bgr_to_rgb=False)
    image = torch.tensor([40, 24, 12], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert preprocessor(dict(inputs=image))["inputs"][0, :, 0, 0].tolist() == [30.0, 4.0, -18.0]


def test_preprocessor_joins_images_of_different_sizes():
    preprocessor = TextDetDataPreprocessor([0.0] * 3, [1.0] * 3)
    images = [
        torch.full((3, 20, 70), 5, dtype=torch.uint8),
        torch.ones(3, 33, 8, dtype=torch.uint8),
    ]
    output = preprocessor(dict(inputs=images))["inputs"]
    assert output.shape == (2, 3, 64, 96)
    assert output[0].sum() == 3 * 20 * 70 * 5 and output[1].sum() == 3 * 33 * 8


def test_preprocessor_refuses_floats():
    preprocessor = TextDetDataPreprocessor([0.0] * 3, [1.0] * 3)
    with pytest.raises(ValueError, match="uint8"):
        preprocessor(dict(inputs=torch.rand(1, 3, 32, 32)))


# ---- detector

MODEL = dict(
    type="DBNet",
    backbone=dict(type="ResNet", depth=18),
    neck=dict(type="FPNC"),
    det_head=dict(type="DBHead"),
    loss=dict(type="DBLoss"),
    postprocessor=dict(type="DBPostprocessor"),
    data_preprocessor=dict(
        type="TextDetDataPreprocessor", mean=[127.0] * 3, std=[60.0] * 3, bgr_to_rgb=True
    ),
)


def targets(shape, text=True):
    maps = dict(
        shrink_map=torch.zeros(shape),
        shrink_mask=torch.ones(shape),
        thresh_map=torch.full(shape, 0.3),
        thresh_mask=torch.zeros(shape),
    )
    if text:
        maps["shrink_map"][:, 20:30, 10:50] = 1
        maps["thresh_map"][:, 15:35, 5:55] = 0.5
        maps["thresh_mask"][:, 15:35, 5:55] = 1
    return maps


@pytest.mark.parametrize(
    "backbone",
    [
        dict(type="ResNet", depth=18),
        dict(type="ResNet", depth=50, stage_with_dcn=ALL_DCN, style="caffe"),
    ],
)
def test_gradients_reach_every_parameter(backbone):
    model = MODELS.build({**copy.deepcopy(MODEL), "backbone": backbone}).train()
    losses = model(torch.rand(2, 3, 64, 64), targets((2, 64, 64)), mode="loss")
    assert set(losses) == {"loss_prob", "loss_thr", "loss_db"}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_modes():
    model = no_grad_eval(MODELS.build(copy.deepcopy(MODEL)))
    image = torch.rand(1, 3, 64, 96)
    prob_map = model(image)
    assert prob_map.shape == (1, 64, 96) and prob_map.min() > 0 and prob_map.max() < 1
    metas = [dict(img_path="", ori_shape=(64, 96), img_shape=(64, 96), scale_factor=(1.0, 1.0))]
    (prediction,) = model(image, metas=metas, mode="predict")
    assert set(prediction) == {"polygons", "scores"}
    assert len(prediction["polygons"]) == len(prediction["scores"])
    with pytest.raises(ValueError, match="train"):
        model(image, mode="train")


def test_batch_without_text_trains():
    model = MODELS.build(copy.deepcopy(MODEL)).train()
    losses = model(torch.rand(2, 3, 64, 64), targets((2, 64, 64), text=False), mode="loss")
    assert losses["loss_prob"].item() == losses["loss_thr"].item() == 0
    assert losses["loss_db"].item() == pytest.approx(1)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_channel_numbers_of_a_config_win():
    model = {**copy.deepcopy(MODEL), "neck": dict(type="FPNC", in_channels=(1, 2, 3, 4))}
    assert MODELS.build(model).neck.lateral_convs[3].conv.in_channels == 4
