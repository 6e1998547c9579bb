"""PP-OCRv6's text detectors, from the ONNX files that PaddleOCR and RapidOCR distribute."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dbnet.errors import UserError
from dbnet.registry import MODELS
from dbnet.utils.files import refuse_special

CONVOLUTIONS = ("Conv", "ConvTranspose")
OTHER = "no small detector of PP-OCRv6, and other models cannot be converted"


def read_ppocr_onnx(path: Path) -> dict[str, Tensor]:
    """Read the weights of PP-OCRv6's small detector by the names of our parts.

    The file names its tensors by running numbers, so they are matched by their order in the graph,
    which is that of the computation.

    Args:
        path: The ONNX file, such as `PP-OCRv6_det_small.onnx` of RapidOCR.

    Returns:
        The state dict of backbone, neck and head; the file has no threshold branch.

    Raises:
        UserError: It is no such file, or the package `onnx` is not installed.
    """
    weights = list(_read_convolutions(path))
    names = list(_convolution_names())
    if len(weights) != len(names):
        raise UserError(f"{path}: {OTHER}: {len(weights)} convolutions, not {len(names)}")
    state = {}
    for name, (weight, bias) in zip(names, weights):
        state[f"{name}.weight"] = weight
        if bias is not None:
            state[f"{name}.bias"] = bias
    _check_shapes(state, path)
    return state


def _read_convolutions(path: Path) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield weight and bias of every convolution of the graph, in its order."""
    graph, values = _read_graph(path)
    passed_on = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input}
    # A bias is an addition of its own, right after its convolution.
    biases = {
        passed_on.get(node.input[0], node.input[0]): values[node.input[1]]
        for node in graph.node
        if node.op_type == "Add" and len(node.input) == 2 and _is_bias(values.get(node.input[1]))
    }
    for node in graph.node:
        if node.op_type in CONVOLUTIONS:
            weight = values.get(node.input[1]) if len(node.input) > 1 else None
            if weight is None:
                name = node.name or node.output[0]
                raise UserError(f"{path}: {OTHER}: the weight of {name} is no number in it")
            bias = biases.get(node.output[0])
            yield (
                torch.from_numpy(weight.copy()),
                None if bias is None else torch.from_numpy(bias.reshape(-1).copy()),
            )


def _is_bias(value: np.ndarray | None) -> bool:
    return value is not None and value.ndim == 4


def _read_graph(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Read an ONNX file: its graph, and the arrays of floats in it by their names."""
    try:
        import onnx
    except ImportError:
        raise UserError("ONNX files are read with the package onnx: pip install onnx") from None
    try:
        refuse_special(path)
        graph = onnx.load(str(path)).graph
        arrays = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    except MemoryError:
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged or foreign file can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: damaged or no ONNX file ({reason})") from None
    return graph, {name: array for name, array in arrays.items() if array.dtype.kind == "f"}


def _parts() -> dict[str, nn.Module]:
    backbone = MODELS.build(dict(type="PPLCNetV4"))
    neck = MODELS.build(dict(type="RepLKFPN", in_channels=backbone.out_channels))
    head = MODELS.build(dict(type="DBHead", in_channels=neck.out_channels, norm=False))
    del head.threshold  # which only training needs
    return dict(backbone=backbone, neck=neck, det_head=head)


def _convolution_names() -> Iterator[str]:
    """Name the convolutions of our parts in the order of the graph's computation."""
    for part_name, part in _parts().items():
        names = [
            f"{part_name}.{name}"
            for name, module in part.named_modules()
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        ]
        if part_name == "neck":
            names.sort(key=_order_in_neck)
        yield from names


def _order_in_neck(name: str) -> tuple[bool, int, bool]:
    """Laterals from coarse to fine, then kernel and smoothing of each level, again coarse first."""
    _, group, level = name.split(".")[:3]
    return group != "lateral_convs", -int(level), group == "smooth_convs"


def _check_shapes(state: dict[str, Tensor], path: Path) -> None:
    own = {
        f"{part_name}.{key}": value.shape
        for part_name, part in _parts().items()
        for key, value in part.state_dict().items()
    }
    wrong = [key for key in own if key not in state or state[key].shape != own[key]]
    wrong += [key for key in state if key not in own]
    if wrong:
        raise UserError(f"{path}: {OTHER}: {wrong[0]} does not fit")
