"""int8 networks, by the tools of the runtimes; sensitive layers stay in floating point."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from dbnet.deploy.exported_network import make_input
from dbnet.deploy.graphs import quiet_logging
from dbnet.deploy.metadata import Metadata
from dbnet.deploy.requirements import needs
from dbnet.images import find_images, read_displayed
from dbnet.resizing import fitted_size
from dbnet.utils.log import log

MAX_IMAGES = 100  # of the folder, evenly taken
PROBES = 2  # images on which each layer's loss is measured, of this (W, H)
PROBE_SIZE = (640, 384)
# A layer stays in floating point if it alone costs more than so many times the mean of all. On the
# 100 validation images of ICDAR2015 the shipped detector's hmean lost .006 at 4 (2 of 85 layers)
# and nothing at 2 and 1.5; on the 500 test images at 1024 it lost .006 at 2 (8 layers).
SENSITIVE = 1.5


def quantize_onnx(path: Path, graph: nn.Module, folder: Path, metadata: Metadata) -> None:
    """Quantise an ONNX file in its place: static, QDQ, weights per channel.

    Dynamic or per-tensor scales ruin depthwise convolutions.
    """
    onnx = needs("onnx", "to write int8")
    from onnxruntime import quantization as tool
    from onnxruntime.quantization.shape_inference import quant_pre_process

    paths = choose(folder)
    left_out = sensitive_layers(graph, paths, metadata)
    batches = (read_input(path, metadata) for path in paths)

    class Reader(tool.CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            x = next(batches, None)
            return None if x is None else {"x": x}

    log(f"int8: calibrating on {len(paths)} images")
    prepared = path.with_name("prepared.onnx")
    quant_pre_process(str(path), str(prepared), skip_optimization=True, skip_symbolic_shape=True)
    nodes = onnx.load(prepared).graph.node
    kinds = ["Conv", "ConvTranspose"]
    # A weight is named as its layer: "detector.neck.conv.weight".
    convolutions = [node for node in nodes if node.op_type in kinds]
    excluded = [n.name for n in convolutions if n.input[1].removesuffix(".weight") in left_out]
    with quiet_logging():
        tool.quantize_static(
            str(prepared),
            str(path),
            Reader(),
            quant_format=tool.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tool.QuantType.QUInt8,
            weight_type=tool.QuantType.QInt8,
            op_types_to_quantize=kinds,
            nodes_to_exclude=excluded,
        )


def quantize_openvino(model: Any, graph: nn.Module, folder: Path, metadata: Metadata) -> Any:
    """Quantise an OpenVINO model by NNCF; arguments as in `quantize_onnx`."""
    nncf = needs("nncf", "to write int8 for OpenVINO")
    paths = choose(folder)
    left_out = sensitive_layers(graph, paths, metadata)
    names = [op.get_friendly_name() for op in model.get_ops() if "onvolution" in op.get_type_name()]
    # Such as __module.detector.backbone.stem.conv1/aten::_convolution/Convolution
    ignored = [n for n in names if n.split("/")[0].removeprefix("__module.") in left_out]
    log(f"int8: calibrating on {len(paths)} images")
    data = nncf.Dataset(paths, lambda path: read_input(path, metadata))
    with quiet_logging():
        return nncf.quantize(
            model,
            data,
            subset_size=len(paths),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=ignored),
        )


def choose(folder: Path) -> list[str]:
    """Take `MAX_IMAGES` of a folder's images, evenly."""
    paths = find_images([folder])
    step = max(len(paths) / MAX_IMAGES, 1)
    return [paths[int(i * step)] for i in range(min(len(paths), MAX_IMAGES))]


def read_input(path: str, metadata: Metadata) -> np.ndarray:
    """Read an image as the network gets it, (1, 3, H, W)."""
    image = read_displayed(path)
    size = fitted_size((image.shape[1], image.shape[0]), **metadata.resize)
    return make_input([cv2.resize(image, size)], metadata)


def sensitive_layers(graph: nn.Module, paths: Sequence[str], metadata: Metadata) -> set[str]:
    """Find the layers that cost `SENSITIVE` times the mean of all if they alone are int8."""
    layers = [
        (name, layer)
        for name, layer in graph.named_modules()
        if type(layer) in (nn.Conv2d, nn.ConvTranspose2d)
    ]
    log(f"int8: measuring what each of {len(layers)} layers costs alone")
    chosen = [cv2.resize(read_displayed(path), PROBE_SIZE) for path in paths[:PROBES]]
    x = torch.from_numpy(make_input(chosen, metadata))
    with torch.inference_mode():
        expected = graph(x)
        costs = {}
        for name, layer in layers:
            with in_int8(layer):
                costs[name] = float((graph(x) - expected).abs().mean())
    mean = sum(costs.values()) / max(len(costs), 1)
    left_out = {name for name, cost in costs.items() if cost > SENSITIVE * mean}
    names = ", ".join(name.removeprefix("detector.") for name in sorted(left_out)) or "none"
    log(f"int8: layers left in floating point: {names}")
    return left_out


@contextmanager
def in_int8(layer: nn.Conv2d | nn.ConvTranspose2d) -> Iterator[None]:
    """Let a layer compute on 8 bits: its input per tensor, its weights per output channel."""

    def round_input(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (rounded(args[0]),)

    weight = layer.weight.data
    channel = 1 if isinstance(layer, nn.ConvTranspose2d) and layer.groups == 1 else 0
    hook = layer.register_forward_pre_hook(round_input)
    layer.weight.data = rounded_per_channel(weight, channel)
    try:
        yield
    finally:
        hook.remove()
        layer.weight.data = weight


def rounded(x: Tensor) -> Tensor:
    """Round to 256 steps from the least to the greatest value, 0 among them.

    >>> rounded(torch.tensor([0.0, 0.4, 100.4, 255.0])).tolist()
    [0.0, 0.0, 100.0, 255.0]
    """
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    step = (high - low) / 255 or 1.0
    return ((x - low) / step).round() * step + low


def rounded_per_channel(weight: Tensor, axis: int) -> Tensor:
    """Round to 127 steps on either side of 0, of a size of its own for each channel of `axis`."""
    others = [i for i in range(weight.ndim) if i != axis]
    step = weight.abs().amax(others, keepdim=True).clamp(min=1e-12) / 127
    return (weight / step).round() * step
