"""A small detector, written as an ONNX graph in the styles of several exporters."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Writer:
    """Collects the nodes of a graph.

    Args:
        opset: Of the file.
        constants: Weights as nodes instead of initializers.
        identities: An Identity behind every node.
        biases: Biases of convolutions as additions of (1, C, 1, 1).
        spelt_out: GELU and hard swish as arithmetic.
        automatic: Pads by `SAME_UPPER`.
        norms: Batch norms left in.
    """

    def __init__(
        self,
        opset=17,
        constants=False,
        identities=False,
        biases=False,
        spelt_out=False,
        automatic=False,
        norms=False,
    ):
        self.opset, self.constants, self.identities = opset, constants, identities
        self.biases, self.spelt_out, self.automatic, self.norms = (
            biases,
            spelt_out,
            automatic,
            norms,
        )
        self.rng = np.random.default_rng(0)
        self.nodes, self.initializers, self.count = [], [], 0

    def weight(self, array, name=None):
        name = name or f"const.{len(self.nodes)}.{len(self.initializers)}"
        tensor = numpy_helper.from_array(np.asarray(array), name)
        if self.constants:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.initializers.append(tensor)
        return name

    def node(self, op, inputs, **attributes):
        self.count += 1
        output = f"{op}.{self.count}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        if self.identities:
            self.nodes.append(helper.make_node("Identity", [output], [f"{output}.same"]))
            output = f"{output}.same"
        return output

    def conv(self, x, inputs, outputs, kernel=3, stride=1, group=1, name=None, op="Conv"):
        self.count += 1
        name = name or f"conv2d_{self.count}"
        transposed = op == "ConvTranspose"
        shape = (inputs, outputs) if transposed else (outputs, inputs // group)
        fan_in = inputs // group * kernel**2
        weight = self.rng.normal(size=(*shape, kernel, kernel)) / fan_in**0.5
        bias = self.rng.normal(size=outputs).astype(np.float32)
        names = [x, self.weight(weight.astype(np.float32), f"{name}.w_0")]
        facts = dict(kernel_shape=[kernel] * 2, strides=[stride] * 2, group=group)
        if self.automatic and not transposed:
            facts["auto_pad"] = "SAME_UPPER"
        elif not transposed:
            facts["pads"] = pads(kernel, stride)
        if not self.biases:
            return self.node(op, [*names, self.weight(bias, f"{name}.b_0")], **facts)
        x = self.node(op, names, **facts)
        return self.node("Add", [x, self.weight(bias.reshape(1, -1, 1, 1), f"{name}.b_0")])

    def norm(self, x, channels):
        if not self.norms:
            return x
        self.count += 1
        name = f"batch_norm_{self.count}"
        vectors = [self.rng.uniform(0.5, 1.5, channels).astype(np.float32) for _ in range(4)]
        suffixes = ("w_0", "b_0", "w_1", "w_2")
        names = [self.weight(vector, f"{name}.{s}") for vector, s in zip(vectors, suffixes)]
        return self.node("BatchNormalization", [x, *names], epsilon=1e-5, momentum=0.8)

    def number(self, value):
        return self.weight(np.float32(value))

    def gelu(self, x):
        if not self.spelt_out and self.opset >= 20:
            return self.node("Gelu", [x])
        half = self.node("Mul", [x, self.number(0.5)]) if self.automatic else None
        erf = self.node("Erf", [self.node("Div", [x, self.number(2**0.5)])])
        factor = self.node("Add", [erf, self.number(1)])
        if half:
            return self.node("Mul", [half, factor])
        return self.node("Mul", [self.node("Mul", [x, factor]), self.number(0.5)])

    def hard_swish(self, x):
        if not self.spelt_out and self.opset >= 14:
            return self.node("HardSwish", [x])
        limits = [self.number(0), self.number(6)]
        clip = self.node("Clip", [self.node("Add", [x, self.number(3)]), *limits])
        if self.identities:
            return self.node("Div", [self.node("Mul", [x, clip]), self.number(6)])
        return self.node("Mul", [x, self.node("Div", [clip, self.number(6)])])

    def mean(self, x):
        if self.opset >= 18:
            return self.node("ReduceMean", [x, self.weight(np.array([2, 3]))], keepdims=1)
        return self.node("ReduceMean", [x], axes=[2, 3], keepdims=1)

    def max_pool(self, x):
        """2x2 at stride 1, padded at the right and below."""
        window = dict(kernel_shape=[2, 2], strides=[1, 1])
        if self.automatic:
            return self.node("MaxPool", [x], auto_pad="SAME_UPPER", **window)
        # ONNX's reference implementation pads a MaxPool of uneven pads wrongly.
        sides = self.weight(np.array([0, 0, 0, 0, 0, 0, 1, 1]))
        return self.node("MaxPool", [self.node("Pad", [x, sides, self.number(-100)])], **window)

    def body(self, resize_like=False):
        """Stride 4 and 8, joined at stride 4: 20 channels."""
        x = self.norm(self.conv("x", 3, 8, stride=2), 8)
        fine = self.hard_swish(self.norm(self.conv(x, 8, 12, stride=2), 12))
        x = self.gelu(self.conv(fine, 12, 12, stride=2, group=12))
        gate = self.node("HardSigmoid", [self.conv(self.mean(x), 12, 12, kernel=1)], alpha=0.2)
        x = self.node("Add", [x, self.node("Mul", [x, gate])])
        scale = self.node("Mul", [x, self.weight(np.float32([1.3]), "affine.w_0")])
        x = self.max_pool(self.conv(scale, 12, 8, kernel=1))
        roi = self.weight(np.float32([]))
        rule = dict(mode="nearest", coordinate_transformation_mode="asymmetric")
        if resize_like:
            sizes = self.node("Concat", [self.part(x, 0, 2), self.part(fine, 2, 4)], axis=0)
            x = self.node("Resize", [x, "", "", sizes], nearest_mode="floor", **rule)
        else:
            scales = self.weight(np.float32([1, 1, 2, 2]))
            x = self.node("Resize", [x, roi, scales], nearest_mode="floor", **rule)
        return self.node("Concat", [fine, x], axis=1)

    def part(self, x, start, end):
        bounds = [self.weight(np.array([value])) for value in (start, end)]
        return self.node("Slice", [self.node("Shape", [x]), *bounds])

    def head(self, x):
        x = self.node("Relu", [self.norm(self.conv(x, 20, 5, name="head"), 5)])
        x = self.node("Relu", [self.conv(x, 5, 5, 2, 2, name="up_0", op="ConvTranspose")])
        return self.node("Sigmoid", [self.conv(x, 5, 1, 2, 2, name="up_1", op="ConvTranspose")])

    def model(self, output, size=("h", "w"), outputs=None):
        value = helper.make_tensor_value_info
        floats = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "detector",
            [value("x", floats, ["n", 3, *size])],
            outputs or [value(output, floats, ["n", 1, "H", "W"])],
            self.initializers,
        )
        opset = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)


def pads(kernel, stride):
    """Pads of `SAME_UPPER` for sizes that are multiples of the stride: top, left, bottom, right."""
    total = max(kernel - stride, 0)
    return [total // 2, total // 2, total - total // 2, total - total // 2]


def detector(resize_like=False, **style):
    """Build the whole model in a style."""
    writer = Writer(**style)
    return writer.model(writer.head(writer.body(resize_like)))


def write(model, path: Path) -> str:
    onnx.save(model, str(path))
    return str(path)
