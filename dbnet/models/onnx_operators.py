"""The operators of foreign graphs as PyTorch has them, and a module that computes a graph."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dbnet.foreign.graph import Graph, Node


class Weighted(nn.Module):
    """Add a weight to a tensor, or multiply by it; the weight broadcasts from the right."""

    def __init__(self, shape: Sequence[int], multiply: bool) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(tuple(shape)))
        self.multiply = multiply

    def forward(self, x: Tensor) -> Tensor:
        """Compute it for a tensor (N, C, H, W)."""
        return x * self.value if self.multiply else x + self.value


class PaddedConv2d(nn.Conv2d):
    """A convolution with pads of its own at each side, (top, left, bottom, right)."""

    def __init__(self, *args: Any, pads: Sequence[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pads = tuple(pads)

    def forward(self, x: Tensor) -> Tensor:
        """Compute it for a tensor (N, C, H, W)."""
        return super().forward(pad(x, self.pads))


def convolution(
    inputs: int, outputs: int, kernel: Any, padding: Sequence[int], **facts: Any
) -> nn.Module:
    """Build a convolution; even pads, which are most, go into PyTorch's own."""
    settings: Any = tuples(facts)
    if padding[:2] != padding[2:]:
        return PaddedConv2d(inputs, outputs, tuple(kernel), pads=padding, **settings)
    settings["padding"] = tuple(padding[:2])
    return nn.Conv2d(inputs, outputs, tuple(kernel), **settings)


def transposed(
    inputs: int, outputs: int, kernel: Any, padding: Sequence[int], **facts: Any
) -> nn.Module:
    """Build a transposed convolution, whose pads are even."""
    settings: Any = dict(tuples(facts), padding=tuple(padding[:2]))
    return nn.ConvTranspose2d(inputs, outputs, tuple(kernel), **settings)


def tuples(facts: dict[str, Any]) -> dict[str, Any]:
    """Turn the lists of a node's attributes into what PyTorch wants."""
    return {key: tuple(fact) if isinstance(fact, list) else fact for key, fact in facts.items()}


# What builds the module of an operator with weights, from the node's attributes.
MODULES: dict[str, Callable[..., nn.Module]] = {
    "Conv": convolution,
    "ConvTranspose": transposed,
    "BatchNormalization": lambda channels, **facts: nn.BatchNorm2d(channels, **facts),
    "AddWeight": lambda shape: Weighted(shape, multiply=False),
    "MulWeight": lambda shape: Weighted(shape, multiply=True),
}


def pad(x: Tensor, padding: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad (N, C, H, W) at (top, left, bottom, right)."""
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom), value=value)


def max_pool(x: Tensor, kernel: Any, stride: Any, padding: list[int], **facts: Any) -> Tensor:
    if any(padding):
        x = pad(x, padding, float("-inf"))
    return F.max_pool2d(x, kernel, stride, 0, facts["dilation"], facts["ceil"])


def average_pool(x: Tensor, kernel: Any, stride: Any, padding: list[int], **facts: Any) -> Tensor:
    ceil, count_pads = facts["ceil"], facts["count_pads"]
    if padding[:2] == padding[2:]:
        return F.avg_pool2d(x, kernel, stride, padding[:2], ceil, count_pads)
    total = F.avg_pool2d(pad(x, padding), kernel, stride)
    if count_pads:
        return total
    return total / F.avg_pool2d(pad(torch.ones_like(x[:1, :1]), padding), kernel, stride)


def resize(x: Tensor, scales: Sequence[float], mode: str, align: bool) -> Tensor:
    if mode == "nearest":
        return F.interpolate(x, scale_factor=list(scales), mode="nearest")
    return F.interpolate(x, scale_factor=list(scales), mode="bilinear", align_corners=align)


def with_number(op: Callable[[Any, Any], Tensor]) -> Callable[..., Tensor]:
    """Compute with a plain number, which may come first."""

    def compute(x: Tensor, number: float, first: bool) -> Tensor:
        return op(number, x) if first else op(x, number)

    return compute


# What computes an operator without weights, from tensors and the node's attributes.
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "AddNumber": with_number(lambda a, b: a + b),
    "AveragePool": average_pool,
    "Clip": lambda x, low, high: x.clamp(low, high),
    "Concat": lambda *tensors, axis: torch.cat(tensors, axis),
    "Div": torch.div,
    "DivNumber": with_number(lambda a, b: a / b),
    "Erf": torch.erf,
    "Gelu": F.gelu,
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "HardSigmoid": lambda x, slope, shift: (x * slope + shift).clamp(0, 1),
    "HardSwish": F.hardswish,
    "LeakyRelu": lambda x, slope: F.leaky_relu(x, slope),
    "Logit": lambda x: torch.logit(x, eps=1e-6),  # float32 still tells 1 - 1e-6 from 1
    "MaxPool": max_pool,
    "Mul": torch.mul,
    "MulNumber": with_number(lambda a, b: a * b),
    "Pad": pad,
    "ReduceMean": lambda x, axes: x.mean(axes, keepdim=True),
    "Relu": F.relu,
    "Resize": resize,
    "ResizeLike": lambda x, other: F.interpolate(x, size=other.shape[2:], mode="nearest"),
    "Sigmoid": torch.sigmoid,
    "Softplus": F.softplus,
    "Sub": torch.sub,
    "SubNumber": with_number(lambda a, b: a - b),
    "Tanh": torch.tanh,
}


def keep_statistics(module: nn.Module) -> None:
    """Make every batch norm in a module use its running statistics and leave them."""
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()


class GraphModule(nn.Module):
    """Computes a graph, its weights in modules below the names of the file.

    Args:
        graph: Nodes in order, from one tensor to one other.
        norm_eval: Keep the running statistics of every batch norm fixed in training.
    """

    def __init__(self, graph: Graph, norm_eval: bool = True) -> None:
        super().__init__()
        self.graph = graph
        self.norm_eval = norm_eval
        for node in graph.nodes:
            if node.op in MODULES:
                place(self, node.name, functools.partial(MODULES[node.op], **node.attributes))
            elif node.op not in FUNCTIONS:
                raise ValueError(f"operator {node.op} of the graph is unknown")
        last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
        last[graph.output] = len(graph.nodes)
        # After each node, the tensors that nothing reads any more.
        self.spent = [
            [n for n in node.inputs if last[n] == i] for i, node in enumerate(graph.nodes)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Map the graph's input, (N, C, H, W), to its output."""
        values = {self.graph.input: x}
        for node, spent in zip(self.graph.nodes, self.spent):
            values[node.output] = self.compute(node, [values[name] for name in node.inputs])
            for name in spent:
                values.pop(name, None)
        return values[self.graph.output]

    def train(self, mode: bool = True) -> "GraphModule":
        super().train(mode)
        if mode and self.norm_eval:
            keep_statistics(self)
        return self

    def compute(self, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        """Compute a node."""
        if node.op in MODULES:
            return self.get_submodule(node.name)(*inputs)
        return FUNCTIONS[node.op](*inputs, **node.attributes)


def place(root: nn.Module, path: str, build: Callable[[], nn.Module]) -> None:
    """Build a module at a dotted path, with plain ones above it; what is there stays."""
    *above, name = path.split(".")
    for part in above:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    if name not in root._modules:
        root.add_module(name, build())
