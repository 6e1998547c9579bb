"""Compare an exported file, loaded in its runtime, with the detector in PyTorch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import shapely

from dbnet.deploy.exported_network import make_input
from dbnet.deploy.metadata import Metadata
from dbnet.errors import UserError
from dbnet.polygon_iou import to_geometries
from dbnet.postprocessing import DBPostprocessor
from dbnet.resizing import fitted_size

Run = Callable[[np.ndarray], np.ndarray]

SHAPES = ((96, 160), (320, 224), (352, 480))  # (H, W) that maps are compared at
BATCHES = (1, 3)
# Greatest difference of a map's values. Half precision and int8 move single pixels far, so that
# their mean counts, and then the texts.
LARGEST = dict(fp32=1e-3, fp16=0.1)
MEAN = dict(fp32=1e-5, fp16=1e-3, bf16=5e-3, int8=0.02)
# Texts that the other side has too, at `SAME_TEXT`, of all texts of both sides.
AGREEING = dict(fp32=0.99, fp16=0.97, bf16=0.95, int8=0.85)
SAME_TEXT = 0.7  # IoU


class Agreement(NamedTuple):
    """How well two sides agree."""

    largest: float  # greatest difference of two maps
    mean: float  # mean difference
    texts: int  # number of texts that PyTorch finds
    agreeing: float  # part of both sides' texts that the other side has too; 1 if there are none

    def problem(self, precision: str) -> str | None:
        """Say what is wrong, None if nothing is."""
        largest, mean = LARGEST.get(precision, np.inf), MEAN[precision]
        if not (self.largest <= largest and self.mean <= mean):  # NaN is not
            return (
                f"its maps differ by {self.largest:.1e}, {self.mean:.1e} on average "
                f"(allowed for {precision}: {largest:.0e}, {mean:.0e})"
            )
        if self.agreeing < AGREEING[precision]:
            return (
                f"only {self.agreeing:.0%} of the texts agree "
                f"(needed for {precision}: {AGREEING[precision]:.0%})"
            )
        return None


def compare(run: Run, expected: Run, images: Sequence[np.ndarray], meta: Metadata) -> Agreement:
    """Compare maps at several sizes and batches, then texts at the size of the settings.

    Images are (H, W, 3) uint8 BGR; settings of a fixed size are compared at that one.
    """
    shapes = [(shape, count) for shape in SHAPES for count in BATCHES]
    if meta.size:
        shapes = [(meta.size[::-1], 1)] * 3
    differences = []
    for index, (shape, count) in enumerate(shapes):
        chosen = [images[(index + k) % len(images)] for k in range(count)]
        x = input_of([cv2.resize(image, shape[::-1]) for image in chosen], meta)
        found, wanted = run(x), expected(x)
        if found.shape != wanted.shape:
            raise UserError(f"gives {found.shape} for an input {x.shape}, not {wanted.shape}")
        differences.append(np.abs(found - wanted).ravel())
    every = np.concatenate(differences)
    texts = compare_texts(run, expected, images, meta)
    return Agreement(float(every.max()), float(every.mean()), *texts)


def compare_texts(
    run: Run, expected: Run, images: Sequence[np.ndarray], meta: Metadata
) -> tuple[int, float]:
    """Count the texts that PyTorch finds, and the part of both sides' texts that agree."""
    postprocessor = DBPostprocessor(**meta.postprocessor)
    num_texts = same = total = 0
    for image in images:
        height, width = image.shape[:2]
        size = meta.size or fitted_size((width, height), **meta.resize)
        x = input_of([cv2.resize(image, size)], meta)
        one, other = (
            postprocessor(side(x).reshape(1, *x.shape[2:]), [dict(scale_factor=(1, 1))])
            for side in (run, expected)
        )
        polygons = one[0]["polygons"], other[0]["polygons"]
        num_texts += len(polygons[1])
        total += sum(map(len, polygons))
        same += count_same(*polygons)
    return num_texts, same / total if total else 1.0


def input_of(images: Sequence[np.ndarray], meta: Metadata) -> np.ndarray:
    """Make the network's input of images of one size; OpenCV's normalises itself."""
    if meta.layout == "nchw":
        return make_input(images, meta)
    return np.stack(images).astype(np.float32).transpose(0, 3, 1, 2)


def count_same(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> int:
    """Count the polygons of both lists that have their like in the other.

    >>> square = np.float32([[0, 0], [10, 0], [10, 10], [0, 10]])
    >>> count_same([square, square + 50], [square + 1])  # IoU 81 / 119 = 0.68, and 0
    0
    >>> count_same([square, square + 50], [square + 0.5])  # 90.25 / 109.75 = 0.82
    2
    """
    one, other = to_geometries(first)[:, None], to_geometries(second)[None]
    common = shapely.area(shapely.intersection(one, other))
    same = common > SAME_TEXT * (shapely.area(one) + shapely.area(other) - common)
    return int(same.any(axis=0).sum() + same.any(axis=1).sum())
