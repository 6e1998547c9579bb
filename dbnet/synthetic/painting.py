"""Paint blocks of words and their boards: warp masks, choose legible colours, blend."""

from typing import NamedTuple

import cv2
import numpy as np

from dbnet.synthetic.lettering import Block
from dbnet.synthetic.placement import Placement, Straight, project, translation

LUMA = (0.114, 0.587, 0.299)  # weights of B, G and R, ITU-R BT.601
EARTH = (-1.0, 0.1, 0.6)  # from grey to brown; the other way lie the blues
UNEVEN = 20.0  # standard deviation of the ground's luma from which words need a board
BLACK = 25.0  # luma of the darkest letters; real paint reflects some light


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


class Board(NamedTuple):
    """The flat ground of a sign."""

    color: np.ndarray  # (3,) BGR
    frame_color: np.ndarray  # (3,) BGR
    frame: float  # thickness of the frame as a share of the padding; 0 for none
    rounding: float  # radius of the corners as a share of the padding


def sample_board(rng: np.random.Generator) -> Board:
    """Sample the look of a board: dark, coloured or whitish, with or without a frame."""
    brightness = float(rng.choice((35, 90, 140, 215)) + rng.uniform(-25, 25))
    color = random_color(rng, brightness, rng.uniform(0, 1) ** (0.5 if brightness < 160 else 2))
    frame_color = color * 0.5 if rng.random() < 0.5 else 255 - (255 - color) * 0.3
    frame = rng.uniform(0.12, 0.35) if rng.random() < 0.45 else 0.0
    return Board(color, frame_color, frame, rng.uniform(0.3, 1.5) if rng.random() < 0.4 else 0.0)


def paint_board(
    rng: np.random.Generator, image: np.ndarray, placement: Placement, padding: float, board: Board
) -> None:
    """Paint a board below a block of words into an image (H, W, 3) uint8 BGR, in place.

    `padding` goes from the block's mask to the board's edge, pixels of the mask.
    """
    grow = int(padding)
    height, width = (side + 2 * grow for side in placement.block.mask.shape)
    shape = image.shape[:2]
    whole = rounded_rectangle((height, width), 1, board.rounding * padding)
    patch = warp_mask(placement, whole, shape)
    blend(image, cast_shadow(rng, patch), np.zeros(3, np.float32))
    slope = rng.uniform(-0.2, 0.2)
    shading = 1 + slope * np.linspace(-1, 1, patch.coverage.shape[0], dtype=np.float32)
    color = np.minimum(shading[:, None, None] * board.color, 255)
    blend(image, patch, color)
    if board.frame:
        inset = 1 + max(1, int(board.frame * padding))
        inner = rounded_rectangle((height, width), inset, board.rounding * padding - inset)
        line = rounded_rectangle((height, width), 1 + inset // 3, board.rounding * padding)
        blend(image, warp_mask(placement, cv2.subtract(line, inner), shape), board.frame_color)


def rounded_rectangle(shape: tuple[int, int], inset: int, radius: float) -> np.ndarray:
    """Fill a rectangle in a mask (H, W) uint8, `inset` pixels from its border."""
    mask = np.zeros(shape, np.uint8)
    bottom, right = shape[0] - 1 - inset, shape[1] - 1 - inset
    corner = int(np.clip(radius, 0, min(shape) / 2 - inset - 1))
    cv2.rectangle(mask, (inset + corner, inset), (right - corner, bottom), 255, -1)
    cv2.rectangle(mask, (inset, inset + corner), (right, bottom - corner), 255, -1)
    if corner > 0:
        for x in (inset + corner, right - corner):
            for y in (inset + corner, bottom - corner):
                cv2.circle(mask, (x, y), corner, 255, -1, cv2.LINE_AA)
    return mask


def paint_sign(
    rng: np.random.Generator,
    image: np.ndarray,
    placement: Placement,
    padding: float,
    difficulty: float,
) -> None:
    """Paint a block of words in place; on uneven grounds, and on others often, with a board.

    See `paint_board`; `difficulty`, in [0, 1], is that of the contrast.
    """
    letters = warp_mask(placement, placement.block.mask, image.shape[:2])
    mean, spread = ground_below(letters.window(image), letters.coverage)
    if rng.random() < 0.3 or spread > UNEVEN:
        paint_board(rng, image, placement, padding, sample_board(rng))
        mean, spread = ground_below(letters.window(image), letters.coverage)
    gap = 120 - 60 * difficulty + spread
    paint_letters(rng, image, letters, sample_brightness(rng, mean, gap, difficulty), difficulty)


def paint_letters(
    rng: np.random.Generator,
    image: np.ndarray,
    letters: Patch,
    brightness: float,
    difficulty: float,
) -> None:
    """Paint letters in place, in a colour of luma `brightness`; some are outlined or cast a shadow.

    Outline and shadow reach two pixels beyond the ink at most and do not count as such.
    """
    color = random_color(rng, brightness, rng.uniform(0, 1))
    opposite = random_color(rng, 15 if brightness > 127 else 240, 0.3)
    decoration = rng.random()
    if decoration < 0.1:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
        around = letters._replace(coverage=cv2.dilate(letters.coverage, disc))
        blend(image, around, opposite)
    elif decoration < 0.3:
        blend(image, cast_shadow(rng, letters), opposite)
    fade = 1 + rng.uniform(-0.1, 0.1) * np.linspace(-1, 1, letters.coverage.shape[1])
    opacity = np.float32(1 - 0.15 * rng.random() * difficulty)
    color = np.clip(fade[None, :, None].astype(np.float32) * color, 0, 255)
    blend(image, letters._replace(coverage=letters.coverage * opacity), color)


def cast_shadow(rng: np.random.Generator, patch: Patch) -> Patch:
    """Shift, soften and weaken a patch of letters, within its window."""
    x, y = (int(step) for step in rng.integers(-2, 3, size=2))
    height, width = patch.coverage.shape
    shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
    moved = cv2.warpAffine(patch.coverage, shift, (width, height))
    return patch._replace(coverage=cv2.blur(moved, (3, 3)) * np.float32(rng.uniform(0.3, 0.7)))


def ground_below(window: np.ndarray, coverage: np.ndarray) -> tuple[float, float]:
    """Measure mean and standard deviation of the luma around letters.

    Takes the window (h, w, 3) uint8 BGR before they are painted, and their coverage (h, w) float32.
    """
    reach = cv2.blur(coverage, (9, 9))
    total = float(reach.sum()) + 1e-6
    gray = cv2.cvtColor(window, cv2.COLOR_BGR2GRAY).astype(np.float32)
    mean = float((gray * reach).sum()) / total
    return mean, float(np.sqrt(((gray - mean) ** 2 * reach).sum() / total))


def sample_brightness(
    rng: np.random.Generator, mean: float, gap: float, difficulty: float
) -> float:
    """Sample a luma at least `gap` away from `mean`, or the farther end if there is no such."""
    room = {1: 255 - mean - gap, -1: mean - gap - BLACK}
    sides = [side for side in room if room[side] >= 0]
    if not sides:
        return 255.0 if mean < 127.5 else 0.0
    side = sides[rng.integers(len(sides))]
    return mean + side * (gap + room[side] * rng.random() ** (1 + difficulty))
