"""Put masks into an image: warp them, choose colours, blend."""

from typing import NamedTuple

import cv2
import numpy as np

from dbnet.synthetic.lettering import Block
from dbnet.synthetic.placement import Placement, Straight, project, translation

LUMA = (0.114, 0.587, 0.299)  # weights of B, G and R, ITU-R BT.601
EARTH = (-1.0, 0.1, 0.6)  # from grey to brown; the other way lie the blues


class Patch(NamedTuple):
    """Coverage in [0, 1] of a part of the image: (h, w) float32 from row `top`, column `left`."""

    coverage: np.ndarray
    left: int
    top: int

    def window(self, image: np.ndarray) -> np.ndarray:
        """View the part of an image that lies below."""
        height, width = self.coverage.shape
        return image[self.top : self.top + height, self.left : self.left + width]


def warp_mask(placement: Placement, mask: np.ndarray, shape: tuple[int, int]) -> Patch:
    """Resample a mask on a block's plane into the image of (H, W).

    The mask (h, w) uint8 has its middle on that of the block's mask.
    """
    placement = placement._replace(block=Block(mask, ()))
    whole = (-0.5, -0.5, mask.shape[1] - 0.5, mask.shape[0] - 0.5)
    outline = placement.outline(whole)
    # Two pixels more, since the outline of a bent mask consists of chords.
    left, top = np.maximum(np.floor(outline.min(axis=0)) - 2, 0).astype(int)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)) + 3, shape[::-1]).astype(int)
    size = max(right - left, 1), max(bottom - top, 1)
    small, scales = minify(mask, placement)
    # From the plane to pixels of the minified mask: x' + 0.5 = (x + middle + 0.5) * scale
    shift = (placement.middle() + 0.5) * scales - 0.5
    to_mask = translation(*shift) @ np.diag([*scales, 1.0])
    to_patch = translation(-left, -top) @ placement.to_image
    if isinstance(placement.bend, Straight):
        warped = cv2.warpPerspective(small, to_patch @ np.linalg.inv(to_mask), size)
    else:
        grid = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), axis=-1)
        plane = placement.bend.unbend(project(grid, np.linalg.inv(to_patch)))
        xs, ys = cv2.split((plane * scales + shift).astype(np.float32))
        warped = cv2.remap(small, xs, ys, cv2.INTER_LINEAR)
    return Patch(warped.astype(np.float32) / 255, int(left), int(top))


def minify(mask: np.ndarray, placement: Placement) -> tuple[np.ndarray, np.ndarray]:
    """Average the pixels of a mask that is to be shrunk, so that strokes do not break.

    Returns the mask, and the factors (2,) of its width and height.
    """
    scale = placement.scale()
    if scale > 0.75:
        return mask, np.ones(2)
    height, width = mask.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return small, np.array(size) / (width, height)


def blend(image: np.ndarray, patch: Patch, color: np.ndarray) -> None:
    """Mix a BGR colour, values in [0, 255], into an image (H, W, 3) uint8 in place, by a patch.

    Its shape, float32, broadcasts with (h, w, 3).
    """
    below, cover = patch.window(image), patch.coverage
    # Plane by plane: NumPy is several times slower with 3 as the innermost dimension.
    planes = [
        plane + cover * (color[..., channel] - plane) + np.float32(0.5)
        for channel, plane in enumerate(cv2.split(below))
    ]
    below[:] = cv2.merge([plane.astype(np.uint8) for plane in planes])


def random_color(
    rng: np.random.Generator, brightness: float, vividness: float, painted: bool = True
) -> np.ndarray:
    """Sample a BGR colour (3,) float32 of a given luma, in [0, 255] and met exactly.

    `vividness` is 0 for grey and 1 for as much colour as this luma has; if not `painted`, hues are
    those between earth and sky, which most surfaces have.
    """
    chroma = rng.uniform(-1, 1, 3).tolist()
    if not painted:
        side = 1.0 if rng.random() < 0.7 else -0.7
        chroma = [side * earth + 0.25 * value for earth, value in zip(EARTH, chroma)]
    luma = sum(weight * value for weight, value in zip(LUMA, chroma))
    chroma = [value - luma for value in chroma]
    rooms = [255 - brightness if value > 0 else brightness for value in chroma]
    farthest = min(room / max(abs(value), 1e-6) for room, value in zip(rooms, chroma))
    return np.array([brightness + vividness * farthest * v for v in chroma], np.float32)
