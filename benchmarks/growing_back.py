"""How closely the two ways of growing a region back fit the text that it was shrunk from.

    python benchmarks/growing_back.py
    python benchmarks/growing_back.py --config CONFIG --checkpoint FILE --data-root D \
        [--ann-file textdet_val.json] [--test-size W,H] [--bin-thresh .35 --shrink-ratio .55]

The first table is of perfect maps, the targets themselves: mean IoU of rectangles of heights 16, 32
and 64 at 0, 7 and 45 degrees with what is found, in brackets how many of 9 are lost; then of bands
of circles. The second is of a detector's maps: `icdar/official_hmean` at IoU 0.5 to 0.8 and the
mean IoU of the matches, with 95 % intervals of their differences over resampled images; and the
time.
"""

import argparse
import itertools
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import init_default_scope

from dbnet.apis.detector import init_detector
from dbnet.cli.options import parse_size
from dbnet.config.load import load_config
from dbnet.datasets import collate_text_det
from dbnet.datasets.transforms.targets import draw_targets
from dbnet.evaluation.matching import first_come_pairs, match_image
from dbnet.models.postprocessors import DBPostprocessor
from dbnet.polygon_iou import to_geometries
from dbnet.registry import DATASETS

ASPECTS = (1, 2, 4, 6, 8, 10, 12, 14, 20, 30, 40)
LIMITS = (0.5, 0.6, 0.7, 0.8)
META = dict(scale_factor=(1.0, 1.0))
WAYS = {
    "unclip, quad": DBPostprocessor(),
    "unclip, epsilon .002, quad": DBPostprocessor(epsilon_ratio=0.002),
    "inverse, quad": DBPostprocessor(grow="inverse"),
    "inverse, poly": DBPostprocessor(grow="inverse", text_repr_type="poly"),
}
RESAMPLES = 2000


def rectangle(height: float, aspect: float, angle: float) -> np.ndarray:
    turn = math.radians(angle)
    matrix = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (height * aspect, height) @ matrix


def band(height: float, aspect: float, sweep: float) -> np.ndarray:
    radius = height * aspect / math.radians(sweep)
    angles = np.radians(np.linspace(-90 - sweep / 2, -90 + sweep / 2, int(sweep) // 6))
    rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([(radius + height / 2) * rim, ((radius - height / 2) * rim)[::-1]])


def iou_on_perfect_map(polygon: np.ndarray, postprocessor: DBPostprocessor) -> float:
    polygon = (polygon - polygon.min(axis=0) + (20.37, 20.21)).astype(np.float32)
    width, height = np.ceil(polygon.max(axis=0) + 20).astype(int)
    targets = draw_targets([polygon], [False], (height, width), 0.4, (0.3, 0.7), 8)
    prob_map = torch.from_numpy(targets["shrink_map"]).float()[None]
    (found,) = postprocessor(prob_map, [META])
    text, *outlines = to_geometries([polygon, *found["polygons"]])
    shared = [text.intersection(o).area / text.union(o).area for o in outlines]
    return max(shared, default=0.0)


def print_perfect_maps() -> None:
    print("aspect".ljust(30), *(f"{aspect:>9}" for aspect in ASPECTS))
    for name, postprocessor in WAYS.items():
        cells = []
        for aspect in ASPECTS:
            cases = itertools.product((16, 32, 64), (0, 7, 45))
            ious = [iou_on_perfect_map(rectangle(h, aspect, a), postprocessor) for h, a in cases]
            lost = sum(iou == 0 for iou in ious)
            cells.append(f"{np.mean(ious):.3f}" + (f" ({lost})" if lost else ""))
        print(name.ljust(30), *(f"{cell:>9}" for cell in cells))
    polygons = DBPostprocessor(text_repr_type="poly"), WAYS["inverse, poly"]
    for sweep in (60, 120, 180):
        means = [
            np.mean(
                [iou_on_perfect_map(band(h, a, sweep), p) for h in (16, 32, 64) for a in (4, 8)]
            )
            for p in polygons
        ]
        print(f"bands of {sweep} degrees, poly: unclip {means[0]:.3f}, inverse {means[1]:.3f}")


def predict(args: argparse.Namespace) -> tuple[list[np.ndarray], list[dict], DBPostprocessor]:
    """Return the probability maps and facts of all images, and the config's postprocessor."""
    options = {"test_dataloader.dataset.ann_file": args.ann_file} if args.ann_file else None
    config = load_config(args.config, options, data_root=args.data_root, test_size=args.test_size)
    model = init_detector(config, args.checkpoint)
    init_default_scope("dbnet")
    dataset = DATASETS.build(config.test_dataloader.dataset)
    maps, metas = [], []
    for index in range(len(dataset)):
        batch = collate_text_det([dataset[index]])
        inputs = model.data_preprocessor(batch)["inputs"]
        with torch.no_grad():
            maps.append(model(inputs, mode="tensor")[0].half().numpy())
        metas += batch["metas"]
        print(f"\r{index + 1}/{len(dataset)} images", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return maps, metas, model.postprocessor


def counts(
    maps: Sequence[np.ndarray], metas: Sequence[dict], postprocessor: DBPostprocessor
) -> np.ndarray:
    """Count, per image (N, 7): hits at each of LIMITS, texts, predictions, sum of the hits' IoU."""
    rows = []
    for prob_map, meta in zip(maps, metas):
        (found,) = postprocessor(torch.from_numpy(prob_map)[None], [meta])
        iou, _ = match_image(meta["gt_polygons"], meta["gt_ignored"], found["polygons"])
        pairs = first_come_pairs(iou > LIMITS[0])
        hits = [len(first_come_pairs(iou > limit)) for limit in LIMITS]
        rows.append([*hits, *iou.shape, sum(iou[pair] for pair in pairs)])
    return np.array(rows, dtype=np.float64)


def figures(sums: np.ndarray) -> np.ndarray:
    """Form the four hmeans, their mean, and the mean IoU, from sums (..., 7) of counts."""
    hmeans = 2 * sums[..., :4] / (sums[..., 4:5] + sums[..., 5:6])
    return np.concatenate(
        [hmeans, hmeans.mean(-1, keepdims=True), sums[..., 6:7] / sums[..., :1]], axis=-1
    )


def print_real_maps(args: argparse.Namespace) -> None:
    maps, metas, own = predict(args)
    shared = dict(box_thresh=own.box_thresh, text_repr_type=own.text_repr_type)
    ways = {
        "unclip": DBPostprocessor(bin_thresh=args.unclip_bin_thresh, **shared),
        "inverse": DBPostprocessor(
            bin_thresh=args.bin_thresh, grow="inverse", shrink_ratio=args.shrink_ratio, **shared
        ),
    }
    tables, seconds = {}, {}
    for name, postprocessor in ways.items():
        tables[name] = counts(maps, metas, postprocessor)
        start = time.perf_counter()
        for prob_map, meta in zip(maps, metas):
            postprocessor(torch.from_numpy(prob_map)[None], [meta])
        seconds[name] = (time.perf_counter() - start) / len(maps)
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(maps), size=(RESAMPLES, len(maps)))
    print("".ljust(20), *(f"{f'hmean {limit}':>10}" for limit in LIMITS), "   mean   mean IoU   ms")
    for name, table in tables.items():
        row = figures(table.sum(axis=0))
        print(name.ljust(20), *(f"{x:10.4f}" for x in row), f"{1e3 * seconds[name]:8.1f}")
    difference = figures(tables["inverse"][chosen].sum(axis=1))
    difference -= figures(tables["unclip"][chosen].sum(axis=1))
    for name, share in (("difference, 2.5 %", 2.5), ("97.5 %", 97.5)):
        print(name.ljust(20), *(f"{x:+10.4f}" for x in np.percentile(difference, share, axis=0)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare two ways of growing regions back.")
    parser.add_argument("--config")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--data-root")
    parser.add_argument("--ann-file")
    parser.add_argument("--test-size", type=parse_size)
    parser.add_argument("--unclip-bin-thresh", type=float, default=0.4)
    parser.add_argument("--bin-thresh", type=float, default=0.35)
    parser.add_argument("--shrink-ratio", type=float, default=0.55)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.config:
        print_real_maps(args)
    else:
        print_perfect_maps()


if __name__ == "__main__":
    main()
