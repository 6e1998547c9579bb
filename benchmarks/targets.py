"""Time the target maps, and measure the memory of a huge polygon, beside MMOCR 1.0.1's.

    python benchmarks/targets.py --data-root data/icdar2015 --out targets.json

needs the prepared training set. MMOCR's figures need MMOCR 1.0.1 and mmdet importable. The time is
that of whole images with all their texts, both sides in turns, image by image, in one process on
one core. The memory is the peak of NumPy's and Python's allocations for one polygon of
`--length` x 300 pixels, which an image of 640x640 shows a part of.
"""

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from peers import importable

from dbnet.datasets import TextDetDataset
from dbnet.datasets.transforms.targets import draw_targets

Draw = Callable[[Sequence[np.ndarray], Sequence[bool], tuple[int, int]], object]


def ours(
    polygons: Sequence[np.ndarray], ignored: Sequence[bool], shape: tuple[int, int]
) -> dict[str, np.ndarray]:
    return draw_targets(polygons, ignored, shape, 0.4, (0.3, 0.7), 8.0)


def make_mmocr() -> Draw:
    """Build MMOCR's loss; the result draws its targets from fresh copies of the polygons."""
    from mmengine.structures import InstanceData
    from mmocr.registry import MODELS
    from mmocr.structures import TextDetDataSample
    from mmocr.utils import register_all_modules

    register_all_modules()
    loss = MODELS.build(dict(type="mmocr.DBModuleLoss"))

    def mmocr(
        polygons: Sequence[np.ndarray], ignored: Sequence[bool], shape: tuple[int, int]
    ) -> tuple:
        flat = [polygon.flatten() for polygon in polygons]
        instances = InstanceData(polygons=flat, ignored=np.array(ignored, dtype=bool))
        sample = TextDetDataSample(metainfo=dict(img_shape=shape), gt_instances=instances)
        return loss.get_targets([sample])

    return mmocr


def time_images(
    sides: dict[str, Draw], dataset: TextDetDataset, rounds: int
) -> dict[str, list[float]]:
    """Give the milliseconds per image of each round for each side."""
    milliseconds = {name: [0.0] * rounds for name in sides}
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    for number in range(-1, rounds):  # the first warms up
        for sample in samples:
            for name, draw in sides.items():
                start = time.perf_counter()
                draw(sample["polygons"], sample["ignored"], (720, 1280))
                if number >= 0:
                    passed = time.perf_counter() - start
                    milliseconds[name][number] += 1000 * passed / len(samples)
    return milliseconds


def huge_polygon(draw: Draw, length: float) -> tuple[float, float]:
    """Give peak megabytes and milliseconds for one polygon that is `length` pixels wide."""
    half = length / 2
    polygon = np.array([[-half, 100], [half, 100], [half, 400], [-half, 400]], dtype=np.float32)
    start = time.perf_counter()
    draw([polygon], [False], (640, 640))
    seconds = time.perf_counter() - start
    tracemalloc.start()
    draw([polygon], [False], (640, 640))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6, 1000 * seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and weigh the target maps.")
    parser.add_argument("--data-root", default="data/icdar2015", help="folder")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--length", type=float, default=30_000, help="of the polygon, pixels")
    parser.add_argument("--out", type=Path, help="JSON file")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    sides: dict[str, Draw] = dict(ours=ours)
    if importable("mmocr", "mmocr.models", "mmocr.registry", "mmocr.structures", "mmocr.utils"):
        sides["mmocr"] = make_mmocr()
    dataset = TextDetDataset("textdet_train.json", args.data_root, indices=args.images)
    milliseconds = time_images(sides, dataset, args.rounds)
    rows = {}
    print(f"{'side':6} {'ms/image':>8} {'best':>6}  polygon of {args.length:g} px: peak MB, ms")
    for name, draw in sides.items():
        values = milliseconds[name]
        peak, huge = huge_polygon(draw, args.length)
        rows[name] = dict(
            ms_per_image=statistics.median(values), best=min(values), peak_mb=peak, huge_ms=huge
        )
        print(
            f"{name:6} {statistics.median(values):8.2f} {min(values):6.2f}  {peak:.1f} {huge:.1f}"
        )
    if len(sides) > 1:
        factors = [theirs / own for theirs, own in zip(milliseconds["mmocr"], milliseconds["ours"])]
        print(f"factor over mmocr: {statistics.median(factors):.2f}")
    if args.out:
        args.out.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
