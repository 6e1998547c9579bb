import argparse
import json
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
import torchvision  # noqa: F401, registers its operators
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dbnet.checkpoints.foreign import FOREIGN_CONFIG, is_onnx, place_graph
from dbnet.cli.console import command
from dbnet.config.load import load_config
from dbnet.engine.start import config_mistakes_reported, skip_imagenet_weights
from dbnet.errors import UserError
from dbnet.registry import MODELS
from dbnet.utils.bfloat16 import has_fast_bfloat16
from dbnet.utils.text import format_table

MAX_PASSES = 30
MIN_PASSES = 3
MAX_SECONDS = 5.0  # after which a measurement stops, once it has its fewest passes


@command("model-info")
def main(args: argparse.Namespace) -> int:
    """Print what the model of a config weighs and costs; return the exit status."""
    foreign = is_onnx(args.config)
    config = load_config(FOREIGN_CONFIG if foreign else args.config, args.cfg_options)
    if foreign:
        place_graph(config, args.config)
    if config.get("model") is None:
        raise UserError(f"config {args.config}: no model")
    skip_imagenet_weights(config)
    init_default_scope(config.default_scope)
    with config_mistakes_reported(args.config):
        model = MODELS.build(config.model).eval()
    device = args.device or get_device()
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch without CUDA
        reason = str(error).splitlines()[0]
        raise UserError(f"--device {device}: {reason}") from error

    black = torch.zeros(3, *args.size[::-1], dtype=torch.uint8)  # is padded as any image
    inputs = model.data_preprocessor(dict(inputs=[black]))["inputs"]
    info = dict(
        config=Path(args.config).stem,
        input_size=[inputs.shape[3], inputs.shape[2]],
        device=describe_device(inputs.device),
        parameters=count_parameters(model),
        trainable=count_parameters(model, trainable=True),
        flops=count_flops(model, inputs, "predict"),
        flops_with_threshold_map=count_flops(model, inputs, "loss"),
        speed=measure_speed(model, inputs),
    )
    print(json.dumps(info, indent=1) if args.json else "\n".join(format_info(info)))
    return 0


def count_parameters(model: nn.Module, trainable: bool = False) -> dict[str, int]:
    """Count the parameters of each part that has some, and under `total` of the model."""

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)

    parts = {name: count(part) for name, part in model.named_children()}
    return {**{name: number for name, number in parts.items() if number}, "total": count(model)}


@torch.inference_mode()
def count_flops(model: nn.Module, inputs: Tensor, mode: str) -> dict[str, int]:
    """Count the floating-point operations of each part, and under `total` of all.

    A multiply-add counts as 2. Convolutions and matrix products count, as is usual; elementwise
    operations do not. `inputs` are (N, 3, H, W); the head's mode "predict" leaves the threshold
    branch out, "loss" does not.
    """
    own = {torch.ops.torchvision.deform_conv2d: deform_conv_flops}
    flops, output = {}, inputs
    for name, arguments in dict(backbone={}, neck={}, det_head=dict(mode=mode)).items():
        with FlopCounterMode(display=False, custom_mapping=own) as counter:
            output = model.get_submodule(name)(output, **arguments)
        flops[name] = counter.get_total_flops()
    return {**flops, "total": sum(flops.values())}


def deform_conv_flops(
    inputs: Sequence[int], weight: Sequence[int], *_: object, out_shape: Sequence[int], **__: object
) -> int:
    """FLOPs of a deformable convolution: those of the plain one, without the interpolation.

    Shapes are (N, C, H, W), (C', C / groups, kh, kw) and (N, C', H', W').
    """
    return 2 * math.prod(out_shape) * math.prod(weight[1:])


def measure_speed(model: nn.Module, inputs: Tensor) -> dict[str, dict[str, float]]:
    """Time inference in float32 and, where the device computes it natively, in bfloat16.

    Returns:
        By type: `ms`, the median of some passes without the first, and their number `passes`.
    """
    kinds: dict[str, torch.dtype | None] = dict(float32=None)
    if inputs.device.type == get_device() and has_fast_bfloat16():
        kinds["bfloat16"] = torch.bfloat16
    result = {}
    for name, dtype in kinds.items():
        times = time_passes(model, inputs, dtype)
        result[name] = dict(ms=1000 * statistics.median(times), passes=len(times))
    return result


@torch.inference_mode()
def time_passes(model: nn.Module, inputs: Tensor, dtype: torch.dtype | None) -> list[float]:
    """Time forward passes one by one, in seconds, after a first one that is left out."""
    device = inputs.device
    times: list[float] = []
    with torch.autocast(device.type, dtype) if dtype else nullcontext():
        while len(times) <= MAX_PASSES and (len(times) <= MIN_PASSES or sum(times) < MAX_SECONDS):
            start = time.perf_counter()
            model(inputs, mode="tensor")
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter() - start)
    return times[1:]


def describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device} (threads: {torch.get_num_threads()})"


def format_info(info: dict) -> list[str]:
    """Lines for the terminal from what `main` prints as JSON."""
    width, height = info["input_size"]
    rows = [("part", "parameters", "trainable", "GFLOPs", "with threshold map")]
    for name in info["parameters"]:
        counts = [info[key].get(name, 0) for key in ("parameters", "trainable")]
        flops = [info[key].get(name, 0) for key in ("flops", "flops_with_threshold_map")]
        rows.append((name, *(f"{n:,}" for n in counts), *(f"{n / 1e9:.2f}" for n in flops)))
    speed = [
        f"{kind}: {one['ms']:.1f} ms (median of {one['passes']})"
        for kind, one in info["speed"].items()
    ]
    return [
        f"{info['config']}, network input {width}x{height}",
        "",
        *format_table(rows),
        "",
        "FLOPs count 2 per multiply-add, in convolutions and matrix products of one image. Only",
        "training computes the threshold map.",
        "",
        f"forward pass of one image, without pre- and post-processing, on {info['device']}:",
        *speed,
    ]
