"""Data-parallel training on many GPUs, on paper: what is counted, and what would follow from it.

    OMP_NUM_THREADS=1 python benchmarks/ddp_on_paper.py

Counted here, on a CPU, with one and two images of 640x640 of which 16 follow: the products of
forward, backward and optimizer, the bytes that the operations read and write, the operations, the
gradients and DDP's buckets. Measured, see docs/benchmarks.md: images per second and core. Assumed:
the rates of an H100 from its data sheet, and the model of the communication:

- A step without other GPUs takes as long as its memory traffic, its products or its launches,
  whichever is longest ("best"), or twice that, which is nearer to what kernels reach.
- An all-reduce moves 2 (N - 1) / N times the gradients through the slowest link, for N nodes the
  network card of a node, which all of its GPUs share (NCCL's rings enter and leave a node once).
- It overlaps with the backward pass, 2/3 of the step, but for the last bucket.
"""

import argparse
import math
from typing import Any, NamedTuple

from gpu_rates import R18, build, network_step, work_of
from torch import nn
from torch.optim import AdamW
from train_step import DrawnScenes

from dbnet.datasets import collate_text_det
from dbnet.engine.optim_wrapper import Bfloat16OptimWrapper

R50 = "dbnet_r50dcnv2_fpnc_1200e_icdar2015"
BATCH, SIDE = 16, 640
PRODUCTS, MEMORY, LAUNCH = 989e12, 3.35e12, 5e-6  # H100 SXM, data sheet; seconds of an operation
BUCKETS = (1 << 20, 25 << 20)  # bytes of DDP's first bucket and of the others
BACKWARD = 2 / 3  # of a step
LOSS = 1 / 9  # of a step, that leaves 90 % efficiency
LINKS = {"10 Gbit/s": 1.25e9, "25": 3.1e9, "100": 12.5e9, "400": 50e9, "8 x 400": 400e9}
IMAGES = {"decoding": 118, "cache": 196, "device": 1000 / 1.6}  # per second and core, measured
NODES = {8: 1, 64: 8, 512: 64}  # by GPUs
DATASETS = {"ICDAR2015": 1000, "SynthText": 858750}


class Counted(NamedTuple):
    """Of a step of one GPU: bytes of all gradients and of the last bucket, and its seconds."""

    gradients: int
    buckets: list[int]
    seconds: float


def count(config: str) -> Counted:
    model: Any = build(config).train()
    one, two = (step_work(model, images) for images in (1, 2))
    flops, moved = (one[key] + (BATCH - 1) * (two[key] - one[key]) for key in ("flops", "bytes"))
    limits = dict(memory=moved / MEMORY, products=flops / PRODUCTS)
    limits["launches"] = one["operations"] * LAUNCH
    print(f"\n{config}, {BATCH} images of {SIDE}x{SIDE} per GPU and step")
    print(
        f"  counted: {flops / 1e12:.2f} TFLOP, {moved / 1e9:.1f} GB, {one['operations']} operations"
    )
    print("  by data sheet: " + ", ".join(f"{k} {v * 1e3:.1f} ms" for k, v in limits.items()))
    seconds = max(limits.values())
    print(f"  best: {seconds * 1e3:.1f} ms, {BATCH / seconds:.0f} images per second")
    buckets = buckets_of(model)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    sync = 4 * 4 * sum(norm.num_features for norm in norms)  # two sums there, two back, float32
    print(f"  counted: gradients {sum(buckets) / 1e6:.1f} MB in float32, last bucket", end=" ")
    print(f"{buckets[-1] / 1e6:.1f} MB of {len(buckets)}")
    print(f"  counted: buffers {sum(b.nbytes for b in model.buffers()) / 1e3:.0f} kB", end=", ")
    print(f"SyncBN {sync / 1e3:.0f} kB in {2 * len(norms)} messages a step")
    return Counted(sum(buckets), buckets, seconds)


def step_work(model: Any, images: int) -> dict:
    """Count a step; a step before it allocates the optimizer's state."""
    wrapper = Bfloat16OptimWrapper(AdamW(model.parameters(), lr=0.0, fused=True))
    scenes = DrawnScenes(SIDE, images)
    batch = collate_text_det([scenes[index] for index in range(images)])
    data = model.data_preprocessor(batch, True)
    return work_of(lambda: network_step(model, data, wrapper))


def buckets_of(model: nn.Module) -> list[int]:
    """Bytes of DDP's buckets, from the last layers to the first; full ones are closed."""
    buckets, limit = [0], BUCKETS[0]
    for parameter in reversed([p for p in model.parameters() if p.requires_grad]):
        if buckets[-1] >= limit:
            buckets, limit = [*buckets, 0], BUCKETS[1]
        buckets[-1] += parameter.nbytes
    return buckets


def efficiency(counted: Counted, seconds: float, nodes: int, bandwidth: float) -> float:
    share = 2 * (nodes - 1) / nodes / bandwidth
    total, last = share * counted.gradients, share * counted.buckets[-1]
    return seconds / (seconds + max(total - BACKWARD * seconds, last))


def needed(counted: Counted, seconds: float, nodes: int) -> float:
    """Bytes per second of a node's link for 90 % efficiency."""
    share = 2 * (nodes - 1) / nodes
    overlapped = share * counted.gradients / ((BACKWARD + LOSS) * seconds)
    return max(overlapped, share * counted.buckets[-1] / (LOSS * seconds))


def report(counted: Counted) -> None:
    print("  step     nodes  needs     efficiency with " + ", ".join(LINKS))
    for name, seconds in (("best", counted.seconds), ("twice", 2 * counted.seconds)):
        for nodes in (2, 8, 64):
            cells = [f"{efficiency(counted, seconds, nodes, b):6.0%}" for b in LINKS.values()]
            gbit = 8 * needed(counted, seconds, nodes) / 1e9
            print(f"  {name:8} {nodes:5} {gbit:4.0f} Gbit/s{''.join(cells)}")
    print("  cores of each node of 8 GPUs for the data, best step and twice:")
    rate = 8 * BATCH / counted.seconds
    for way, images in IMAGES.items():
        print(f"    {way:10} {math.ceil(rate / images):5} {math.ceil(rate / 2 / images):5}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for config in (R18, R50):
        report(count(config))
    print("\nsteps of an epoch with 16 images per GPU:")
    for name, images in DATASETS.items():
        steps = {gpus: math.ceil(images / gpus / BATCH) for gpus in (1, *NODES)}
        print(f"  {name:10} " + ", ".join(f"{gpus} GPUs {n}" for gpus, n in steps.items()))


if __name__ == "__main__":
    main()
