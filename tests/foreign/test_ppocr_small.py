"""PP-OCRv6's small detector, written node by node as Paddle's exporter does, and damaged files."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import dbnet
from dbnet.checkpoints.read import load_weights
from dbnet.errors import UserError
from dbnet.foreign.lower import read_graph

SHIPPED = "dbnet_ppocrv6-small_3k_icdar2015"


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


def test_map_is_that_of_the_graph(ppocr):
    model = dbnet.init_detector(SHIPPED, ppocr)
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


def test_the_shipped_weights_are_of_this_network(ppocr):
    ours, shipped = (dbnet.init_detector(SHIPPED, c) for c in (ppocr, "dbnet://small"))
    parts = [(net.backbone, net.det_head.binarize) for net in (ours, shipped)]
    counts = [sum(p.numel() for part in pair for p in part.parameters()) for pair in parts]
    assert counts == [2_453_353] * 2  # of the published file
    for one, other in zip(*parts):
        same = {"ReduceMean": "GlobalAveragePool"}  # the published file has both
        ops, theirs = ([same.get(n.op, n.op) for n in net.graph.nodes] for net in (one, other))
        assert ops == theirs


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


@pytest.mark.parametrize("content", FOREIGN)
def test_whatever_an_onnx_file_holds_is_one_line(tmp_path, content):
    path = tmp_path / "det.onnx"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
    with pytest.raises(UserError, match=r"det\.onnx") as caught:
        dbnet.init_detector(SHIPPED, path)
    assert "\n" not in str(caught.value)


def test_nodes_in_another_order(ppocr, tmp_path):
    model = onnx.load(ppocr)
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "turned.onnx")
    with pytest.raises(UserError, match="which no node before it makes"):
        read_graph(tmp_path / "turned.onnx")


def test_an_onnx_file_as_weights_alone(ppocr):
    model = dbnet.init_detector(SHIPPED, ppocr)
    with pytest.raises(
        UserError, match=r"det\.onnx: is an ONNX file, which holds a network of its"
    ):
        load_weights(model, str(ppocr))
