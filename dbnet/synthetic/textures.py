"""Procedural surfaces without text: (H, W) fields, in [0, 1] but for a few pixels of joints."""

from collections.abc import Callable

import cv2
import numpy as np

Texture = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    finest: int = 2,
    roughness: float = 0.55,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """Sum octaves of smooth noise (H, W), each of half the wavelength of the one before.

    `finest` is the shortest wavelength in pixels, `roughness` the amplitude of an octave as a share
    of that of the one before, `stretch` has factors of the wavelength along y and x.
    """
    sides = [max(2, int(side / finest / factor)) for side, factor in zip(shape, stretch)]
    levels: list[tuple[int, ...]] = [tuple(sides)]
    while min(levels[-1]) > 4:
        levels.append(tuple(max(2, side // 2) for side in levels[-1]))
    field: np.ndarray = rng.random(levels[-1], np.float32)
    for level in reversed(levels[:-1]):
        field = cv2.resize(field, level[::-1], interpolation=cv2.INTER_LINEAR)
        field = field * np.float32(1 / roughness) + rng.random(level, np.float32)
    return _stretch(cv2.resize(field, shape[::-1], interpolation=cv2.INTER_LINEAR))


def plaster(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a wall with large stains and a fine grain."""
    return noise(rng, shape, finest=1, roughness=rng.uniform(0.35, 0.6))


def asphalt(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw fine grit."""
    return noise(rng, shape, finest=1, roughness=0.9)


def sky(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a vertical gradient with clouds."""
    gradient = np.linspace(0, 1, shape[0], dtype=np.float32)[:, None]
    clouds = noise(rng, shape, finest=8, roughness=0.5, stretch=(1.0, 2.0))
    return 0.6 * gradient + 0.4 * clouds


def foliage(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw leaves in light and shade."""
    leaves = noise(rng, shape, finest=int(rng.integers(3, 6)), roughness=0.8)
    return _stretch(np.sin(leaves * rng.uniform(8, 16)))


def bricks(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw courses of bricks, each shifted by half a brick."""
    height = int(rng.integers(8, 26))
    return _masonry(rng, shape, height, int(height * rng.uniform(1.8, 3.2)), 0.5)


def tiles(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a grid of tiles or paving stones."""
    height = int(rng.integers(14, 60))
    return _masonry(rng, shape, height, int(height * rng.uniform(0.8, 1.6)), 0.0)


def _masonry(
    rng: np.random.Generator, shape: tuple[int, int], height: int, width: int, shift: float
) -> np.ndarray:
    rows, row = np.divmod(np.arange(shape[0]), height)  # (H,)
    across = np.arange(shape[1])[None] + ((rows % 2) * shift * width).astype(int)[:, None]
    columns, column = np.divmod(across, width)  # (H, W)
    values = rng.random((rows[-1] + 1, columns.max() + 1), np.float32)
    joint = max(1, height // 10)
    field = 0.35 + 0.5 * values[rows[:, None], columns]
    field += 0.25 * (noise(rng, shape, finest=1, roughness=0.7) - 0.5)
    field[(row < joint)[:, None] | (column < joint)] *= rng.uniform(0.2, 1.5)
    return field


def planks(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw boards with grain, side by side."""
    width = int(rng.integers(14, 50))
    rows, row = np.divmod(np.arange(shape[0]), width)
    grain = noise(rng, shape, finest=1, roughness=0.75, stretch=(1.0, 12.0))
    field = 0.6 * grain + 0.4 * rng.random(rows[-1] + 1, np.float32)[rows][:, None]
    field[row < max(1, width // 16)] *= 0.25
    return field if rng.random() < 0.5 else np.ascontiguousarray(_quarter_turn(field, shape))


def cloth(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a weave with folds."""
    threads = rng.uniform(1.2, 2.6, size=2)
    weave = np.sin(np.arange(shape[0]) * threads[0])[:, None] * np.sin(
        np.arange(shape[1]) * threads[1]
    )
    folds = noise(rng, shape, finest=16, stretch=(3.0, 1.0))
    return (0.75 * folds + 0.12 * (weave + 1)).astype(np.float32)


def corrugated(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw corrugated metal, a shutter or a blind."""
    wave = np.sin(np.arange(shape[0]) * rng.uniform(0.25, 0.9)).astype(np.float32)[:, None]
    field = 0.5 + 0.3 * wave + 0.2 * (noise(rng, shape, finest=4) - 0.5)
    return field if rng.random() < 0.5 else np.ascontiguousarray(_quarter_turn(field, shape))


def windows(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Draw a front with rows of windows, some of them lit."""
    cell = rng.integers(20, 60, size=2)
    share = rng.uniform(0.4, 0.75, size=2)
    (rows, row), (columns, column) = (
        np.divmod(np.arange(side), size) for side, size in zip(shape, cell)
    )
    panes = 0.7 * rng.random((rows[-1] + 1, columns[-1] + 1), np.float32) ** 2
    glass = (row < share[0] * cell[0])[:, None] & (column < share[1] * cell[1])
    wall = 0.55 + 0.4 * noise(rng, shape, finest=1)
    return np.where(glass, panes[rows[:, None], columns], wall)


def _stretch(field: np.ndarray) -> np.ndarray:
    low, high = float(field.min()), float(field.max())
    return (field - low) * np.float32(1 / max(high - low, 1e-6))


def _quarter_turn(field: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return cv2.resize(field.T, shape[::-1], interpolation=cv2.INTER_LINEAR)


PLAIN: tuple[Texture, ...] = (plaster, sky, cloth)
BUILT: tuple[Texture, ...] = (bricks, tiles, planks, corrugated, windows)
TEXTURES: tuple[Texture, ...] = (*PLAIN, *BUILT, asphalt, foliage)
