import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from dbnet.geometry import clip, scale_matrix, transform
from dbnet.registry import TRANSFORMS

Box = tuple[int, int, int, int]  # first and one past the last pixel: left, top, right, bottom
Flags = Sequence[bool]
Polygons = Sequence[np.ndarray]  # (N, 2) each, pixels
Rng = np.random.Generator
Size = tuple[int, int]
Texts = tuple[list[np.ndarray], list[bool]]  # polygons, and whether each is ignored


class AffineCrop(NamedTuple):
    """The affine map sampled for an image, and where its texts lie then."""

    affine: np.ndarray  # (2, 3), from pixels of the loaded image to pixels of the new one
    filled: Size  # (W, H) of the part of the new image that the crop fills
    polygons: list[np.ndarray]  # (N, 2) arrays, pixels of the new image
    ignored: list[bool]  # "Don't care", for each polygon


class AffineCropTransform(BaseTransform):
    """Sample an `AffineCrop` and warp the image by it; the device path needs `sample` alone.

    Modifies `img`, `img_shape` (H, W), `polygons` and `ignored`. Adds `affine`, the (2, 3) matrix
    from pixels of the loaded image to pixels of the new one.
    """

    size: Size  # (W, H) of the new image

    def __post_init__(self) -> None:
        self.size = (self.size[0], self.size[1])  # configs have lists

    def transform(self, results: dict) -> dict:
        shape = results["img"].shape[:2]
        crop = self.sample(results["polygons"], results["ignored"], shape, results["rng"])
        return {
            **results,
            "img": warp(results["img"], crop.affine, crop.filled, self.size),
            "img_shape": (self.size[1], self.size[0]),
            "polygons": crop.polygons,
            "ignored": crop.ignored,
            "affine": crop.affine,
        }

    def sample(self, polygons: Polygons, ignored: Flags, shape: Size, rng: Rng) -> AffineCrop:
        """Sample the map of an (H, W) image; only its annotation is needed."""
        raise NotImplementedError


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomAffineCrop(AffineCropTransform):
    """Flip, rotate, crop around a text and resize, as one affine map.

    The distribution is that of MMOCR 1.x's recipe: horizontal flip; rotation about the image's
    centre on the same canvas; `RandomCrop`, which cuts only where no text's projection lies; resize
    so that the longer side fills `size`; pads of 0 right and bottom.

    Deviations from MMOCR, both for one clean resampling instead of three:
        - The resize by a factor of 0.5..3 before the crop is left out. The crop and the resize
          after it undo its scale; what remained was blur.
        - Pixels shrunk to less than half are averaged first, so that they do not alias.

    Args:
        size: (W, H) of the new image.
        flip_prob: Probability of a horizontal flip.
        max_angle: Rotation is uniform in [-max_angle, max_angle], degrees.
        min_crop_ratio: Least side of the crop as a share of the image's.
    """

    size: Size
    flip_prob: float = 0.5
    max_angle: float = 10.0
    min_crop_ratio: float = 0.1

    def sample(self, polygons: Polygons, ignored: Flags, shape: Size, rng: Rng) -> AffineCrop:
        flip = bool(rng.random() < self.flip_prob)
        angle = rng.uniform(-self.max_angle, self.max_angle)
        to_canvas = flip_rotate_matrix(shape, flip, angle)
        polygons, ignored = move_polygons(polygons, ignored, to_canvas, shape)
        crop = sample_crop_box(polygons, shape, self.min_crop_ratio, rng)
        to_output, new_size = crop_resize_matrix(crop, self.size)
        polygons, ignored = drop_outside(polygons, ignored, crop)
        moved = [transform(polygon, to_output) for polygon in polygons]
        return AffineCrop(compose(to_output, to_canvas), new_size, moved, ignored)


def flip_rotate_matrix(shape: Size, flip: bool, angle: float) -> np.ndarray:
    """Matrix (2, 3) of a horizontal flip, then a turn about the centre of an (H, W) image.

    The angle is in degrees, clockwise on the screen.
    """
    center = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    return np.column_stack([linear, center - linear @ center])


def crop_resize_matrix(crop: Box, size: Size) -> tuple[np.ndarray, tuple[int, int]]:
    """Matrix (2, 3) that scales a crop to fit into (W, H), and the (W, H) that it fills there."""
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    scale = min(size[0] / width, size[1] / height)
    new_size = (max(int(width * scale + 0.5), 1), max(int(height * scale + 0.5), 1))
    return scale_matrix(new_size[0] / width, new_size[1] / height, *crop[:2]), new_size


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Matrix (2, 3) of `first` followed by `second`."""
    return np.column_stack(
        [second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]]
    )


def warp(image: np.ndarray, affine: np.ndarray, filled: Size, size: Size) -> np.ndarray:
    """Resample an image bilinearly; what lies beyond the `filled` corner stays 0.

    Args:
        image: (H, W, 3) uint8.
        affine: (2, 3), from pixels of `image` to pixels of the result.
        filled: (W, H) of the part of the result that the crop fills.
        size: (W, H) of the result.
    """
    shrink = shrink_factor(affine)
    if shrink >= 2:
        shape, image = image.shape[:2], average_down(image, shrink)
        affine = compose(affine, enlarging_matrix(image.shape[:2], shape))
    left, top, right, bottom = source_box(affine, filled, image.shape[:2])
    affine = compose(affine, np.array([[1, 0, left], [0, 1, top]]))
    # OpenCV warps four channels in less than half the time of three.
    source = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2BGRA)
    warped = cv2.warpAffine(source, affine, filled, flags=cv2.INTER_LINEAR)
    result = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    cv2.cvtColor(warped, cv2.COLOR_BGRA2BGR, dst=result[: filled[1], : filled[0]])
    return result


def source_box(affine: np.ndarray, filled: Size, shape: Size) -> Box:
    """Box, of at least a pixel, of what a warp by `affine` (2, 3) reads of an (H, W) image.

    `filled` is the (W, H) of the result.
    """
    corners = np.array([[0, 0], [filled[0], 0], [0, filled[1]], filled], dtype=np.float64)
    points = (corners - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    # 2: a neighbour for the interpolation, and one for its rounding of the position
    left, right = (min(max(round(v), 0), shape[1]) for v in (left - 2, right + 2))
    top, bottom = (min(max(round(v), 0), shape[0]) for v in (top - 2, bottom + 2))
    left, top = min(left, shape[1] - 1), min(top, shape[0] - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def shrink_factor(affine: np.ndarray) -> int:
    """Whole number by which an image is averaged down before `affine` samples it, at least 1."""
    return max(int(1 / np.sqrt(abs(np.linalg.det(affine[:, :2])))), 1)


def average_down(image: np.ndarray, factor: int) -> np.ndarray:
    """Shrink an (H, W, 3) uint8 image to H // factor, W // factor, at least 1, by area averages."""
    height, width = (max(side // factor, 1) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def enlarging_matrix(small: tuple[int, int], large: tuple[int, int]) -> np.ndarray:
    """Matrix (2, 3) from pixels of a (H, W) image to pixels of its version of (H, W) `large`."""
    return scale_matrix(large[1] / small[1], large[0] / small[0])


def image_box(shape: Size) -> tuple[tuple[float, float], tuple[float, float]]:
    """Corners of the area that an (H, W) image covers, in pixel-centre coordinates."""
    return (-0.5, -0.5), (shape[1] - 0.5, shape[0] - 0.5)


def move_polygons(polygons: Polygons, ignored: Flags, matrix: np.ndarray, shape: Size) -> Texts:
    """Map polygons by `matrix`, clip them to an (H, W) image and drop those wholly outside."""
    box = image_box(shape)
    moved = [clip(transform(polygon, matrix), *box) for polygon in polygons]
    kept = [i for i, polygon in enumerate(moved) if len(polygon) > 0]
    return [moved[i] for i in kept], [bool(ignored[i]) for i in kept]


def drop_outside(polygons: Polygons, ignored: Flags, crop: Box) -> Texts:
    """Keep the polygons that lie wholly in the crop; its cuts leave none in part."""
    lower, upper = np.array(crop[:2]) - 0.5, np.array(crop[2:]) - 0.5
    kept = [
        i
        for i, polygon in enumerate(polygons)
        if (polygon >= lower).all() and (polygon <= upper).all()
    ]
    return [polygons[i] for i in kept], [ignored[i] for i in kept]


def sample_crop_box(polygons: Polygons, shape: Size, min_crop_ratio: float, rng: Rng) -> Box:
    """Sample a crop that cuts through no text and holds at least one, if there is any.

    On each axis a text-free run is drawn uniformly, then the cut inside it (MMOCR's `RandomCrop`).

    Polygons are (N, 2) arrays inside the image, pixels, `shape` is (H, W); the least side of the
    crop is `min_crop_ratio` of the image's.
    """
    kept = int(rng.integers(len(polygons))) if polygons else None
    (left, right), (top, bottom) = (
        _sample_interval(
            [_projection(polygon[:, axis], side) for polygon in polygons],
            kept,
            side,
            int(side * min_crop_ratio),
            rng,
        )
        for axis, side in ((0, shape[1]), (1, shape[0]))
    )
    return left, top, right, bottom


def _projection(values: np.ndarray, side: int) -> tuple[int, int]:
    """Cuts [first, last) that would go through a text; cut c lies between pixels c - 1 and c."""
    lowest, highest = (min(max(float(v) + 0.5, 0), side) for v in (values.min(), values.max()))
    return math.floor(lowest), math.ceil(highest)


def _sample_interval(
    projections: list[tuple[int, int]], kept: int | None, side: int, min_length: int, rng: Rng
) -> tuple[int, int]:
    """Sample start and end of the crop on one axis, among the cuts 0..side."""
    free = np.ones(side + 1, dtype=bool)
    for first, last in projections:
        free[first:last] = False
    latest_start, earliest_end = projections[kept] if kept is not None else (side, 0)

    starts = free.copy()
    starts[min(side + 1 - min_length, latest_start) :] = False
    starts[0] = True
    start = _sample_from_runs(starts, rng)

    ends = free.copy()
    ends[: max(start + max(min_length, 1), earliest_end)] = False
    ends[-1] = True
    return start, _sample_from_runs(ends, rng)


def _sample_from_runs(allowed: np.ndarray, rng: Rng) -> int:
    """Sample a run of True uniformly, then a position in it."""
    steps = np.diff(np.concatenate([[0], allowed.astype(np.int8), [0]]))
    firsts, lasts = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    run = rng.integers(len(firsts))
    return int(rng.integers(firsts[run], lasts[run]))
