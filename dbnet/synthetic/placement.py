"""Where a block of words lies in the image: bent baselines, planes in space, polygons."""

from typing import NamedTuple

import cv2
import numpy as np

from dbnet.synthetic.lettering import Block, Box, surround

BORDER = 2.0  # pixels between a word's polygon and the image's border, at least
MARGIN = 0.06  # of a word's height, in its polygon's distance from the ink
MAX_TURN = 2.4  # radians that a curved line turns from end to end


class Straight(NamedTuple):
    """The plane as it is, and how the others map it, (..., 2) with its origin in the middle."""

    def bend(self, points: np.ndarray) -> np.ndarray:
        return points

    def unbend(self, points: np.ndarray) -> np.ndarray:
        return points

    def num_points(self, width: float) -> int:
        """Count how many points along a word's length follow its curve."""
        return 2


class Arc(NamedTuple):
    """The baseline as part of a circle; a positive radius (pixels) has its centre below."""

    radius: float

    def bend(self, points: np.ndarray) -> np.ndarray:
        turn, distance = points[..., 0] / self.radius, self.radius - points[..., 1]
        return np.stack([distance * np.sin(turn), self.radius - distance * np.cos(turn)], axis=-1)

    def unbend(self, points: np.ndarray) -> np.ndarray:
        sign = np.sign(self.radius)
        x, y = points[..., 0] * sign, (self.radius - points[..., 1]) * sign
        return np.stack(
            [self.radius * np.arctan2(x, y), self.radius - sign * np.hypot(x, y)], axis=-1
        )

    def num_points(self, width: float) -> int:
        # A chord of 0.2 rad leaves its arc by radius / 200.
        return int(np.clip(np.ceil(width / abs(self.radius) / 0.2) + 1, 4, 12))


class Wave(NamedTuple):
    """The baseline as a sine, lengths in pixels."""

    height: float
    length: float
    phase: float

    def bend(self, points: np.ndarray) -> np.ndarray:
        return np.stack([points[..., 0], points[..., 1] + self._shift(points[..., 0])], axis=-1)

    def unbend(self, points: np.ndarray) -> np.ndarray:
        return np.stack([points[..., 0], points[..., 1] - self._shift(points[..., 0])], axis=-1)

    def num_points(self, width: float) -> int:
        return int(np.clip(np.ceil(14 * width / self.length) + 1, 4, 12))

    def _shift(self, x: np.ndarray) -> np.ndarray:
        return self.height * np.sin(x * (2 * np.pi / self.length) + self.phase)


Bend = Straight | Arc | Wave


class Placement(NamedTuple):
    """A block in the image."""

    block: Block
    bend: Bend
    # (3, 3) homography from the bent text plane, whose origin is the middle of the block's mask, to
    # pixels of the image.
    to_image: np.ndarray

    def middle(self) -> np.ndarray:
        """Position (2,) of the text plane's origin in the mask, pixels."""
        return (np.array(self.block.mask.shape[::-1]) - 1) / 2

    def outline(self, box: Box, margin: float = 0.0) -> np.ndarray:
        """Polygon (2 K, 2) float32 of a box of the mask: its top edge, then its bottom edge back.

        `margin` widens the box, both in pixels of the mask.
        """
        left, top, right, bottom = box
        count = self.bend.num_points(right - left)
        points = np.empty((2 * count, 2))
        points[:count, 0] = np.linspace(left - margin, right + margin, count)
        points[count:, 0] = points[count - 1 :: -1, 0]
        points[:count, 1], points[count:, 1] = top - margin, bottom + margin
        bent = self.bend.bend(points - self.middle())
        return project(bent, self.to_image).astype(np.float32)

    def word_polygon(self, box: Box) -> np.ndarray:
        """Polygon of a word or line: its ink and a small margin, as ICDAR's annotators leave.

        The margin is half a pixel of the image, but at most one of the mask, and a share of the
        height; less than half of what `set_block` leaves between words.
        """
        return self.outline(box, min(0.5 / self.scale(), 1.0) + MARGIN * (box[3] - box[1]))

    def scale(self) -> float:
        """Pixels of the image per pixel of the mask, in the middle."""
        return float(np.sqrt(abs(np.linalg.det(self.to_image[:2, :2]))))


def project(points: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Map (..., 2) points by a (3, 3) homography."""
    mapped = points @ homography[:, :2].T + homography[:, 2]
    return mapped[..., :2] / mapped[..., 2:]


def sample_bend(rng: np.random.Generator, block: Block, difficulty: float) -> Bend:
    """Sample a baseline; only single lines that are longer than high are ever bent."""
    height, width = block.mask.shape
    if len(block.lines) > 1 or width < 2 * height or rng.random() > 0.4 * difficulty:
        return Straight()
    if rng.random() < 0.75:
        turn = rng.uniform(0.4, MAX_TURN)
        radius = max(width / turn, 1.2 * height)
        return Arc(radius if rng.random() < 0.65 else -radius)
    length = width * rng.uniform(0.8, 1.6)
    # A sine of slope 2 pi height / length: steeper ones shear the letters apart.
    steepness = rng.uniform(0.15, 0.45)
    return Wave(steepness * length / (2 * np.pi), length, rng.uniform(0, 2 * np.pi))


def sample_plane(
    rng: np.random.Generator, block: Block, scale: float, difficulty: float
) -> np.ndarray:
    """Sample how a text plane is turned in space and seen by a camera.

    The distance of the camera is reckoned in the block's width; `scale` is pixels of the image per
    pixel of the mask. Returns the (3, 3) homography from the text plane to the image, both with the
    origin in the middle.
    """
    yaw, pitch = rng.normal(0, 0.05 + 0.3 * difficulty, size=2).clip(-1, 1) * (1, 0.6)
    roll = rng.normal(0, np.deg2rad(1.5 + 14 * difficulty))
    if rng.random() < 0.08 * difficulty:
        roll += rng.choice((-np.pi / 2, np.pi / 2))
    distance = max(block.mask.shape) * rng.uniform(1.5, 3.0)
    cos, sin = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    # First two columns of R_yaw R_pitch: where the plane's axes point in space.
    axes = np.array([[cos[0], sin[0] * sin[1]], [0, cos[1]], [-sin[0], cos[0] * sin[1]]])
    view = np.eye(3)
    view[:2, :2] = axes[:2]
    view[2, :2] = axes[2] / distance
    turn = np.array([[cos[2], -sin[2], 0], [sin[2], cos[2], 0], [0, 0, 1]])
    return np.diag([scale, scale, 1.0]) @ turn @ view


def place_block(
    rng: np.random.Generator,
    block: Block,
    bend: Bend,
    plane: np.ndarray,
    padding: float,
    occupied: np.ndarray,
) -> Placement | None:
    """Find room for a block and take it; None if there is no room even at half the size.

    `plane` is (3, 3), as of `sample_plane`; `padding` is free space around the ink, pixels of the
    mask. `occupied` (H, W) uint8 is not 0 where other blocks are, and gets the new one, in place.
    """
    for scale in (1.0, 0.8, 0.6, 0.45):
        placement = fit(block, bend, np.diag([scale, scale, 1.0]) @ plane, occupied.shape)
        box = surround(word.box for line in placement.block.lines for word in line)
        outline = placement.outline(box, padding)
        inner = placement.word_polygon(box)
        for _ in range(6):
            shift = sample_shift(rng, inner, occupied.shape)
            taken = np.rint(outline + shift).astype(np.int32)
            if claim(occupied, taken):
                return placement._replace(to_image=translation(*shift) @ placement.to_image)
    return None


def fit(block: Block, bend: Bend, plane: np.ndarray, shape: tuple[int, int]) -> Placement:
    """Put a block at the origin, shrunk if it is larger than the image."""
    placement = Placement(block, bend, plane)
    polygon = placement.word_polygon(surround(word.box for line in block.lines for word in line))
    room = np.array(shape[::-1]) - 1 - 2 * BORDER
    scale = float(min(1.0, *(room / (np.ptp(polygon, axis=0) + 1))))
    return placement._replace(to_image=np.diag([scale, scale, 1.0]) @ plane)


def translation(x: float, y: float) -> np.ndarray:
    """Make the homography (3, 3) of a shift."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def sample_shift(
    rng: np.random.Generator, polygon: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Sample a shift (2,) that puts a polygon inside an (H, W) image."""
    lowest = BORDER - polygon.min(axis=0)
    highest = np.array(shape[::-1]) - 1 - BORDER - polygon.max(axis=0)
    return rng.uniform(lowest, np.maximum(lowest, highest))


def claim(occupied: np.ndarray, polygon: np.ndarray) -> bool:
    """Fill an int32 polygon in `occupied`, in place, if nothing was there; say whether it was."""
    lower = np.maximum(polygon.min(axis=0), 0)
    upper = np.minimum(polygon.max(axis=0) + 1, occupied.shape[::-1])
    window = occupied[lower[1] : upper[1], lower[0] : upper[0]]
    filled = cv2.fillPoly(np.zeros(window.shape, np.uint8), [polygon - lower.astype(np.int32)], 1)
    if (filled & window).any():
        return False
    window |= filled
    return True
