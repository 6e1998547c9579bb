"""Time the postprocessor against MMOCR's on the same probability maps.

    python benchmarks/postprocess.py [--maps maps.npz]

compares with MMOCR 1.0.1 where `mmocr` can be imported, see `make_mmocr_reference.py`; else it
times ours alone. It draws a page of 300 words at 736x1312; `maps.npz` holds further ones, `maps` of
(N, H, W) float32, for instance a network's on ICDAR2015.
"""

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from peers import importable
from torch import Tensor

from dbnet.models.postprocessors import DBPostprocessor

Find = Callable[[Tensor], list[np.ndarray]]


def draw_page(num_words: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw a probability map (height, width) of slightly slanted words in rows."""
    rng = np.random.default_rng(seed)
    columns = int(np.ceil(np.sqrt(num_words * width / height / 2.6)))
    cell = np.array([width / columns, height / np.ceil(num_words / columns)])
    page = np.zeros((height, width), np.float32)
    for index in range(num_words):
        center = (np.array([index % columns, index // columns]) + 0.5) * cell
        size = cell * rng.uniform([0.4, 0.25], [0.6, 0.35])
        word = cv2.boxPoints((center.tolist(), size.tolist(), rng.uniform(-4, 4)))
        cv2.fillPoly(page, [word.round().astype(np.int32)], rng.uniform(0.6, 1))
    page = cv2.GaussianBlur(page, (0, 0), 1.0)
    return page + 0.05 * rng.random(page.shape, dtype=np.float32)


def find_ours(text_repr_type: str, grow: str) -> Find:
    postprocessor = DBPostprocessor(text_repr_type=text_repr_type, grow=grow)
    meta = dict(scale_factor=(1.0, 1.0))
    return lambda prob_map: postprocessor(prob_map[None], [meta])[0]["polygons"]


def find_mmocr(text_repr_type: str) -> Find | None:
    """Give MMOCR's postprocessor, None if it cannot be imported."""
    if not importable("mmocr", "mmocr.models.textdet.postprocessors", "mmocr.structures"):
        return None
    from mmocr.models.textdet.postprocessors import DBPostprocessor as Peer
    from mmocr.structures import TextDetDataSample

    postprocessor = Peer(text_repr_type=text_repr_type)

    def find(prob_map: Tensor) -> list[np.ndarray]:
        sample = TextDetDataSample(metainfo=dict(scale_factor=(1.0, 1.0)))
        return postprocessor(prob_map[None], [sample])[0].pred_instances.polygons

    return find


def milliseconds(find: Find, maps: list[Tensor]) -> float:
    start = time.process_time()  # of one thread
    for prob_map in maps:
        find(prob_map)
    return (time.process_time() - start) / len(maps) * 1e3


def compare(maps: list[Tensor], text_repr_type: str, grow: str, repeats: int) -> dict[str, float]:
    """Time a way of ours, the paper's and MMOCR's in turn, per map.

    Of each the fastest round; of their ratios the median.
    """
    ours, paper = find_ours(text_repr_type, grow), find_ours(text_repr_type, "unclip")
    theirs = find_mmocr(text_repr_type)
    found = [ours(prob_map) for prob_map in maps]
    ways = [way for way in (ours, paper, theirs) if way]
    times = [[milliseconds(way, maps) for way in ways] for _ in range(repeats)]
    row: dict[str, float] = dict(
        maps=len(maps), texts=sum(map(len, found)), ours_ms=min(own for own, *_ in times)
    )
    if grow != "unclip":
        row["to_unclip"] = statistics.median(own / other for own, other, *_ in times)
    if theirs:
        row["mmocr_texts"] = sum(len(theirs(prob_map)) for prob_map in maps)
        row["mmocr_ms"] = min(peer for *_, peer in times)
        row["ratio"] = statistics.median(peer / own for own, *_, peer in times)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the postprocessor.")
    parser.add_argument("--maps", type=Path, metavar="maps.npz")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    sets = {"page of 300 words": [torch.from_numpy(draw_page(300, 736, 1312))]}
    if args.maps:
        sets[args.maps.name] = [torch.from_numpy(m) for m in np.load(args.maps)["maps"]]
    rows = {}
    for name, maps in sets.items():
        for kind, grow in itertools.product(("quad", "poly"), ("unclip", "inverse")):
            row = rows[f"{name}, {kind}, {grow}"] = compare(maps, kind, grow, args.repeats)
            facts = (f"{key} {value:<8.4g}" for key, value in row.items())
            print(f"{name:20} {kind} {grow:7}", *facts)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
