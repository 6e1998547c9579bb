"""Weights of other projects: independent forward passes, there and back, wrong files."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn
from torchvision.models.resnet import BasicBlock
from torchvision.ops import deform_conv2d

from dbnet.checkpoints.mhliao import from_mhliao, to_mhliao
from dbnet.checkpoints.ppocr import read_ppocr_onnx
from dbnet.checkpoints.read import load_weights
from dbnet.cli.convert import main
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


# ---- PP-OCR: a graph in the manner of Paddle's exporter, run by ONNX's reference implementation


class Graph:
    """Nodes and weights of an ONNX graph; biases are additions, Identity nodes stand between."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.weights, self.count = [], [], 0

    def weight(self, *shape, scale=None):
        self.count += 1
        name = f"w{self.count}"
        scale = 1 / np.sqrt(np.prod(shape[1:])) if scale is None else scale
        values = (self.rng.standard_normal(shape) * scale).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind, *inputs, **attributes):
        self.count += 1
        self.nodes.append(helper.make_node(kind, inputs, [f"x{self.count}"], **attributes))
        return f"x{self.count}"

    def conv(self, x, out, inner, kernel, stride=1, bias=True, groups=1, same_upper=False):
        padding = dict(auto_pad="SAME_UPPER") if same_upper else dict(pads=[kernel // 2] * 4)
        weight = self.weight(out, inner, kernel, kernel)
        strides = [stride] * 2
        x = self.node("Conv", x, weight, strides=strides, group=groups, **padding)
        return self.node("Identity", self.add_bias(x, out)) if bias else x

    def add_bias(self, x, channels):
        return self.node("Add", x, self.weight(1, channels, 1, 1, scale=0.1))

    def up_conv(self, x, inner, out):
        weight = self.weight(inner, out, 2, 2)
        x = self.node("Identity", self.node("ConvTranspose", x, weight, strides=[2, 2]))
        return self.add_bias(x, out)

    def squeeze(self, x, channels, slope):
        mean = self.node("GlobalAveragePool", x)
        hidden = self.node("Relu", self.conv(mean, channels // 4, channels, 1))
        weights = self.conv(hidden, channels, channels // 4, 1)
        weights = self.node("HardSigmoid", weights, alpha=slope, beta=0.5)
        return self.node("Mul", x, weights)

    def gelu(self, x):
        root, one, half = (self.constant(v) for v in (2**0.5, 1.0, 0.5))
        erf = self.node("Erf", self.node("Div", x, root))
        return self.node("Mul", self.node("Mul", x, self.node("Add", erf, one)), half)

    def constant(self, value):
        self.count += 1
        array = np.array(value, np.float32)
        self.weights.append(numpy_helper.from_array(array, f"c{self.count}"))
        return f"c{self.count}"

    def block(self, x, width, out, stride=1, squeeze=False):
        x = self.conv(x, width, 1, 3, stride, groups=width)
        x = self.squeeze(x, width, 1 / 6) if squeeze else x
        hidden = self.gelu(self.conv(x, 2 * width, width, 1))
        mixed = self.conv(hidden, out, 2 * width, 1)
        return self.node("Add", x, mixed) if stride == 1 else mixed

    def weighed(self, x, inner, out):
        x = self.conv(x, out, inner, 1, bias=False)
        return self.node("Add", x, self.squeeze(x, out, 0.2))

    def upsample(self, x, factor):
        scales = np.array([1, 1, factor, factor], np.float32)
        self.count += 1
        self.weights.append(numpy_helper.from_array(scales, f"s{self.count}"))
        mode = dict(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        return self.node("Resize", x, "", f"s{self.count}", mode="nearest", **mode)


def small_detector():
    """Write the graph of the small detector node by node, in the order of the published file."""
    g = Graph()
    x = g.node("Relu", g.conv("x", 24, 3, 3, 2))
    a = g.node("Relu", g.conv(x, 12, 24, 2, same_upper=True))
    b = g.node("Relu", g.conv(a, 24, 12, 2, same_upper=True))
    pooled = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_UPPER")
    x = g.node("Relu", g.conv(g.node("Concat", pooled, b, axis=1), 24, 48, 3, 2))
    x = g.node("Relu", g.conv(x, 48, 24, 1))
    features, widths = [], (48, 96, 192, 384)
    for stage, (width, pairs) in enumerate(zip(widths, (1, 1, 2, 1))):
        if stage:
            x = g.block(x, width // 2, width, stride=2)
        for _ in range(pairs):
            x = g.block(g.block(x, width, width, squeeze=True), width, width)
        features.append(x)
    p5, p4, p3, p2 = (g.weighed(f, w, 96) for f, w in zip(features[::-1], widths[::-1]))
    p4 = g.node("Add", p4, g.upsample(p5, 2))
    p3 = g.node("Add", p3, g.upsample(p4, 2))
    p2 = g.node("Add", p2, g.upsample(p3, 2))
    smooth = [g.weighed(g.conv(p, 96, 1, 7, groups=96), 96, 24) for p in (p5, p4, p3, p2)]
    smooth = [g.upsample(s, f) for s, f in zip(smooth, (8, 4, 2))] + smooth[3:]
    x = g.node("Relu", g.conv(g.node("Concat", *smooth, axis=1), 24, 96, 3))
    x = g.node("Relu", g.up_conv(x, 24, 24))
    g.nodes.append(helper.make_node("Sigmoid", [g.up_conv(x, 24, 1)], ["map"]))
    return save_graph(g)


def save_graph(g):
    shape = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        g.nodes,
        "detector",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("map", onnx.TensorProto.FLOAT, ["N", 1, "H", "W"])],
        g.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


@pytest.fixture(scope="module")
def ppocr(tmp_path_factory):
    path = tmp_path_factory.mktemp("ppocr") / "det.onnx"
    onnx.save(small_detector(), path)
    return path


def test_ppocr_map_is_that_of_the_graph(ppocr, tmp_path):
    assert main([str(ppocr), str(tmp_path / "det.pth")]) == 0
    model = build("dbnet_ppocrv6-small_3k_icdar2015")
    load_weights(model, str(tmp_path / "det.pth"), strict=False)  # a fresh threshold branch
    image = np.random.default_rng(1).integers(0, 256, (1, 3, 64, 96), dtype=np.uint8)
    # PP-OCR's input: BGR over 255, less the means of R, G, B, over their deviations.
    mean, std = (
        np.array(v, np.float32).reshape(3, 1, 1)
        for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    x = ((image / np.float32(255) - mean) / std).astype(np.float32)
    expected = ReferenceEvaluator(str(ppocr)).run(None, {"x": x})[0][:, 0]
    with torch.no_grad():
        inputs = model.data_preprocessor(dict(inputs=torch.from_numpy(image)))["inputs"]
        found = model(inputs).numpy()
    assert expected.std() > 0.02
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_ppocr_file_of_another_model(tmp_path):
    g = Graph()
    g.nodes.append(helper.make_node("Sigmoid", [g.conv("x", 1, 3, 3)], ["map"]))
    onnx.save(save_graph(g), tmp_path / "other.onnx")
    with pytest.raises(UserError, match="other models cannot be converted: 1 convolutions"):
        read_ppocr_onnx(tmp_path / "other.onnx")


def test_ppocr_file_with_other_widths(ppocr, tmp_path):
    model = onnx.load(ppocr)
    first = model.graph.initializer[0]
    first.CopyFrom(numpy_helper.from_array(np.zeros((25, 3, 3, 3), np.float32), first.name))
    onnx.save(model, tmp_path / "wide.onnx")
    with pytest.raises(UserError, match=r"backbone\.stem\.conv1\.weight does not fit"):
        read_ppocr_onnx(tmp_path / "wide.onnx")


def one_node(op, inputs, weights=(), **attributes):
    """Encode a graph of one node."""
    g = Graph()
    g.nodes.append(helper.make_node(op, inputs, ["map"], **attributes))
    g.weights.extend(weights)
    return save_graph(g)


def weights_of_constants():
    """A graph like PaddleOCR's before PP-OCRv6: its weights are outputs of nodes."""
    g = Graph()
    weight = numpy_helper.from_array(np.zeros((1, 3, 3, 3), np.float32), "conv2d_0.w_0")
    g.nodes.append(helper.make_node("Constant", [], ["conv2d_0.w_0"], value=weight))
    g.nodes.append(helper.make_node("Conv", ["x", "conv2d_0.w_0"], ["map"]))
    return save_graph(g)


def weight_elsewhere(location="gone.bin"):
    """A graph whose weight lies in another file."""
    weight = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1, 3, 3, 3])
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return one_node("Conv", ["x", "w"], [weight])


def short_of_numbers():
    weight = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[1, 3, 3, 3])
    return one_node("Conv", ["x", "w"], [weight])


def weight_of(kind, values):
    return one_node("Conv", ["x", "w"], [helper.make_tensor("w", kind, [1, 1, 1, 1], values)])


FOREIGN = [
    pytest.param(weight_of(onnx.TensorProto.STRING, [b"a"]), id="weight of strings"),
    pytest.param(weight_of(onnx.TensorProto.BFLOAT16, [1.0]), id="weight of bfloat16"),
    pytest.param(weight_of(onnx.TensorProto.INT8, [1]), id="quantised weight"),
    pytest.param(None, id="missing"),
    pytest.param(b"", id="empty file"),
    pytest.param(b"no onnx at all", id="no ONNX"),
    pytest.param(onnx.ModelProto().SerializeToString(), id="empty model"),
    pytest.param(one_node("Relu", ["x"]), id="no convolution"),
    pytest.param(one_node("Conv", []), id="no inputs"),
    pytest.param(one_node("Identity", []), id="Identity of nothing"),
    pytest.param(one_node("Add", ["x"]), id="sum of one"),
    pytest.param(one_node("Conv", ["x", "y"]), id="the weight is an input"),
    pytest.param(weights_of_constants(), id="constants"),
    pytest.param(weight_elsewhere(), id="data in a missing file"),
    pytest.param(weight_elsewhere("../../etc/passwd"), id="data outside"),
    pytest.param(weight_elsewhere(""), id="data nowhere"),
    pytest.param(short_of_numbers(), id="short of numbers"),
    pytest.param(small_detector().SerializeToString()[:100_000], id="cut"),
]


@pytest.mark.parametrize("arguments", [[], ["--from", "ppocr"], ["--from", "dbnet"]])
@pytest.mark.parametrize("content", FOREIGN)
def test_whatever_an_onnx_file_holds_is_one_line(tmp_path, capsys, content, arguments):
    path = tmp_path / "det.onnx"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    assert main([str(path), str(tmp_path / "x.pth"), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "det.onnx" in error
    assert not (tmp_path / "x.pth").exists()


def test_an_onnx_file_in_another_order(ppocr, tmp_path):
    model = onnx.load(ppocr)
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "turned.onnx")
    with pytest.raises(UserError, match=r"other models cannot be converted: .* does not fit"):
        read_ppocr_onnx(tmp_path / "turned.onnx")


def test_an_onnx_file_as_a_checkpoint(ppocr):
    model = build("dbnet_ppocrv6-small_3k_icdar2015")
    with pytest.raises(UserError, match=r"det\.onnx: is an ONNX file; dbnet convert") as caught:
        load_weights(model, str(ppocr))
    assert "\n" not in str(caught.value)
