from collections.abc import Sequence

import cv2
import numpy as np

from dbnet.visualization.draw import LineStyle, draw_polygons, put_text, text_size

BACKGROUND = (48, 48, 48)
TEXT_SCALE = 1 / 26  # of OpenCV's font, per pixel of a line's height


def add_legend(
    image: np.ndarray, title: str, entries: Sequence[tuple[LineStyle, str]]
) -> np.ndarray:
    """Put an image (H, W, 3) above a strip with a title and what the line styles stand for.

    The strip has as many lines as it takes; an image narrower than an entry is widened.
    """
    unit = _unit(image.shape)
    scale = unit * TEXT_SCALE
    swatch = 3 * unit
    widths = [text_size(title, scale)[0] + 2 * unit]
    widths += [swatch + unit + text_size(label, scale)[0] + 2 * unit for _, label in entries]
    places, num_lines = flow(widths, image.shape[1] - unit)

    width = max(image.shape[1], max(widths) + unit)
    strip = np.full(((2 * num_lines + 1) * unit, width, 3), BACKGROUND, np.uint8)
    for (x, line), name, style in zip(
        places, [title, *(label for _, label in entries)], [None, *(s for s, _ in entries)]
    ):
        left, top = unit + x, unit + 2 * line * unit
        if style is not None:
            strip = draw_polygons(strip, [_box(left, top, left + swatch, top + unit)], style)
            left += swatch + unit
        put_text(strip, name, (left, top + unit - unit // 8), scale)
    missing = width - image.shape[1]
    image = cv2.copyMakeBorder(image, 0, 0, 0, missing, cv2.BORDER_CONSTANT, value=BACKGROUND)
    return np.vstack([image, strip])


def flow(widths: Sequence[int], line_length: int) -> tuple[list[tuple[int, int]], int]:
    """Set boxes side by side, beginning a new line where one does not fit.

    Returns:
        (x, line) of each box, and how many lines there are.
    """
    places: list[tuple[int, int]] = []
    x = line = 0
    for width in widths:
        if x > 0 and x + width > line_length:
            x, line = 0, line + 1
        places.append((x, line))
        x += width
    return places, line + 1


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """Put an image (H, W, 3) below a line of text, which is cut where it does not fit."""
    unit = _unit(image.shape)
    strip = np.full((2 * unit, image.shape[1], 3), BACKGROUND, np.uint8)
    put_text(strip, text, (unit // 2, unit + unit // 2), unit * TEXT_SCALE)
    return np.vstack([strip, image])


def shorten(name: str, length: int) -> str:
    """Cut the middle out of a file's name that is longer than `length` characters."""
    half = (length - 2) // 2
    return name if len(name) <= length else f"{name[:half]}..{name[-half:]}"


def _unit(shape: Sequence[int]) -> int:
    """Height in pixels of a line of text below an image of `shape` (H, W, ...)."""
    return max(12, round(max(shape[:2]) / 90))


def _box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
