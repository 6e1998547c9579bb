"""How much a detector doubts its texts, to choose the images that are labelled first."""

import copy
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbnet.apis.inferencer import TextDetInferencer
from dbnet.remote.paths import shown
from dbnet.utils.files import replace_when_complete

BAND = 0.15  # probabilities so near to `bin_thresh` are in doubt
WEAK = 0.25  # by which the scores of regions just below `box_thresh` are lower at most


class Doubt(NamedTuple):
    """What a detector is not sure of in an image."""

    img_path: str  # the image
    near: float  # share of the map's pixels whose probability is near the threshold
    weak: int  # regions just below the lowest score of a text
    # 1 - sum min(p, q) / sum max(p, q) over the pixels of the map p and of q, that of the mirrored
    # image mirrored back; 0 where they agree, or nothing is found.
    flip: float


def measure_doubt(inferencer: TextDetInferencer, path: str) -> Doubt:
    """Run a detector on an image and on its mirror image."""
    network = inferencer.network
    sample = inferencer.prepare(path)
    height, width = sample["metas"]["img_shape"]
    prob_map = _map(network, sample)[:height, :width]
    mirrored = _map(network, mirror(sample))[:height, :width][:, ::-1]
    finder = copy.copy(network.postprocessor)
    near = np.abs(prob_map - finder.bin_thresh) < BAND
    lowest = finder.box_thresh
    finder.box_thresh = lowest - WEAK
    [found] = finder(prob_map[None], [sample["metas"]])
    weak = int((found["scores"] < lowest).sum())
    return Doubt(shown(path), float(near.mean()), weak, disagreement(prob_map, mirrored))


def disagreement(first: np.ndarray, second: np.ndarray) -> float:
    """Return how much two maps (H, W) of probabilities differ, from 0 to 1."""
    union = float(np.maximum(first, second).sum())
    return 1 - float(np.minimum(first, second).sum()) / union if union else 0.0


def mirror(sample: dict) -> dict:
    """Mirror a prepared image, a tensor (3, H, W) or an array (H, W, 3), left to right."""
    if "image" in sample:
        return {**sample, "image": np.ascontiguousarray(sample["image"][:, ::-1])}
    return {**sample, "inputs": sample["inputs"].flip(-1)}


def _map(network: Any, sample: dict) -> np.ndarray:
    prob_map = network.maps([sample])[0]
    return prob_map if isinstance(prob_map, np.ndarray) else prob_map.float().cpu().numpy()


def order(doubts: Sequence[Doubt]) -> list[tuple[float, Doubt]]:
    """Order images by their doubt, the greatest first: the mean place by its three measures.

    1 is the first by all three. Places instead of values, since the three have no common unit.

    >>> [d.img_path for _, d in order([Doubt("a", 0.1, 0, 0.2), Doubt("b", 0.2, 3, 0.3)])]
    ['b', 'a']
    """
    if not doubts:
        return []
    columns = np.array([doubt[1:] for doubt in doubts], dtype=np.float64)
    places = np.mean([_places(column) for column in columns.T], axis=0)
    ordered = np.argsort(-places, kind="stable")
    return [(float(places[index]), doubts[index]) for index in ordered]


def _places(values: np.ndarray) -> np.ndarray:
    """Share of the values (N,) below each, those equal to it counted half."""
    ordered = np.sort(values)
    ends = [np.searchsorted(ordered, values, side=side) for side in ("left", "right")]
    return np.mean(ends, axis=0) / len(values)


def write_ranking(path: Path, doubts: Sequence[Doubt]) -> None:
    """Write a table of images, the one to label first on top."""
    with (
        replace_when_complete(path) as partial,
        partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(["rank", "img_path", "doubt", "near", "weak", "flip"])
        for number, (doubt, measured) in enumerate(order(doubts), 1):
            near, flip = f"{measured.near:.5f}", f"{measured.flip:.4f}"
            table.writerow([number, measured.img_path, f"{doubt:.4f}", near, measured.weak, flip])
