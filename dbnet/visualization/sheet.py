"""Pictures put together: with a legend, below a caption, as tiles of a sheet."""

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from dbnet.geometry import rectangle, transform
from dbnet.visualization.draw import (
    Layer,
    LineStyle,
    draw_layers,
    draw_polygons,
    put_text,
    resize_to_fit,
    text_size,
)

BACKGROUND = (48, 48, 48)
TEXT_SCALE = 1 / 26  # of OpenCV's font, per pixel of a line's height
MARGIN = 8  # pixels between the tiles of a sheet

# Rank, with the image's path behind it, and the picture as PNG: processes send it to each other.
RankedTile = tuple[tuple[int, str], bytes]


def add_legend(
    image: np.ndarray, title: str, entries: Sequence[tuple[LineStyle, str]]
) -> np.ndarray:
    """Put an image (H, W, 3) above a strip with a title and a legend of line styles.

    The strip has as many lines as needed; an image narrower than an entry is widened.
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
            strip = draw_polygons(strip, [rectangle(left, top, left + swatch, top + unit)], style)
            left += swatch + unit
        put_text(strip, name, (left, top + unit - unit // 8), scale)
    missing = width - image.shape[1]
    image = cv2.copyMakeBorder(image, 0, 0, 0, missing, cv2.BORDER_CONSTANT, value=BACKGROUND)
    return np.vstack([image, strip])


def flow(widths: Sequence[int], line_length: int) -> tuple[list[tuple[int, int]], int]:
    """Place boxes side by side, breaking the line where one does not fit.

    Returns (x, line) of each box, and how many lines there are.

    >>> flow([30, 30, 50], line_length=80)
    ([(0, 0), (30, 0), (0, 1)], 2)
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
    """Cut the middle out of a file's name that is longer than `length` characters.

    >>> shorten("street_in_the_rain.jpg", 12)
    'stree..n.jpg'
    """
    half = (length - 2) // 2
    return name if len(name) <= length else f"{name[:half]}..{name[-half:]}"


def _unit(shape: Sequence[int]) -> int:
    """Return the height in pixels of a line of text below an image of `shape` (H, W, ...)."""
    return max(12, round(max(shape[:2]) / 90))


def draw_tile(
    image: np.ndarray, layers: Iterable[Layer], size: tuple[int, int], title: str
) -> np.ndarray:
    """Draw a copy of an image with polygons, at most of `size` (W, H), below a title."""
    small, matrix = resize_to_fit(image, size)
    scaled = [(style, [transform(p, matrix) for p in polygons]) for style, polygons in layers]
    return caption(draw_layers(small, scaled), title)


def contact_sheet(tiles: Sequence[np.ndarray], columns: int | None = None) -> np.ndarray:
    """Arrange images (H, W, 3) in rows, each at the top left of a cell that fits the largest.

    There are as many columns as rows if their number is not given.
    """
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    height = max(tile.shape[0] for tile in tiles) + MARGIN
    width = max(tile.shape[1] for tile in tiles) + MARGIN
    rows = math.ceil(len(tiles) / columns)
    shape = (rows * height + MARGIN, min(columns, len(tiles)) * width + MARGIN, 3)
    sheet = np.full(shape, BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        top, left = row * height + MARGIN, column * width + MARGIN
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def encode_tile(tile: np.ndarray) -> bytes:
    """Encode an image (H, W, 3) as PNG."""
    return cv2.imencode(".png", tile)[1].tobytes()


def worst_sheet(kept: Iterable[RankedTile], capacity: int) -> np.ndarray | None:
    """Arrange at most `capacity` images in a sheet, the worst first; None if there are none.

    Several processes may have seen the same image: it is shown once.
    """
    by_path = {rank[1]: (rank, png) for rank, png in kept}
    encoded = [png for _, png in sorted(by_path.values(), reverse=True)[:capacity]]
    pictures = [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in encoded]
    return contact_sheet([np.asarray(picture) for picture in pictures]) if pictures else None
