"""Bring a file's graph to one style: what is constant computed, what is spelt out named.

Exporters write the same network in many ways: weights as `Constant` nodes, an `Identity` behind
each node, the bias of a convolution as an addition, GELU and hard swish as four or five nodes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dbnet.errors import UserError
from dbnet.foreign.read import RawGraph, RawNode, onnx_package, to_array

PASSED_ON = ("Identity", "Dropout", "Cast")  # Cast: all floats are float32 here
# Computed where all inputs are constant. None of them makes much of little.
FOLDED = {"Add", "Concat", "Div", "Gather", "Mul", "Reshape", "Slice", "Sqrt"}
FOLDED |= {"Squeeze", "Sub", "Transpose", "Unsqueeze"}
# What an exporter puts between the shape of a tensor and the `sizes` of a Resize.
SHAPE_OPERATORS = ("Cast", "Concat", "Gather", "Shape", "Slice", "Squeeze", "Unsqueeze")


def normalise(raw: RawGraph, path: Path) -> RawGraph:
    """Return an equal graph in which every node computes something on a tensor with pixels.

    A graph that is cyclic or damaged is refused.
    """
    graph = fold(raw, path)
    resize_to_tensors(graph)
    graph = needed(graph)
    for fuse in (fuse_bias, fuse_gelu, fuse_hard_swish):
        fuse(graph)
        graph = needed(graph)
    return graph


def fold(raw: RawGraph, path: Path) -> RawGraph:
    """Compute what is constant and drop what only passes a tensor on."""
    constants, nodes = dict(raw.constants), []
    names = {raw.input: raw.input}  # of each tensor so far, that of the one it equals
    for node in raw.nodes:
        inputs = [names.get(name, name) for name in node.inputs]
        lost = next((n for n in inputs if n and n not in names and n not in constants), None)
        if lost is not None:
            raise UserError(
                f"{path}: node {node} reads {lost}, which no node before it makes: the graph is "
                "cyclic or damaged"
            )
        output = node.outputs[0]
        if node.op in PASSED_ON:
            names[output] = inputs[0]
        elif node.op == "Constant" or (
            node.op in FOLDED and all(name in constants for name in inputs if name)
        ):
            constants[output] = compute(node, [constants.get(name) for name in inputs], path)
        else:
            names[output] = output
            nodes.append(RawNode(node.op, inputs, node.outputs, node.attributes, node.name))
    if names.get(raw.output, raw.input) == raw.input or names[raw.output] in constants:
        raise UserError(f"{path}: no node makes the output {raw.output} from the image")
    return RawGraph(nodes, constants, raw.input, names[raw.output])


def compute(node: RawNode, inputs: list[np.ndarray | None], path: Path) -> np.ndarray:
    """Compute a node whose inputs are constant, by ONNX's reference implementation."""
    onnx = onnx_package()
    try:
        if node.op == "Constant":
            if "value" in node.attributes:
                return to_array(node.attributes["value"])
            return np.asarray(next(iter(node.attributes.values())))
        names = [f"x{i}" if array is not None else "" for i, array in enumerate(inputs)]
        proto = onnx.helper.make_node(node.op, names, ["y"], **node.attributes)
        feeds = {name: array for name, array in zip(names, inputs) if name}
        return np.asarray(onnx.reference.ReferenceEvaluator(proto).run(None, feeds)[0])
    except MemoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: node {node} cannot be computed ({reason})") from None


def needed(graph: RawGraph) -> RawGraph:
    """Leave out the nodes on which the output does not depend."""
    wanted, kept = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.outputs[0] in wanted:
            wanted.update(name for name in node.inputs if name)
            kept.append(node)
    return RawGraph(kept[::-1], graph.constants, graph.input, graph.output)


def resize_to_tensors(graph: RawGraph) -> None:
    """Turn a Resize to the height and width of a tensor, found by shapes, into `ResizeLike`."""
    makers = {node.outputs[0]: node for node in graph.nodes}
    for node in graph.nodes:
        if node.op != "Resize" or len(node.inputs) < 4 or node.inputs[3] in graph.constants:
            continue
        sources = set(shape_sources(node.inputs[3], makers)) - {node.inputs[0]}
        other = sources.pop() if len(sources) == 1 else None
        if other is not None:
            node.op, node.inputs = "ResizeLike", [node.inputs[0], other]


def shape_sources(name: str, makers: dict[str, RawNode]) -> Iterator[str | None]:
    """Yield the tensors whose sizes, unchanged, a tensor of sizes is made of; None for others."""
    node = makers.get(name)
    if node is None:
        return  # a constant
    if node.op not in SHAPE_OPERATORS:
        yield None
    elif node.op == "Shape":
        yield node.inputs[0]
    else:
        for source in node.inputs:
            yield from shape_sources(source, makers)


class Uses:
    """Who makes and who reads each tensor of a graph."""

    def __init__(self, graph: RawGraph) -> None:
        self.graph = graph
        self.makers = {node.outputs[0]: node for node in graph.nodes}
        self.readers: dict[str, list[RawNode]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)

    def only_reader(self, node: RawNode, *ops: str) -> RawNode | None:
        """Return the one node that reads another's output, if it is one of `ops`."""
        readers = self.readers.get(node.outputs[0], [])
        alone = len(readers) == 1 and node.outputs[0] != self.graph.output
        return readers[0] if alone and readers[0].op in ops else None

    def number(self, node: RawNode) -> float | None:
        """Return the constant operand of a node, if it is a single number."""
        arrays = [self.graph.constants.get(name) for name in node.inputs]
        numbers = [float(a.reshape(())) for a in arrays if a is not None and a.size == 1]
        return numbers[0] if len(numbers) == 1 else None

    def factor(self, node: RawNode) -> float | None:
        """Return by which number a Mul or Div multiplies a tensor, if it does that."""
        number = self.number(node)
        divides = node.op == "Div" and node.inputs[0] not in self.graph.constants
        if not number or not (divides or node.op == "Mul"):
            return None
        return 1 / number if divides else number

    def tensors(self, node: RawNode) -> list[str]:
        """Return the inputs of a node that are no constants."""
        return [name for name in node.inputs if name and name not in self.graph.constants]


def fuse_bias(graph: RawGraph) -> None:
    """Give a convolution the addition of one number per channel that follows it as its bias."""
    uses = Uses(graph)
    for node in graph.nodes:
        if node.op not in ("Conv", "ConvTranspose") or len(node.inputs) != 2:
            continue
        addition = uses.only_reader(node, "Add")
        if addition is None or len(uses.tensors(addition)) != 1:
            continue
        [name] = [name for name in addition.inputs if name in graph.constants]
        bias = graph.constants[name]
        if bias.ndim in (3, 4) and bias.size == bias.shape[-3] > 0:
            key = f"{name}/bias"
            graph.constants[key] = bias.reshape(-1)
            node.inputs = [*node.inputs, key]
            node.outputs, addition.outputs = addition.outputs, [""]


def fuse_gelu(graph: RawGraph) -> None:
    """Name x / 2 (1 + erf(x / sqrt 2)), in any order of its factors, Gelu."""
    uses = Uses(graph)
    for erf in graph.nodes:
        scaled = uses.makers.get(erf.inputs[0]) if erf.op == "Erf" else None
        added = uses.only_reader(erf, "Add")
        if scaled is None or added is None or uses.number(added) != 1:
            continue
        if close(uses.factor(scaled), 0.5**0.5):
            [x] = uses.tensors(scaled)
            if end := product(uses, added, x, 0.5):
                end.op, end.inputs, end.attributes = "Gelu", [x], {}


def fuse_hard_swish(graph: RawGraph) -> None:
    """Name x clip(x + 3, 0, 6) / 6, in any order of its factors, HardSwish."""
    uses = Uses(graph)
    for clip in graph.nodes:
        added = uses.makers.get(clip.inputs[0]) if clip.op == "Clip" else None
        if added is None or added.op != "Add" or uses.number(added) != 3:
            continue
        if clip_limits(clip, graph.constants) == (0, 6):
            [x] = uses.tensors(added)
            if end := product(uses, clip, x, 1 / 6):
                end.op, end.inputs, end.attributes = "HardSwish", [x], {}


def product(uses: Uses, start: RawNode, x: str, factor: float) -> RawNode | None:
    """Find the node that makes `start`'s output times a tensor times a number, in any order."""
    node, wanted = start, {"tensor", "number"}
    while wanted:
        following = uses.only_reader(node, "Mul", "Div")
        if following is None:
            return None
        others = [name for name in uses.tensors(following) if name != node.outputs[0]]
        maker = uses.makers.get(others[0]) if others else None
        if others == [x] and following.op == "Mul":
            wanted.discard("tensor")
        elif not others and close(uses.factor(following), factor):
            wanted.discard("number")
        elif maker and uses.tensors(maker) == [x] and close(uses.factor(maker), factor):
            wanted.clear()  # these two were multiplied before
        else:
            return None
        node = following
    return node


def clip_limits(node: RawNode, constants: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return the limits of a Clip, which are attributes before opset 11 and inputs since."""
    limits: list[float | None] = []
    for index, key in ((1, "min"), (2, "max")):
        name = node.inputs[index] if len(node.inputs) > index else ""
        value = constants[name].reshape(()) if name in constants else node.attributes.get(key)
        limits.append(None if value is None else float(value))
    return limits[0], limits[1]


def close(value: float | None, expected: float) -> bool:
    return value is not None and abs(value - expected) < 1e-5 * expected
