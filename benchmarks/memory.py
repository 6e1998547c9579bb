"""Measure the memory that images of many sizes leave resident, ours and RapidOCR's.

    python benchmarks/memory.py [--images 900] [--rapidocr PYTHON] [--models model.onnx model.xml]

Each detector runs in a process and a thread of its own on images of as many sizes, 40 to 700 pixels
a side. Printed: memory at the start, at the end and at its peak, and the time per image. RapidOCR's
is measured if PYTHON, by default this one, can import `rapidocr`. MODELS are files of `dbnet
export`. The goal: less than 1.0 GB.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

AT_ONCE = 10  # images given to a detector, of which ours may work on two

Detect = Callable[[list[np.ndarray]], object]

NAMES = {"ours": "this project, PyTorch", "rapidocr": "RapidOCR, detection alone"}


def gigabytes(key: str) -> float:
    """Read a figure of this process, in 10^9 bytes."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024 / 1e9


def images(count: int) -> list[tuple[int, int]]:
    """Sample (H, W), all of them different."""
    rng = np.random.default_rng(0)
    sizes: dict[tuple[int, int], None] = {}
    while len(sizes) < count:
        height, width = rng.integers(40, 701, 2).tolist()
        sizes[height, width] = None
    return list(sizes)


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Draw squares of 8 pixels, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    squares = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.ascontiguousarray(squares.repeat(8, 0).repeat(8, 1)[:height, :width])


def ours() -> Detect:
    from dbnet import TextDetInferencer

    return TextDetInferencer(device="cpu")


def exported(model: str) -> Detect:
    from dbnet import TextDetInferencer

    return TextDetInferencer(model)


def rapidocr() -> Detect:
    from rapidocr import RapidOCR

    threads = {"EngineConfig.onnxruntime.intra_op_num_threads": 1}
    engine = RapidOCR(params=threads)
    return lambda images: [engine(i, use_det=True, use_cls=False, use_rec=False) for i in images]


def measure(name: str, count: int) -> None:
    """Run a detector and print its figures."""
    makers = {"ours": ours, "rapidocr": rapidocr}
    detect = makers[name]() if name in makers else exported(name)
    start, begin = gigabytes("VmRSS"), time.process_time()
    pictures = [(seed, *size) for seed, size in enumerate(images(count))]
    for first in range(0, count, AT_ONCE):
        detect([picture(*one) for one in pictures[first : first + AT_ONCE]])
    seconds = (time.process_time() - begin) / count
    end, peak = gigabytes("VmRSS"), gigabytes("VmHWM")
    print(
        f"{NAMES.get(name, Path(name).name):26} start {start:.2f} GB, end {end:.2f}, "
        f"peak {peak:.2f}, "
        f"{seconds:.3f} s of CPU per image"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=900)
    parser.add_argument("--rapidocr", default=sys.executable, help="a Python that has it")
    parser.add_argument("--models", nargs="*", default=[], metavar="FILE")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        measure(args.only, args.images)
        return
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    sides = [(name, sys.executable) for name in ("ours", *args.models)]
    for name, python in (*sides, ("rapidocr", args.rapidocr)):
        command = [python, __file__, "--only", name, "--images", str(args.images)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        failed = f"{NAMES.get(name, name)}: not measured, {reason}"
        print(done.stdout.strip() if done.returncode == 0 else failed, flush=True)


if __name__ == "__main__":
    main()
