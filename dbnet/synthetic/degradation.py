"""What light, lens, sensor and file format do to a picture."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from dbnet.synthetic.textures import noise

GRAIN_SIDE = 256  # pixels of a cut of noise; larger pictures repeat it


class Camera(NamedTuple):
    """How a picture is taken."""

    blur: float  # standard deviation of the blur in pixels
    motion: float  # length of the motion's blur in pixels; below 2 there is none
    direction: float  # of the motion, radians
    gain: tuple[float, ...]  # factors of B, G and R
    contrast: float  # factor of the distance from middle grey
    shade: float  # how much darker the darkest part of the picture is by shadow and dirt, in [0, 1]
    grain: float  # standard deviation of the sensor's noise, in steps of 255
    quality: int  # of the JPEG

    @property
    def smear(self) -> float:
        """Standard deviation of all blur, in pixels."""
        return float(np.hypot(self.blur, self.motion / np.sqrt(12) if self.motion >= 2 else 0.0))


def sample_camera(rng: np.random.Generator, difficulty: float) -> Camera:
    """Sample a camera: sharp and even at difficulty 0, a shaky hand at dusk at 1."""
    exposure = rng.uniform(1 - 0.25 * difficulty, 1.2)
    return Camera(
        blur=rng.uniform(0, 0.3 + 0.9 * difficulty),
        motion=rng.uniform(2, 4.5) if rng.random() < 0.2 * difficulty else 0.0,
        direction=rng.uniform(0, np.pi),
        gain=tuple((exposure * rng.uniform(1 - 0.1 * difficulty, 1, 3)).tolist()),
        contrast=rng.uniform(1 - 0.15 * difficulty, 1.2),
        shade=rng.uniform(0.05, 0.2 + 0.3 * difficulty),
        grain=rng.uniform(0.5, 2 + 6 * difficulty),
        quality=int(rng.uniform(90 - 55 * difficulty, 96)),
    )


def take_picture(rng: np.random.Generator, image: np.ndarray, camera: Camera) -> np.ndarray:
    """Return what a camera makes of a scene; (H, W, 3) uint8 BGR both."""
    shape = image.shape[:2]
    if camera.blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), camera.blur)
    if camera.motion >= 2:
        image = cv2.filter2D(image, -1, motion_kernel(camera.motion, camera.direction))
    light = 1 - np.float32(camera.shade) * noise(rng, shape, finest=2, roughness=0.4)
    factors = cv2.merge([light * np.float32(gain * camera.contrast) for gain in camera.gain])
    lit = cv2.multiply(image, factors, dtype=cv2.CV_32F)
    pivot = 128 * (1 - camera.contrast)
    grain = cut_grain(rng, shape)
    return compress(cv2.addWeighted(lit, 1, grain, camera.grain, pivot, dtype=cv2.CV_8U), camera)


def defocus(rng: np.random.Generator, image: np.ndarray, difficulty: float) -> np.ndarray:
    """Blur what lies behind the words, more so in easy scenes; (H, W, 3) uint8 BGR both."""
    if rng.random() < 0.3:
        return image
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.0 - difficulty))


def motion_kernel(length: float, direction: float) -> np.ndarray:
    """Make the kernel of a straight motion, (K, K) float32 with sum 1."""
    side = 2 * int(np.ceil(length / 2)) + 3
    kernel, middle = np.zeros((side, side), np.uint8), side // 2
    half = np.array([np.cos(direction), np.sin(direction)]) * length / 2
    a, b = (np.rint((middle + sign * half) * 256).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, a, b, 255, 1, cv2.LINE_AA, shift=8)
    return kernel.astype(np.float32) / kernel.sum()


@lru_cache(maxsize=1)
def noise_sheet() -> np.ndarray:
    """Draw the noise that `cut_grain` cuts from: normal, a little correlated, (S, S, 3) float32.

    A fixed sheet, since drawing normal numbers for a picture takes as long as all its text.
    """
    side = 2 * GRAIN_SIDE
    sheet: np.ndarray = np.random.default_rng(0).standard_normal((side, side, 3), np.float32)
    sheet = cv2.GaussianBlur(sheet, (0, 0), 0.6)
    return sheet / sheet.std()


def cut_grain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Cut noise (H, W, 3) float32 of standard deviation 1 out of the sheet, mirrored if larger."""
    height, width = (min(side, GRAIN_SIDE) for side in shape)
    top, left = rng.integers(GRAIN_SIDE, size=2)
    part = noise_sheet()[top : top + height, left : left + width]
    below, right = shape[0] - height, shape[1] - width
    if not below and not right:
        return part
    return cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REFLECT)


def compress(image: np.ndarray, camera: Camera) -> np.ndarray:
    """Store an image as JPEG and read it again."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
