"""What a scene shows besides text: surfaces in perspective, or a photo."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from dbnet.errors import UserError
from dbnet.images import SUFFIXES, read_image
from dbnet.synthetic.painting import random_color
from dbnet.synthetic.textures import BUILT, PLAIN, TEXTURES, foliage, sky


def folder_photos(folder: str | Path) -> tuple[str, ...]:
    """Name the images below a folder, sorted; a `UserError` if there is none."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"background_dir {folder}: no image in it; name a folder of photos")
    return tuple(str(path) for path in paths)


def draw_background(
    rng: np.random.Generator, shape: tuple[int, int], difficulty: float, photos: Sequence[str] = ()
) -> np.ndarray:
    """Draw a background, (H, W, 3) uint8 BGR; cut from one of the files of `photos`, if there are.

    Higher `difficulty`, in [0, 1], is more surfaces, rougher ones and more contrast.
    """
    if photos:
        return crop_photo(rng, load_photo(photos[int(rng.integers(len(photos)))]), shape)
    image = draw_surface(rng, shape, difficulty)
    for _ in range(rng.binomial(3, 0.15 + 0.5 * difficulty)):
        behind = half_plane(rng, shape)
        cv2.copyTo(draw_surface(rng, shape, difficulty), behind, image)
    return image


@lru_cache(maxsize=32)
def load_photo(path: str) -> np.ndarray:
    """Decode a photo, once per process while it is in use."""
    return read_image(path)


def crop_photo(rng: np.random.Generator, photo: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cut a part with the aspect ratio of `shape` (H, W) out of a photo and resize it."""
    largest = min(photo.shape[0] / shape[0], photo.shape[1] / shape[1])
    scale = largest * rng.uniform(0.5, 1.0)
    height, width = (max(1, int(side * scale)) for side in shape)
    top = rng.integers(photo.shape[0] - height + 1)
    left = rng.integers(photo.shape[1] - width + 1)
    part = photo[top : top + height, left : left + width]
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    part = cv2.resize(part, shape[::-1], interpolation=method)
    return np.ascontiguousarray(part[:, ::-1]) if rng.random() < 0.5 else part


def draw_surface(rng: np.random.Generator, shape: tuple[int, int], difficulty: float) -> np.ndarray:
    """Draw one surface, (H, W, 3) uint8 BGR: a texture, coloured, seen at an angle."""
    choices = TEXTURES if rng.random() < 0.25 + 0.75 * difficulty else PLAIN
    texture = choices[rng.integers(len(choices))]
    field = texture(rng, shape)
    levels = np.clip(field * 255, 0, 255).astype(np.uint8)
    image = cv2.LUT(cv2.merge([levels] * 3), sample_ramp(rng, texture, difficulty))
    if texture in BUILT:
        image = cv2.warpPerspective(
            image, tilt(rng, shape), shape[::-1], borderMode=cv2.BORDER_REFLECT_101
        )
    return image


def sample_ramp(rng: np.random.Generator, texture: object, difficulty: float) -> np.ndarray:
    """Sample the colours of a texture's values: (256, 1, 3) uint8 from dark to bright."""
    contrast = rng.uniform(0.3, 0.6 + 0.4 * difficulty) * 130
    middle = rng.uniform(15 + contrast / 2, 230 - contrast / 2)
    vividness, painted = rng.uniform(0, 0.75) ** 1.5, bool(rng.random() < 0.2)
    base = random_color(rng, middle, vividness, painted)
    if texture is foliage:
        base = np.array([30, 90, 60], np.float32) + rng.uniform(-20, 30, 3)
    elif texture is sky and rng.random() < 0.7:
        base = np.array([190, 150, 110], np.float32) + rng.uniform(-30, 40, 3)
    other = 0.7 * base + 0.3 * random_color(rng, middle, vividness, painted)
    share = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    ramp = base + (other - base) * share + contrast * (share - 0.5)
    return np.clip(ramp, 0, 255).astype(np.uint8)[:, None]


def tilt(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Sample a homography (3, 3) that moves each corner inwards or outwards."""
    height, width = shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = corners * 1.4 - np.array([0.2 * width, 0.2 * height])
    moved = moved + rng.uniform(-0.2, 0.2, (4, 2)) * (width, height)
    return cv2.getPerspectiveTransform(corners, moved.astype(np.float32))


def half_plane(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Sample a mask (H, W) uint8 of one side of a line, which is mostly upright or level."""
    height, width = shape
    angle = rng.integers(4) * np.pi / 2 + rng.normal(0, 0.2)
    point = rng.uniform(0.15, 0.85, size=2) * (width, height)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    far = 2.0 * (width + height)
    corners = [point - far * along, point + far * along]
    corners += [corners[1] + far * across, corners[0] + far * across]
    return cv2.fillConvexPoly(np.zeros(shape, np.uint8), np.rint(corners).astype(np.int32), 255)
