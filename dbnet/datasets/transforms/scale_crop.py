import math
from dataclasses import dataclass

import numpy as np

from dbnet.datasets.transforms.geometric import (
    AffineCrop,
    AffineCropTransform,
    Flags,
    Polygons,
    Rng,
    Size,
    Texts,
    compose,
    flip_rotate_matrix,
    move_polygons,
)
from dbnet.geometry import clip, scale_matrix, signed_area, transform
from dbnet.registry import TRANSFORMS

IDENTITY = np.eye(2, 3)


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomScaleCrop(AffineCropTransform):
    """Flip, rotate, scale and cut out a window of fixed size, as one affine map.

    Unlike `RandomAffineCrop`, the scale is drawn and not what the crop leaves: a network that is
    tested at one scale learns at scales around it, and no pixel of the window is padding where the
    image is larger than it. Most windows hold a text. Texts that the window cuts are kept as far
    as they are visible, or ignored if that is less than `min_visible`.

    Args:
        size: (W, H) of the window.
        scale: Bounds of the factor by which the image is scaled, drawn log-uniformly.
        flip_prob: Probability of a horizontal flip.
        max_angle: Rotation is uniform in [-max_angle, max_angle], degrees.
        max_stretch: Bound of the factor by which width over height changes, drawn log-uniformly
            between its inverse and itself.
        text_prob: Probability that the window lies around a text, if the image has one.
        min_visible: Share of a text's area that must lie in the window.
        turn_prob: Probability of a turn by 90, 180 or 270 degrees more, each as likely.
    """

    size: Size
    scale: tuple[float, float] = (0.6, 1.7)
    flip_prob: float = 0.5
    max_angle: float = 10.0
    max_stretch: float = 1.15
    text_prob: float = 0.85
    min_visible: float = 0.6
    turn_prob: float = 0.0

    def sample(self, polygons: Polygons, ignored: Flags, shape: Size, rng: Rng) -> AffineCrop:
        # Where the image ends, texts do; what is beyond is black.
        polygons, ignored = move_polygons(polygons, ignored, IDENTITY, shape)
        flip = bool(rng.random() < self.flip_prob)
        angle = rng.uniform(-self.max_angle, self.max_angle)
        if self.turn_prob and rng.random() < self.turn_prob:
            angle += 90.0 * rng.integers(1, 4)
        scale = _log_uniform(*self.scale, rng)
        stretch = _log_uniform(1 / self.max_stretch, self.max_stretch, rng)
        scaling = scale_matrix(scale * math.sqrt(stretch), scale / math.sqrt(stretch))
        matrix = compose(scaling, flip_rotate_matrix(shape, flip, angle))

        target = self._sample_target(polygons, ignored, shape, rng)
        corner = window_corner(matrix, target, shape, self.size, rng)
        matrix = compose(np.column_stack([np.eye(2), -corner]), matrix)
        moved = [transform(polygon, matrix) for polygon in polygons]
        return AffineCrop(
            matrix, self.size, *cut_polygons(moved, ignored, self.size, self.min_visible)
        )

    def _sample_target(
        self, polygons: Polygons, ignored: Flags, shape: Size, rng: Rng
    ) -> np.ndarray:
        """Sample the point of the image, (x, y), that the window will hold."""
        texts = [polygon for polygon, skipped in zip(polygons, ignored) if not skipped]
        if texts and rng.random() < self.text_prob:
            polygon = texts[rng.integers(len(texts))]
            return (polygon.min(axis=0) + polygon.max(axis=0)).astype(np.float64) / 2
        return rng.uniform(size=2) * (shape[1], shape[0]) - 0.5


def window_corner(
    matrix: np.ndarray, target: np.ndarray, shape: Size, size: Size, rng: Rng
) -> np.ndarray:
    """Sample where a window begins that holds a point, and lies in the image if that is possible.

    `matrix` (2, 3) leads from pixels of the (H, W) image to those that the window (W, H) cuts from,
    `target` is a point (x, y) of the image. Returns the window's first pixel (x, y), whole numbers.
    """
    sides = np.array(size)
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - 0.5
    moved = transform(corners, matrix)
    lower, upper = moved.min(axis=0) + 0.5, moved.max(axis=0) + 0.5 - sides
    drawn = transform(target[None], matrix)[0] - rng.uniform(size=2) * (sides - 1)
    # An image smaller than the window lies anywhere inside it.
    return np.round(np.clip(drawn, np.minimum(lower, upper), np.maximum(lower, upper)))


def cut_polygons(polygons: Polygons, ignored: Flags, size: Size, min_visible: float) -> Texts:
    """Clip polygons to a window of (W, H), and drop those wholly outside.

    Those of which a smaller share of the area than `min_visible` is left are ignored.
    """
    kept, skipped = [], []
    for polygon, skip in zip(polygons, ignored):
        clipped = clip(polygon, (-0.5, -0.5), (size[0] - 0.5, size[1] - 0.5))
        if len(clipped) == 0:
            continue
        visible = abs(signed_area(clipped)) >= min_visible * abs(signed_area(polygon))
        kept.append(clipped)
        skipped.append(bool(skip) or not visible)
    return kept, skipped


def _log_uniform(low: float, high: float, rng: Rng) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
