"""Write a normalised graph as data, and its weights as a state dict."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from dbnet.errors import UserError
from dbnet.foreign.graph import Graph, Node
from dbnet.foreign.normalise import clip_limits, normalise
from dbnet.foreign.read import RawGraph, RawNode, read_onnx

PLAIN = {"Add", "Div", "Erf", "Gelu", "GlobalAveragePool", "HardSwish", "Mul", "Relu"}
PLAIN |= {"ResizeLike", "Sigmoid", "Softplus", "Sub", "Tanh"}
BINARY = ("Add", "Div", "Mul", "Sub")
# How nearest neighbours are chosen where that repeats each pixel as PyTorch's "nearest" does.
REPEATING = {("asymmetric", "floor"), ("half_pixel", "round_prefer_floor")}
REPEATING |= {("pytorch_half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil")}
OLD_RULE = dict(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
HALF_PIXEL = ("half_pixel", "pytorch_half_pixel")
SUFFIX = re.compile(r"(?<=.)\.(weight|bias|value|[wb]_\d+)$")  # as PyTorch and Paddle write it
State = dict[str, np.ndarray]


class UnsupportedError(Exception):
    """A node that is known, with settings that are not."""


def read_graph(path: Path) -> tuple[Graph, State]:
    """Read a detector from an ONNX file.

    Returns:
        The graph, and its weights by the names of PyTorch's modules below those of the file.
    """
    source = read_onnx(path)
    try:
        raw = normalise(source, path)
        lowering = Lowering(raw)
        nodes = [lowering.lower(node) for node in raw.nodes]
    except UnsupportedError as error:
        raise UserError(f"{path}: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # A node without the inputs or attributes that its operator has.
        raise UserError(f"{path}: damaged, a node is incomplete ({error!r})") from None
    return Graph(nodes, raw.input, raw.output), lowering.state


class Lowering:
    """Writes nodes of a file as nodes of a `Graph`.

    Attributes:
        state: Weights so far.
    """

    def __init__(self, raw: RawGraph) -> None:
        self.constants = raw.constants
        self.state: State = {}
        self.names: dict[str, str] = {}  # of modules, by that of their first weight in the file

    def lower(self, node: RawNode) -> Node:
        """Write a node, or raise an `UnsupportedError`."""
        if node.op in PLAIN and not any(name in self.constants for name in node.inputs):
            return Node(node.op, [name for name in node.inputs if name], node.outputs[0])
        method: Callable[[RawNode], Node] | None = getattr(self, f"lower_{node.op}", None)
        if node.op in BINARY:
            method = self.operand
        try:
            if method is None:
                raise UnsupportedError("operator unknown, so the file cannot be read")
            return method(node)
        except UnsupportedError as error:
            raise UnsupportedError(f"node {node}: {error}") from None

    def constant(self, node: RawNode, index: int) -> np.ndarray | None:
        """Return an input that must be constant; None if it is left out."""
        name = node.inputs[index] if len(node.inputs) > index else ""
        if not name:
            return None
        if name not in self.constants:
            raise UnsupportedError(f"its input {name} is computed from the image, not constant")
        return self.constants[name]

    def numbers(self, node: RawNode, key: str, index: int) -> list[Any] | None:
        """Return a setting that is an attribute in older opsets and an input in newer ones."""
        if key in node.attributes:
            return [*node.attributes[key]]
        array = self.constant(node, index)
        return None if array is None or array.size == 0 else array.reshape(-1).tolist()

    def module(self, source: str, **weights: np.ndarray | None) -> str:
        """Keep weights under the file's name of the first, `.weight` or `.w_0` aside."""
        if source not in self.names:
            path = ".".join(_part(word) for word in SUFFIX.sub("", source).split("."))
            taken = set(self.names.values())
            while path in taken or any(key.startswith(f"{path}.") for key in self.state):
                path += "_"
            self.names[source] = path
            for key, value in weights.items():
                if value is not None:
                    self.state[f"{path}.{key}"] = value
        return self.names[source]

    def operand(self, node: RawNode) -> Node:
        """Lower arithmetic with a constant: in Add and Mul a weight, unless it is a number."""
        first = node.inputs[0] in self.constants
        name, x = node.inputs if first else node.inputs[::-1]
        value = self.constants[name]
        if value.ndim > 4 or value.dtype.kind != "f":
            raise UnsupportedError(f"its operand {name} is no array of floats for images")
        number = float(value.reshape(-1)[0]) if value.size == 1 else None
        fixed = number is not None and (2 * number).is_integer()
        if number is not None and (fixed or node.op in ("Div", "Sub")):
            return Node(f"{node.op}Number", [x], node.outputs[0], dict(number=number, first=first))
        if node.op in ("Div", "Sub"):
            raise UnsupportedError("divides or subtracts an array, which is not read")
        path = self.module(name, value=value)
        return Node(f"{node.op}Weight", [x], node.outputs[0], dict(shape=[*value.shape]), path)

    def convolution(self, node: RawNode) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the settings of either kind of convolution, and its weights."""
        weight = self.constant(node, 1)
        if weight is None:
            raise UnsupportedError("has no weight")
        if weight.ndim != 4:
            raise UnsupportedError(f"a convolution of {weight.ndim - 2} dimensions")
        facts = dict(
            kernel=[*weight.shape[2:]],
            groups=node.attributes.get("group", 1),
            bias=len(node.inputs) > 2 and bool(node.inputs[2]),
            **window(node, weight.shape[2:]),
        )
        return facts, dict(weight=weight, bias=self.constant(node, 2))

    def lower_Conv(self, node: RawNode) -> Node:  # noqa: N802, named after the operator, as below
        facts, weights = self.convolution(node)
        outputs, inputs = weights["weight"].shape[:2]
        facts.update(inputs=inputs * facts["groups"], outputs=outputs)
        return one_to_one(node, self.module(node.inputs[1], **weights), **facts)

    def lower_ConvTranspose(self, node: RawNode) -> Node:  # noqa: N802
        facts, weights = self.convolution(node)
        inputs, outputs = weights["weight"].shape[:2]
        facts.update(inputs=inputs, outputs=outputs * facts["groups"])
        facts["output_padding"] = node.attributes.get("output_padding", [0, 0])
        if facts["padding"][:2] != facts["padding"][2:] or "output_shape" in node.attributes:
            raise UnsupportedError("a transposed convolution with uneven pads")
        return one_to_one(node, self.module(node.inputs[1], **weights), **facts)

    def lower_BatchNormalization(self, node: RawNode) -> Node:  # noqa: N802
        keys = ("weight", "bias", "running_mean", "running_var")
        weights = {key: self.constant(node, i) for i, key in enumerate(keys, start=1)}
        if any(value is None or value.ndim != 1 for value in weights.values()):
            raise UnsupportedError("a batch norm without its four vectors")
        weights["num_batches_tracked"] = np.array(0)
        return one_to_one(
            node,
            self.module(node.inputs[1], **weights),
            channels=len(weights["weight"]),  # type: ignore[arg-type]  # none is None by now
            eps=node.attributes.get("epsilon", 1e-5),
            momentum=1 - node.attributes.get("momentum", 0.9),  # PyTorch's is the share of the new
        )

    def lower_Clip(self, node: RawNode) -> Node:  # noqa: N802
        low, high = clip_limits(node, self.constants)
        return one_to_one(node, low=low, high=high)

    def lower_HardSigmoid(self, node: RawNode) -> Node:  # noqa: N802
        slope, shift = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
        return one_to_one(node, slope=slope, shift=shift)

    def lower_LeakyRelu(self, node: RawNode) -> Node:  # noqa: N802
        return one_to_one(node, slope=node.attributes.get("alpha", 0.01))

    def lower_ReduceMean(self, node: RawNode) -> Node:  # noqa: N802
        axes = self.numbers(node, "axes", 1)
        if axes is None or not node.attributes.get("keepdims", 1):
            raise UnsupportedError("a mean over all axes, or without keeping them")
        return one_to_one(node, axes=axes)

    def pool(self, node: RawNode) -> Node:
        kernel = node.attributes["kernel_shape"]
        facts: dict[str, Any] = dict(kernel=kernel, **window(node, kernel))
        facts["ceil"] = bool(node.attributes.get("ceil_mode", 0))
        facts["count_pads"] = bool(node.attributes.get("count_include_pad", 0))
        if facts["ceil"] and any(facts["padding"]):
            raise UnsupportedError("pads and rounds sizes up at once")
        return one_to_one(node, **facts)

    lower_MaxPool = lower_AveragePool = pool  # noqa: N815

    def lower_Concat(self, node: RawNode) -> Node:  # noqa: N802
        if any(name in self.constants for name in node.inputs):
            raise UnsupportedError("joins a constant to a tensor")
        return Node("Concat", node.inputs, node.outputs[0], dict(axis=node.attributes["axis"]))

    def lower_Pad(self, node: RawNode) -> Node:  # noqa: N802
        pads = self.numbers(node, "pads", 1)
        value = self.constant(node, 2)
        if pads is None or len(pads) != 8 or any([*pads[:2], *pads[4:6]]):
            raise UnsupportedError("pads something else than height and width")
        if node.attributes.get("mode", "constant") != "constant" or min(pads) < 0:
            raise UnsupportedError("pads with something else than a constant")
        number = 0.0 if value is None else float(value.reshape(()))
        return one_to_one(node, padding=[*pads[2:4], *pads[6:]], value=number)

    def lower_Upsample(self, node: RawNode) -> Node:  # noqa: N802, Resize before opset 10
        return self.resize(node, {**OLD_RULE, **node.attributes}, scales=1)

    def lower_Resize(self, node: RawNode) -> Node:  # noqa: N802
        if len(node.inputs) > 3 and node.inputs[3]:
            raise UnsupportedError(
                "resizes to a fixed or computed size, so the network takes images of one size; "
                "export it with a dynamic height and width"
            )
        if len(node.inputs) == 2:  # opset 10
            return self.lower_Upsample(node)
        return self.resize(node, node.attributes, scales=2)

    def resize(self, node: RawNode, given: dict[str, Any], scales: int) -> Node:
        """Lower a resize by settings and the input of the number `scales`."""
        factors, mode = self.numbers(node, "scales", scales), given.get("mode", "nearest")
        if factors is None or len(factors) != 4 or factors[:2] != [1, 1]:
            raise UnsupportedError(f"resizes by {factors}, which is no scale of height and width")
        rule = given.get("coordinate_transformation_mode", "half_pixel")
        if mode == "nearest":
            how = (rule, given.get("nearest_mode", "round_prefer_floor"))
            whole = all(float(factor).is_integer() for factor in factors)
            if how not in REPEATING or not (whole or how == ("asymmetric", "floor")):
                raise UnsupportedError(
                    f"chooses nearest pixels by {', '.join(how)}, scales {factors}"
                )
        elif mode != "linear" or rule not in (*HALF_PIXEL, "align_corners"):
            raise UnsupportedError(f"resizes by {mode}, {rule}")
        align = mode == "linear" and rule == "align_corners"
        facts = dict(scales=factors[2:], mode=mode, align=align)
        return Node("Resize", node.inputs[:1], node.outputs[0], facts)


def one_to_one(node: RawNode, path: str = "", **facts: Any) -> Node:
    """Write a node of one tensor, with its settings and the path of the module of its weights."""
    return Node(node.op, node.inputs[:1], node.outputs[0], facts, path)


def window(node: RawNode, kernel: Sequence[int]) -> dict[str, list[int]]:
    """Settings of a sliding window: stride, dilation and pads (top, left, bottom, right).

    Automatic pads depend on the size of the image; these are exact where it is a multiple of the
    stride, as all sizes here are.
    """
    stride = [*node.attributes.get("strides", [1, 1])]
    dilation = [*node.attributes.get("dilations", [1, 1])]
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if automatic in ("NOTSET", ""):
        padding = [*node.attributes.get("pads", [0, 0, 0, 0])]
    elif automatic == "VALID":
        padding = [0, 0, 0, 0]
    elif node.op == "ConvTranspose":
        raise UnsupportedError("a transposed convolution with automatic pads")
    else:
        spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
        totals = [max(span - s, 0) for span, s in zip(spans, stride)]
        rounded = math.ceil if automatic == "SAME_LOWER" else math.floor
        start = [rounded(total / 2) for total in totals]
        padding = [*start, *(total - s for total, s in zip(totals, start))]
    if len(padding) != 4 or len(stride) != 2 or len(dilation) != 2:
        raise UnsupportedError("its window has not two dimensions")
    return dict(stride=stride, dilation=dilation, padding=padding)


def _part(word: str) -> str:
    """Make a word of a file's name one of a module's path, none of the names modules have."""
    return f"{word}_" if not word or word in OWN or hasattr(nn.Module, word) else word


OWN = ("graph", "graph_bytes", "head_branch", "norm_eval", "out_channels", "spent", "training")
