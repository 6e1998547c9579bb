"""How closely the two ways of growing a region back fit the text that it was shrunk from.

    python benchmarks/growing_back.py

On perfect maps, the targets themselves: mean IoU of rectangles of heights 16, 32 and 64 at 0, 7 and
45 degrees with what is found, in brackets how many of 9 are lost; then of bands of circles.
`fit_of_boxes.py` compares on the maps of detectors.
"""

import itertools
import math

import numpy as np
import torch

from dbnet.data_check.whole_files import best_iou
from dbnet.models.postprocessors import DBPostprocessor

ASPECTS = (1, 2, 4, 6, 8, 10, 12, 14, 20, 30, 40)
WAYS = {
    "unclip, quad": DBPostprocessor(),
    "unclip, epsilon .002, quad": DBPostprocessor(epsilon_ratio=0.002),
    "inverse, quad": DBPostprocessor(grow="inverse"),
    "inverse, poly": DBPostprocessor(grow="inverse", text_repr_type="poly"),
}


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
    placed = polygon - polygon.min(axis=0) + (0.37, 0.21)
    return best_iou(placed.astype(np.float32), postprocessor, shrink_ratio=0.4)


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    print_perfect_maps()
