"""Detectors in ONNX files as trainable modules, compared with ONNX's reference implementation."""

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

import dbnet
from dbnet.apis.detector import init_detector
from dbnet.checkpoints.foreign import FOREIGN_CONFIG
from dbnet.errors import UserError
from dbnet.models.backbones.onnx_graph import ONNXGraph
from tests.onnx_graphs import Writer, detector, write

CONFIG = "dbnet_ppocr_finetune_icdar2015"
STYLES = {
    "v6 small, RapidOCR": dict(opset=11, identities=True, biases=True, spelt_out=True),
    "v3": dict(opset=12, constants=True, biases=True, norms=True, spelt_out=True),
    "v5 mobile": dict(opset=14, identities=True, norms=True),
    "v6 tiny": dict(opset=14, automatic=True, spelt_out=True),
    "PyTorch": dict(opset=18, norms=True),
    "newest": dict(opset=22),
}
# Convolutions 3-8, 8-12, 12 apart, 1x1 12-12 and 12-8, the head's 20-5, 5-5, 5-1, with biases, and
# one number: 224 + 876 + 120 + 156 + 104 + 905 + 105 + 21 + 1.
PARAMETERS = 2512
NORMS = 2 * (8 + 12 + 5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "det.onnx"


def reference(model, x):
    model = copy.deepcopy(model)
    # Before opset 15 the reference takes every batch norm for one in training.
    model.opset_import[0].version = max(model.opset_import[0].version, 15)
    return ReferenceEvaluator(model).run(None, {"x": x})[0]


def image(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_map_is_that_of_the_file(style, path):
    model = detector(**style)
    net = init_detector(FOREIGN_CONFIG, write(model, path))
    for shape in ((1, 3, 32, 64), (2, 3, 64, 32)):
        x = image(*shape)
        expected = reference(model, x)[:, 0]
        assert expected.std() > 0.01  # a flat map would prove nothing
        with torch.no_grad():
            np.testing.assert_allclose(net(torch.from_numpy(x)), expected, atol=1e-5)


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_parameters_and_where_it_is_split(style, path):
    backbone = ONNXGraph(write(detector(**style), path))
    parts = [backbone, backbone.head_branch]
    count = sum(p.numel() for part in parts for p in part.parameters())
    assert count == PARAMETERS + NORMS * bool(style.get("norms"))
    assert backbone.out_channels == 20
    ops = [node.op for node in backbone.graph.nodes]
    assert ops[-1] == "Concat" and "Gelu" in ops and "HardSwish" in ops
    assert not {"Erf", "Identity", "Constant", "Clip"} & set(ops)
    ops = [node.op for node in backbone.head_branch.graph.nodes if node.op != "BatchNormalization"]
    assert ops == ["Conv", "Relu", "ConvTranspose", "Relu", "ConvTranspose"]
    kinds = [type(m) for part in parts for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(kinds) == 3 * bool(style.get("norms"))


def test_weights_have_the_names_of_the_file(path):
    backbone = ONNXGraph(write(detector(norms=True), path))
    assert backbone.state_dict()["affine.value"].tolist() == pytest.approx([1.3])
    keys = list(backbone.head_branch.state_dict())
    assert keys[:3] == ["head.weight", "head.bias", "batch_norm_32.weight"]
    assert keys[-2:] == ["up_1.weight", "up_1.bias"]


def test_names_that_modules_cannot_have(path):
    model = detector()
    for tensor, name in zip(model.graph.initializer, ("forward.weight", "a..weight", "graph")):
        for node in model.graph.node:
            node.input[:] = [name if old == tensor.name else old for old in node.input]
        tensor.name = name
    names = [name for name, _ in ONNXGraph(write(model, path)).named_parameters()]
    assert names[:2] == ["forward_.weight", "forward_.bias"]
    x = image(1, 3, 32, 32)
    with torch.no_grad():
        ours = init_detector(FOREIGN_CONFIG, str(path))(torch.from_numpy(x))
    np.testing.assert_allclose(ours, reference(model, x)[:, 0], atol=1e-5)


def test_a_weight_of_two_convolutions_stays_one(path):
    writer = Writer()
    x = writer.conv("x", 3, 4, stride=4, kernel=5)
    x = writer.conv(x, 4, 4, name="twice")
    twice = writer.nodes[-1]
    x = writer.node("Conv", [x, *twice.input[1:]], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    x = writer.node("Relu", [writer.conv(x, 4, 4, 2, 2, op="ConvTranspose")])
    model = writer.model(writer.node("Sigmoid", [writer.conv(x, 4, 1, 2, 2, op="ConvTranspose")]))
    net = init_detector(FOREIGN_CONFIG, write(model, path))
    parts = (net.backbone, net.det_head.binarize)
    assert sum("twice" in key for part in parts for key in part.state_dict()) == 2
    x = image(1, 3, 32, 32)
    with torch.no_grad():
        np.testing.assert_allclose(
            net(torch.from_numpy(x))[0], reference(model, x)[0, 0], atol=1e-5
        )


def test_resize_to_the_size_of_another_tensor(path):
    model = detector(resize_like=True)
    net = init_detector(FOREIGN_CONFIG, write(model, path))
    x = image(1, 3, 32, 96)
    with torch.no_grad():
        np.testing.assert_allclose(net(torch.from_numpy(x)), reference(model, x)[:, 0], atol=1e-5)


def test_mean_of_two_maps_as_in_servers(path):
    writer = Writer()
    features = writer.body()
    maps = [writer.head(features)]
    coarse = writer.conv(features, 20, 1, 2, 2, name="side", op="ConvTranspose")
    scales = writer.weight(np.float32([1, 1, 2, 2]))
    large = writer.node("Resize", [coarse, "", scales], mode="linear")
    maps.append(writer.node("Sigmoid", [large]))
    model = writer.model(writer.node("Mul", [writer.node("Add", maps), writer.number(0.5)]))
    net = init_detector(FOREIGN_CONFIG, write(model, path))
    assert net.backbone.graph.nodes[-1].op == "Concat"  # both maps are the head's
    x = image(1, 3, 32, 64)
    with torch.no_grad():
        np.testing.assert_allclose(net(torch.from_numpy(x)), reference(model, x)[:, 0], atol=1e-5)


def test_float16_is_read_as_float32(path):
    model = detector()
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16), tensor.name))
    net = init_detector(FOREIGN_CONFIG, write(model, path))
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    x = image(1, 3, 32, 32)
    with torch.no_grad():
        ours = net(torch.from_numpy(x))
    np.testing.assert_allclose(ours, reference(detector(), x)[:, 0], atol=3e-3)


# --- Training ---


@pytest.mark.parametrize("style", [STYLES["v3"], STYLES["v6 tiny"]], ids=["v3", "v6 tiny"])
def test_gradients_reach_every_parameter(style, path):
    net = init_detector(FOREIGN_CONFIG, write(detector(**style), path)).train()
    square = torch.zeros(2, 32, 32)
    square[:, 8:24, 8:24] = 1
    ones = torch.ones_like(square)
    targets = dict(shrink_map=square, shrink_mask=ones, thresh_map=0.5 * ones, thresh_mask=ones)
    losses = net(torch.from_numpy(image(2, 3, 32, 32)), targets, mode="loss")
    sum(losses.values()).backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_batch_norms_keep_their_statistics_unless_told_otherwise(path):
    file = write(detector(norms=True), path)
    x = torch.from_numpy(image(2, 3, 32, 32))
    for norm_eval in (True, False):
        backbone = ONNXGraph(file, norm_eval=norm_eval).train()
        norm = backbone.get_submodule("batch_norm_3")
        assert (norm.eps, norm.momentum) == pytest.approx((1e-5, 0.2))  # ONNX's 0.8 of the old
        parts = (backbone, backbone.head_branch.train())
        before = [copy.deepcopy(part.state_dict()) for part in parts]
        parts[1](parts[0](x))
        means = [key for key in before[0] if key.endswith("running_mean")]
        for part, old in zip(parts, before):
            for key in old:
                if key.endswith("running_mean"):
                    assert torch.equal(part.state_dict()[key], old[key]) == norm_eval, key
        assert len(means) == 2


def test_freezing_by_name_and_by_depth(path):
    file = write(detector(norms=True), path)

    def frozen(**settings):
        backbone = ONNXGraph(file, **settings).train()
        return {n.rsplit(".", 1)[0] for n, p in backbone.named_parameters() if not p.requires_grad}

    names = [n.name for n in ONNXGraph(file).graph.nodes if n.name]
    assert names[:4] == ["conv2d_1", "batch_norm_3", "conv2d_5", "batch_norm_7"]
    assert frozen() == set()
    assert frozen(frozen_convolutions=1) == {"conv2d_1", "batch_norm_3"}
    assert frozen(frozen_convolutions=5) == set(names)
    assert frozen(frozen=["conv2d_5", "affine"]) == {"conv2d_5", "affine"}
    with pytest.raises(ValueError, match="no name begins with 'conv3d' "):
        ONNXGraph(file, frozen=["conv3d"])
    with pytest.raises(ValueError, match=r"0\.\.5"):
        ONNXGraph(file, frozen_convolutions=6)


# --- Checkpoints ---


def test_a_checkpoint_needs_no_file(path, tmp_path):
    net = init_detector(FOREIGN_CONFIG, write(detector(**STYLES["v3"]), path))
    with torch.no_grad():
        net.backbone.get_submodule("conv2d_1").weight.mul_(1.5)
    torch.save({"state_dict": net.state_dict()}, tmp_path / "trained.pth")
    path.unlink()
    again = dbnet.init_detector(CONFIG, tmp_path / "trained.pth")
    x = torch.from_numpy(image(1, 3, 32, 32))
    with torch.no_grad():
        assert torch.equal(again(x), net(x))
    branch = ONNXGraph(str(tmp_path / "trained.pth")).head_branch
    own = again.det_head.binarize.state_dict()
    assert all(torch.equal(own[key], value) for key, value in branch.state_dict().items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nonsense", "the graph in it is damaged"),
        (None, "is neither an ONNX file nor a checkpoint trained from one"),
        ("large", "has more than"),
        ("operator", "operator Exec of the graph is unknown"),
        ("shape", "is missing or has another shape"),
        ("window", "its padding is above 64"),
    ],
)
def test_a_checkpoint_with_a_damaged_graph(content, message, path, tmp_path):
    import json
    import zlib

    net = init_detector(FOREIGN_CONFIG, write(detector(), path))
    state = net.state_dict()
    graph = json.loads(
        zlib.decompress(bytes(state["backbone.graph_bytes"].to(torch.uint8).tolist()))
    )
    if content == "large":
        content = zlib.compress(b" " * (17 << 20))
    elif content == "operator":
        graph[0][0]["op"] = "Exec"
        content = zlib.compress(json.dumps(graph).encode())
    elif content == "shape":  # of memory that no machine has
        graph[0][0]["attributes"]["outputs"] = 10**12
        graph[0][1]["attributes"]["inputs"] = 10**12
        content = zlib.compress(json.dumps(graph).encode())
    elif content == "window":
        graph[0][0]["attributes"]["padding"] = [10**9] * 4
        content = zlib.compress(json.dumps(graph).encode())
    del state["backbone.graph_bytes"]
    if content is not None:
        state["backbone.graph_bytes"] = torch.tensor(list(content), dtype=torch.int32)
    torch.save({"state_dict": state}, tmp_path / "bad.pth")
    with pytest.raises(UserError, match=message) as caught:
        dbnet.init_detector(CONFIG, tmp_path / "bad.pth")
    assert "\n" not in str(caught.value)


def test_other_models_refuse_an_onnx_file(path):
    with pytest.raises(UserError, match="only a model whose backbone is an ONNXGraph takes"):
        dbnet.init_detector("dbnet_r18_fpnc_1200e_icdar2015", write(detector(), path))


def test_without_a_file():
    with pytest.raises(UserError, match=r"model\.backbone\.file=FILE\.onnx"):
        dbnet.init_detector(CONFIG)


# --- Networks that are no detectors ---


def test_an_output_that_is_no_probability(path):
    writer = Writer()
    map_ = writer.head(writer.body())
    model = writer.model(writer.nodes[-1].input[0])
    with pytest.raises(UserError, match="its output is made by ConvTranspose, not by a Sigmoid"):
        ONNXGraph(write(model, path))
    model = writer.model(writer.node("Add", [map_, writer.nodes[-1].input[0]]))
    with pytest.raises(UserError, match="its output is made by Add, not by a Sigmoid"):
        ONNXGraph(write(model, path))


@pytest.mark.parametrize(
    ("stride", "ups", "message"),
    [
        (4, 1, r"it makes \(1, 1, 32, 48\), no map of its height and width"),
        (2, 1, "has no tensor at stride 4"),
    ],
)
def test_another_resolution(stride, ups, message, path):
    writer = Writer()
    x = writer.conv("x", 3, 4, kernel=5, stride=stride)
    for _ in range(ups):
        x = writer.conv(x, 4, 4, 2, 2, op="ConvTranspose")
    model = writer.model(writer.node("Sigmoid", [writer.conv(x, 4, 1)]))
    with pytest.raises(UserError, match=message):
        ONNXGraph(write(model, path))


def test_shapes_that_do_not_meet(path):
    model = detector()
    concat = next(node for node in model.graph.node if node.op_type == "Concat")
    concat.input.append("x")
    with pytest.raises(UserError, match=r"Concat \(Concat\.\d+\) cannot be computed for an image"):
        ONNXGraph(write(model, path))
