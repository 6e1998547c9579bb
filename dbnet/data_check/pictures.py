"""Small pictures of images and words, with the findings drawn in."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dbnet.data_check.inspection import points_of
from dbnet.errors import ImageError
from dbnet.geometry import transform
from dbnet.images import read_image
from dbnet.remote.paths import join
from dbnet.visualization.draw import GREEN, GREY, VERMILION, LineStyle, draw_polygons, resize_to_fit
from dbnet.visualization.page import to_source

Array = np.ndarray
Box = tuple[int, int, int, int]

COUNTED = LineStyle(GREEN)
IGNORED = LineStyle(GREY, dash=4, edged=False)
FOUND = LineStyle(VERMILION)
WIDTHS = {IGNORED: 2, COUNTED: 2, FOUND: 3}  # pixels; in the order in which they are drawn

SIZE = (480, 360)  # (W, H) of a picture at most
ASPECT = np.array([SIZE[0] / SIZE[1], 1.0])
CONTEXT = 1.0  # lengths of a word shown above and below it
MIN_VIEW = 0.12  # part of the image's longer side that is shown at least
FAR = 1e9  # pixels; no image reaches as far
BEYOND = 1.0  # part of an image shown beyond its edge at most
BACKGROUND = (128, 128, 128)


def draw_entry(folder: Path, entry: Any, words: Collection[int], close: bool) -> str | None:
    """Draw an entry of `data_list` as the source of an HTML image; None if it cannot be read.

    `words` are indices in `instances` to point out, if `close` without the rest of the image.
    """
    try:
        image = read_image(join(str(folder), entry["img_path"]))
    except (ImageError, cv2.error):
        return None
    polygons = written_polygons(entry["instances"])
    view = (0, 0, image.shape[1], image.shape[0])
    if close:
        view = view_around([polygons[i] for i in words if i in polygons], image.shape[:2])
    small, matrix = resize_to_fit(crop(image, view), SIZE)
    matrix[:, 2] -= matrix[:, :2] @ view[:2]
    layers: dict[LineStyle, list[Array]] = {style: [] for style in WIDTHS}
    for index, polygon in polygons.items():
        ignored = entry["instances"][index].get("ignore")
        style = FOUND if index in words else IGNORED if ignored else COUNTED
        layers[style].append(transform(polygon, matrix))
    for style, width in WIDTHS.items():
        small = draw_polygons(small, layers[style], style, width)
    return to_source(small)


def written_polygons(instances: list[Any]) -> dict[int, Array]:
    """Return the points (N, 2) of words that can be drawn, as written, by the words' indices."""
    polygons = {}
    for index, word in enumerate(instances):
        points = points_of(word.get("polygon")) if isinstance(word, dict) else None
        if points is not None:
            polygons[index] = points[(np.abs(points) < FAR).all(axis=1)]
    return {index: polygon for index, polygon in polygons.items() if len(polygon)}


def view_around(polygons: list[Array], shape: tuple[int, int]) -> Box:
    """Choose the part of an (H, W) image that shows polygons (N, 2) and their surroundings.

    Returns first and one past the last pixel: left, top, right, bottom; may reach beyond the image.
    """
    whole = np.array([[0, 0], [shape[1], shape[0]]], dtype=np.float64)
    if not polygons:
        return 0, 0, shape[1], shape[0]
    lower, upper = np.vstack(polygons).min(axis=0), np.vstack(polygons).max(axis=0)
    margin = max(CONTEXT * (upper - lower).max(), MIN_VIEW * max(shape) / 2) * ASPECT
    view = np.array([lower - margin, upper + margin])
    if (lower < whole[0] - 1).any() or (upper > whole[1]).any():  # show how far off it is
        view = np.array([np.minimum(view[0], whole[0]), np.maximum(view[1], whole[1])])
        beyond = BEYOND * (whole[1] - whole[0])
        view = view.clip(whole[0] - beyond, whole[1] + beyond)
    else:
        view = view.clip(*whole)
    (left, top), (right, bottom) = np.rint(view).astype(int).tolist()
    return left, top, max(right, left + 1), max(bottom, top + 1)


def crop(image: Array, view: Box) -> Array:
    """Crop an image (H, W, 3) to a view; what lies beyond the image is grey."""
    left, top, right, bottom = view
    height, width = image.shape[:2]
    part = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    borders = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    return cv2.copyMakeBorder(part, *borders, cv2.BORDER_CONSTANT, value=BACKGROUND)
