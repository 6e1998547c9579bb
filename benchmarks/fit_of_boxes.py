"""How closely the boxes fit that each post-processing finds in the same maps of a detector.

    python benchmarks/fit_of_boxes.py CONFIG CHECKPOINT --maps DIR --data-root D \
        [--ann-file textdet_val.json] [--test-size W,H]
    python benchmarks/fit_of_boxes.py CONFIG CHECKPOINT --maps DIR --lines 20
    python benchmarks/fit_of_boxes.py CONFIG CHECKPOINT --maps DIR ... [--grid] [--crops FILE.png]

Maps are computed once and kept in DIR as float16. The rows are ours, the paper's way and the
inverse one, and RapidOCR's and MMOCR's own classes where they can be imported, with our thresholds
and with theirs. The columns are the official hmean at IoU 0.5 to 0.8, their mean, the mean IoU of
the matches and milliseconds an image; then 95 % intervals of the difference over resampled images.
`--lines N` draws N pages of lines 3 to 40 times as long as high. `--grid` tries bin_thresh and
shrink_ratio. `--crops` draws 12 texts at random that both ways find, cut out by either.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from peers import importable

from dbnet.apis.detector import init_detector
from dbnet.apis.torch_network import build_pipeline
from dbnet.cli.options.values import parse_size
from dbnet.config.load import load_config
from dbnet.datasets import collate_text_det
from dbnet.evaluation.matching import first_come_pairs, match_image
from dbnet.geometry import rectangle, transform
from dbnet.images import read_image
from dbnet.postprocessing import DBPostprocessor, to_original
from dbnet.registry import DATASETS
from dbnet.synthetic.fonts import builtin_fonts, characters_of, load_font
from dbnet.synthetic.words import sample_word
from dbnet.visualization.crops import crop_text
from dbnet.visualization.sheet import contact_sheet

Find = Callable[[np.ndarray, dict], list[np.ndarray]]

LIMITS = (0.5, 0.6, 0.7, 0.8)
RESAMPLES = 2000
GREY = (90, 90, 90)
PAGE = (960, 1280)  # (H, W) of a drawn page


def draw_page(number: int) -> dict:
    """Draw lines of text, 3 to 40 times as long as high, on a page turned by up to 3 degrees."""
    rng = np.random.default_rng(number)
    height, width = PAGE
    page = np.full((height, width), rng.integers(190, 256), np.uint8)
    polygons = []
    y = 50.0
    while y < height - 80:
        size = int(rng.integers(16, 36))
        name = builtin_fonts()[rng.integers(len(builtin_fonts()))]
        font, characters = load_font(name, size), characters_of(name)
        text, aspect = "", rng.uniform(3, 40)
        while (box := font.getbbox(text or "x"))[2] - box[0] < aspect * (box[3] - box[1]):
            longer = f"{text} {sample_word(rng, characters)}".strip()
            if font.getbbox(longer)[2] > width - 140:
                break
            text = longer
        mask = font.getmask(text)
        ink = np.asarray(mask, np.uint8).reshape(mask.size[::-1]) / 255
        x, top = int(rng.integers(60, width - 60 - ink.shape[1])), int(y)
        window = page[top : top + ink.shape[0], x : x + ink.shape[1]]
        window[:] = window * (1 - ink) + rng.integers(0, 90) * ink
        pad = 0.08 * ink.shape[0]  # annotators leave a little room
        right, bottom = x + ink.shape[1] + pad, top + ink.shape[0] + pad
        polygons.append(rectangle(x - pad, top - pad, right, bottom))
        y += ink.shape[0] * rng.uniform(1.8, 3)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-3, 3), 1)
    page = cv2.warpAffine(page, matrix, (width, height), borderValue=int(page[0, 0]))
    polygons = [transform(polygon, matrix).astype(np.float32) for polygon in polygons]
    return dict(img=np.repeat(page[..., None], 3, axis=2), polygons=polygons)


def drawn_samples(config: Config, number: int) -> Iterator[dict]:
    """Yield drawn pages as the inferencer's pipeline makes them."""
    pipeline = build_pipeline(config)
    for index in range(number):
        page = draw_page(index)
        ignored = [False] * len(page["polygons"])
        facts = dict(img_path="", img_shape=PAGE, ori_shape=PAGE)
        sample = dict(img=page["img"], polygons=[], ignored=[], **facts)
        packed = pipeline(sample)
        packed["metas"].update(gt_polygons=page["polygons"], gt_ignored=ignored)
        yield packed


def samples(args: argparse.Namespace, config: Config) -> Iterator[dict]:
    if args.lines:
        yield from drawn_samples(config, args.lines)
        return
    dataset = DATASETS.build(config.test_dataloader.dataset)
    for index in range(len(dataset)):
        yield dataset[index]


def keep_maps(args: argparse.Namespace, config: Config) -> None:
    """Write the map of each image into the folder, with what post-processing and metric need."""
    model = init_detector(config, args.checkpoint)
    init_default_scope("dbnet")
    args.maps.mkdir(parents=True)
    for index, sample in enumerate(samples(args, config)):
        batch = collate_text_det([sample])
        with torch.no_grad():
            prob_map = model(model.data_preprocessor(batch)["inputs"], mode="tensor")[0]
        (meta,) = batch["metas"]
        facts = dict(
            scale_factor=[float(value) for value in meta["scale_factor"]],
            img_path=meta["img_path"],
            gt=[polygon.tolist() for polygon in meta["gt_polygons"]],
            ignored=[bool(value) for value in meta["gt_ignored"]],
        )
        path = args.maps / f"{index:05d}.npz"
        np.savez_compressed(path, map=prob_map.half().numpy(), meta=json.dumps(facts))
        print(f"\r{index + 1} maps", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def kept_maps(folder: Path) -> Iterator[tuple[np.ndarray, dict]]:
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as kept:
            yield kept["map"].astype(np.float32), json.loads(str(kept["meta"]))


def ours(**settings: float | str) -> Find:
    postprocessor = DBPostprocessor(**settings)  # type: ignore[arg-type]
    return lambda prob_map, meta: postprocessor(torch.from_numpy(prob_map)[None], [meta])[0][
        "polygons"
    ]


def mmocr(bin_thresh: float, box_thresh: float) -> Find:
    from mmocr.models.textdet.postprocessors import DBPostprocessor as Peer
    from mmocr.structures import TextDetDataSample

    postprocessor = Peer(mask_thr=bin_thresh, min_text_score=box_thresh, text_repr_type="quad")

    def find(prob_map: np.ndarray, meta: dict) -> list[np.ndarray]:
        sample = TextDetDataSample(metainfo=dict(scale_factor=tuple(meta["scale_factor"])))
        found = postprocessor(torch.from_numpy(prob_map)[None], [sample])[0].pred_instances
        return [np.reshape(polygon, (-1, 2)) for polygon in found.polygons]

    return find


def rapidocr(bin_thresh: float, box_thresh: float) -> Find:
    from rapidocr.ch_ppocr_det.utils import DBPostProcess

    postprocessor = DBPostProcess(
        bin_thresh, box_thresh, max_candidates=1000, unclip_ratio=1.6, use_dilation=True
    )

    def find(prob_map: np.ndarray, meta: dict) -> list[np.ndarray]:
        quads, _ = postprocessor(prob_map[None, None], prob_map.shape)
        return [to_original(quad, meta["scale_factor"]) for quad in quads]

    return find


def ways(config: Config) -> dict[str, Find]:
    own = config.model.postprocessor
    box_thresh, bin_thresh = own.get("box_thresh", 0.3), own.get("bin_thresh", 0.3)
    shared: dict = dict(box_thresh=box_thresh, text_repr_type="quad")
    found = {
        "unclip, bin_thresh .3": ours(bin_thresh=0.3, **shared),
        "unclip, bin_thresh .4": ours(bin_thresh=0.4, **shared),
        "unclip, .3, epsilon .002": ours(bin_thresh=0.3, epsilon_ratio=0.002, **shared),
    }
    if own.get("grow") == "inverse":
        ratio = own.shrink_ratio
        name = f"inverse, {bin_thresh}, r {ratio}"
        found[name] = ours(bin_thresh=bin_thresh, grow="inverse", shrink_ratio=ratio, **shared)
    if importable("mmocr", "mmocr.models.textdet.postprocessors"):
        found["MMOCR, its .3, .3"] = mmocr(0.3, 0.3)
        found[f"MMOCR, .4, {box_thresh}"] = mmocr(0.4, box_thresh)
    if importable("rapidocr", "rapidocr.ch_ppocr_det.utils"):
        found["RapidOCR, its .3, .5"] = rapidocr(0.3, 0.5)
        found[f"RapidOCR, .3, {box_thresh}"] = rapidocr(0.3, box_thresh)
    return found


def grid(config: Config) -> dict[str, Find]:
    own = config.model.postprocessor
    shared: dict = dict(box_thresh=own.get("box_thresh", 0.3), text_repr_type="quad")
    found = {"unclip, own": ours(bin_thresh=own.get("bin_thresh", 0.3), **shared)}
    for thresh, ratio in itertools.product((0.3, 0.35, 0.4), (0.4, 0.5, 0.55, 0.6, 0.65, 0.7)):
        name = f"inverse, {thresh}, r {ratio}"
        found[name] = ours(bin_thresh=thresh, grow="inverse", shrink_ratio=ratio, **shared)
    return found


def count(prob_map: np.ndarray, meta: dict, find: Find) -> list[float]:
    """Count hits at each of LIMITS, texts, predictions, the sum of the hits' IoU and seconds."""
    start = time.perf_counter()
    found = find(prob_map, meta)
    seconds = time.perf_counter() - start
    texts = [np.float32(polygon) for polygon in meta["gt"]]
    iou, _ = match_image(texts, meta["ignored"], found)
    hits = [len(first_come_pairs(iou > limit)) for limit in LIMITS]
    fit = sum(iou[pair] for pair in first_come_pairs(iou > LIMITS[0]))
    return [*hits, *iou.shape, fit, seconds]


def figures(sums: np.ndarray) -> np.ndarray:
    """Form the four hmeans, their mean, and the mean IoU, from sums (..., 8) of counts."""
    hmeans = 2 * sums[..., :4] / (sums[..., 4:5] + sums[..., 5:6])
    fit = sums[..., 6:7] / np.maximum(sums[..., :1], 1)
    return np.concatenate([hmeans, hmeans.mean(-1, keepdims=True), fit], axis=-1)


def hit_boxes(meta: dict, found: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Return the box of each text of an image that was found."""
    texts = [np.float32(polygon) for polygon in meta["gt"]]
    iou, counted = match_image(texts, meta["ignored"], found)
    kept = np.flatnonzero(counted)
    return {text: found[kept[box]] for text, box in first_come_pairs(iou > LIMITS[0])}


def draw_crops(args: argparse.Namespace, config: Config) -> None:
    """Draw 12 texts at random that both ways find, cut out by the paper's (above) and our box."""
    own = {key: value for key, value in config.model.postprocessor.items() if key != "type"}
    paper, inverse = ours(bin_thresh=0.4, box_thresh=own["box_thresh"]), ours(**own)
    pairs = []
    for prob_map, meta in kept_maps(args.maps):
        before, after = (hit_boxes(meta, find(prob_map, meta)) for find in (paper, inverse))
        shared = sorted(before.keys() & after.keys())
        pairs += [(meta["img_path"], before[text], after[text]) for text in shared]
    tiles = []
    for index in np.random.default_rng(0).choice(len(pairs), 12, replace=False):
        path, *boxes = pairs[index]
        crops = [crop_text(read_image(path), box) for box in boxes]
        height = max(crop.shape[0] for crop in crops)
        crops = [cv2.resize(crop, None, fx=48 / height, fy=48 / height) for crop in crops]
        width = max(240, *(crop.shape[1] for crop in crops))
        padded = [
            cv2.copyMakeBorder(c, 3, 3, 3, width + 3 - c.shape[1], cv2.BORDER_CONSTANT, None, GREY)
            for c in crops
        ]
        tiles.append(np.concatenate(padded))
    cv2.imwrite(str(args.crops), contact_sheet(tiles, columns=4))


def print_table(tables: dict[str, np.ndarray], num_images: int) -> None:
    chosen = np.random.default_rng(0).integers(num_images, size=(RESAMPLES, num_images))
    print("".ljust(28), *(f"{f'hmean {limit}':>9}" for limit in LIMITS), "     mean  mean IoU   ms")
    first = next(iter(tables.values()))
    for name, table in tables.items():
        row = figures(table.sum(axis=0))
        print(name.ljust(28), *(f"{x:9.4f}" for x in row), f"{1e3 * table[:, 7].mean():6.2f}")
    print("95 % intervals of the differences from the first")
    for name, table in tables.items():
        if table is not first:
            change = figures(table[chosen].sum(axis=1)) - figures(first[chosen].sum(axis=1))
            low, high = np.percentile(change, (2.5, 97.5), axis=0)
            print(name.ljust(28), *(f"{a:+.3f} to {b:+.3f}" for a, b in zip(low, high)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare post-processings on a detector's maps.")
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("--maps", type=Path, required=True, help="folder; made if it is not there")
    parser.add_argument("--data-root")
    parser.add_argument("--ann-file")
    parser.add_argument("--test-size", type=parse_size)
    parser.add_argument("--lines", type=int, metavar="N", help="draw N pages of lines instead")
    parser.add_argument("--grid", action="store_true", help="try bin_thresh and shrink_ratio")
    parser.add_argument("--crops", type=Path, metavar="FILE.png")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options = {"test_dataloader.dataset.ann_file": args.ann_file} if args.ann_file else None
    config = load_config(args.config, options, data_root=args.data_root, test_size=args.test_size)
    if not args.maps.exists():
        keep_maps(args, config)
    if args.crops:
        draw_crops(args, config)
    compared = grid(config) if args.grid else ways(config)
    rows: dict[str, list] = {name: [] for name in compared}
    num_images = 0
    for prob_map, meta in kept_maps(args.maps):
        num_images += 1
        for name, find in compared.items():
            rows[name].append(count(prob_map, meta, find))
    print_table({name: np.array(row) for name, row in rows.items()}, num_images)


if __name__ == "__main__":
    main()
