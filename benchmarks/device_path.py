"""Compare training samples made on a device with those made by the transforms on the host.

    python benchmarks/device_path.py CONFIG --data-root DIR [--images 64] [--device cpu] [--profile]

prints how far the two agree, what goes over the bus, how many operations a batch takes, and the
time of both on one core. On a GPU the time is that of the device, measured by events.
"""

import argparse
import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.utils._pytree as pytree
from mmengine.registry import init_default_scope
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dbnet.config.load import load_config
from dbnet.datasets import SampleKey, collate_text_det
from dbnet.datasets.device import collate_plans, plan_dataset
from dbnet.registry import DATASETS

BINARY = ("shrink_map", "shrink_mask", "thresh_mask")
REPEATS = 3


class CountOperations(TorchDispatchMode):
    """Count the operations on tensors, views apart, and the bytes that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            read = [value for value in pytree.tree_leaves(args) if isinstance(value, Tensor)]
            written = [value for value in pytree.tree_leaves(result) if isinstance(value, Tensor)]
            if func.overloadpacket is torch.ops.aten.index:
                read[0] = written[0]  # only the pixels that are gathered
            elif func.overloadpacket is torch.ops.aten.scatter_reduce_:
                read[0] = written[0] = args[3]  # only those that are scattered to
            self.counts[func.overloadpacket.__name__] += 1
            self.bytes[func.overloadpacket.__name__] += sum(num_bytes(t) for t in read + written)
        return result


def num_bytes(tensor: Tensor) -> int:
    """Count the bytes of a tensor, each once, though it be expanded."""
    sizes = [size for size, stride in zip(tensor.shape, tensor.stride()) if stride]
    return math.prod(sizes) * tensor.itemsize


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--data-root")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--epoch", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--profile", action="store_true", help="print the operations of a batch")
    return parser.parse_args()


def compare(host: dict, device: dict, sums: dict[str, list[float]]) -> None:
    """Add the differences of two batches to `sums`."""
    pixels = (host["inputs"].int() - device["inputs"].cpu().int()).abs().double()
    sums["pixels, mean of 255"].append(pixels.mean().item())
    sums["pixels, max of 255"].append(pixels.max().item())
    for name, expected in host["targets"].items():
        difference = (expected - device["targets"][name].cpu()).abs().double()
        kind = "share of pixels" if name in BINARY else "max"
        value = (difference > 0).double().mean() if name in BINARY else difference.max()
        sums[f"{name}, {kind}"].append(value.item())


def least_seconds(function: Callable[[], object], device: torch.device) -> float:
    """Run a function several times and return the least time, of the device if it is a GPU."""
    seconds = []
    for _ in range(REPEATS):
        if device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            function()
            end.record()
            torch.cuda.synchronize()
            seconds.append(start.elapsed_time(end) / 1e3)
        else:
            started = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    args = parse_args()
    init_default_scope("dbnet")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    config = load_config(args.config, data_root=args.data_root)
    device = torch.device(args.device)
    dataset = DATASETS.build({**config.train_dataloader.dataset, "indices": args.images})
    planned, maker = plan_dataset(dataset, device, None, logging.getLogger())
    print(f"store: {maker.store.numel() / 1e6:.1f} MB for {len(dataset)} images")

    keys = [SampleKey(0, args.epoch, i) for i in range(len(dataset))]
    parts = [keys[i : i + args.batch_size] for i in range(0, len(keys), args.batch_size)]
    sums: dict[str, list[float]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    cpu = torch.device("cpu")
    for part in parts:
        host = collate_text_det([dataset[key] for key in part])
        plans = collate_plans([planned[key] for key in part])
        compare(host, maker(plans), sums)
        host_bytes = sum(map_.nbytes for map_ in host["targets"].values()) + host["inputs"].nbytes
        sums["bytes over the bus, host"].append(host_bytes / len(part))
        sums["bytes over the bus, device"].append(plans["plans"].buffer.nbytes / len(part))
        sums["pixels of windows"].append(sum(c.num_pixels for c in plans["plans"].chunks))
        for name, function, where in (
            ("host: sample", lambda p=part: collate_text_det([dataset[k] for k in p]), cpu),
            ("device: plan", lambda p=part: collate_plans([planned[k] for k in p]), cpu),
            ("device: make", lambda p=plans: maker(p), device),
        ):
            seconds[name].append(least_seconds(function, where) / len(part))
        with CountOperations() as counting:
            maker(plans)
        sums["operations of a batch"].append(counting.counts.total())
        sums["their bytes of memory, 1e9"].append(counting.bytes.total() / 1e9)
    for name, values in sums.items():
        print(f"{name:34s} mean {np.mean(values):12.6g}   largest batch {np.max(values):12.6g}")
    for name, values in seconds.items():
        print(f"{name:34s} {np.mean(values) * 1e3:8.3f} ms an image, {1 / np.mean(values):8.1f}/s")
    if args.profile:
        for name, traffic in counting.bytes.most_common():
            print(f"{name:20s} {counting.counts[name]:3d} times, {traffic / 1e6:8.1f} MB")


if __name__ == "__main__":
    main()
