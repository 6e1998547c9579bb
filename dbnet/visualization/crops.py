"""Cut texts out of an image, upright and flat, as a recogniser wants them."""

import cv2
import numpy as np

from dbnet.geometry import order_corners, perimeter

STEPS = 128  # at which the outline of a curved text is sampled


def crop_text(image: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Cut a text, a polygon (K, 2), out of an image (H, W, 3) uint8, reading from left to right.

    Quads are warped by perspective; other polygons are taken as bands of varying width, whose two
    long sides become straight. What lies beyond the image is its nearest pixel. Returns (h, w, 3)
    uint8, at least one pixel on each side.
    """
    if len(polygon) == 4:
        return _crop_quad(image, order_corners(np.asarray(polygon, np.float32)))
    return _crop_band(image, *long_sides(polygon))


def _crop_quad(image: np.ndarray, quad: np.ndarray) -> np.ndarray:
    top, right, bottom, left = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    width, height = (max(1, round(float(a + b) / 2)) for a, b in ((top, bottom), (left, right)))
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(quad, corners)
    return cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


def _crop_band(image: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Straighten a band between two sides, each (N, 2), whose points lie opposite each other."""
    middle = (upper + lower) / 2
    lengths = np.linalg.norm(np.diff(middle, axis=0), axis=1)
    width = max(1, round(float(lengths.sum())))
    height = max(1, round(float(np.median(np.linalg.norm(lower - upper, axis=1)))))
    along = np.concatenate([[0], np.cumsum(lengths)])
    columns = (np.arange(width) + 0.5) * along[-1] / width
    top, bottom = (
        np.stack([np.interp(columns, along, side[:, axis]) for axis in (0, 1)], axis=1)
        for side in (upper, lower)
    )
    share = (np.arange(height)[:, None, None] + 0.5) / height
    grid = (top + share * (bottom - top)).astype(np.float32)  # (height, width, 2)
    xs, ys = cv2.split(grid)
    return cv2.remap(image, xs, ys, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def long_sides(polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the two long sides of a band, upper and lower, each (N, 2), from left to right.

    Points at equal distances from the middle of an end, one to either side, lie opposite each
    other. The middle of an end is where they are the nearest to each other on average.
    """
    points = _sample_outline(np.asarray(polygon, np.float64))
    half = STEPS // 2
    steps = np.arange(1, half)
    starts = np.arange(STEPS)[:, None]
    one, other = (points[(starts + sign * steps) % STEPS] for sign in (1, -1))
    widths = np.linalg.norm(one - other, axis=-1)  # (STEPS, half - 1)
    best = int(widths.mean(axis=1).argmin())
    # The first and last of them lie on the ends themselves, half a band's width around the middle.
    end = np.median(widths[best]) / 2 / (perimeter(polygon) / STEPS)
    inner = slice(min(round(end), half // 4), half - 1 - min(round(end), half // 4))
    sides = one[best][inner], other[best][inner]
    if sides[0][0, 0] > sides[0][-1, 0]:
        sides = sides[0][::-1], sides[1][::-1]
    upper, lower = sorted(sides, key=lambda side: float(side[:, 1].mean()))
    return upper, lower


def _sample_outline(polygon: np.ndarray) -> np.ndarray:
    """Sample `STEPS` points (STEPS, 2) of a closed outline (K, 2) at equal distances."""
    ring = np.concatenate([polygon, polygon[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(ring, axis=0), axis=1))])
    places = np.arange(STEPS) * along[-1] / STEPS
    return np.stack([np.interp(places, along, ring[:, axis]) for axis in (0, 1)], axis=1)
