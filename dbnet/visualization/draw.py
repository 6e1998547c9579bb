"""Outlines and captions on BGR images, in styles that colour-blind readers can tell apart.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color); each style differs from the others
in its line as well.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import shapely

from dbnet.geometry import clip, scale_matrix

Color = tuple[int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)
GREEN: Color = (115, 158, 0)
SKY_BLUE: Color = (233, 180, 86)
VERMILION: Color = (0, 94, 213)
YELLOW: Color = (66, 228, 240)
GREY: Color = (160, 160, 160)

FONT = cv2.FONT_HERSHEY_SIMPLEX
SUBPIXEL_BITS = 4
MARGIN = 100  # pixels around the image beyond which polygons are cut off


class LineStyle(NamedTuple):
    """How an outline is drawn; lengths are multiples of its width."""

    color: Color  # BGR
    dash: int = 0  # length of dashes and of the gaps between them; 0 for a solid line
    double: bool = False  # draw a second line around the first
    # Draw black edges, which are visible on any background, unless the line is a single pixel wide.
    # Without them it is half as wide.
    edged: bool = True


Layer = tuple[LineStyle, Sequence[np.ndarray]]  # polygons (N, 2), all in one style


def line_width(shape: Sequence[int]) -> int:
    """Return a line's width in pixels on an image of `shape` (H, W, ...): 2 on 1280x720."""
    return max(1, round(max(shape[:2]) / 640))


def draw_polygons(
    image: np.ndarray, polygons: Iterable[np.ndarray], style: LineStyle, width: int | None = None
) -> np.ndarray:
    """Return a copy of a BGR image with the outlines of polygons, (N, 2) in its pixels.

    Polygons that are not finite are left out. The lines are `width` pixels wide, by default
    `line_width` of the image.
    """
    width = width or line_width(image.shape)
    edge = width // 2
    if not style.edged:
        width = max(1, width // 2)
    lower, upper = (-MARGIN, -MARGIN), (image.shape[1] + MARGIN, image.shape[0] + MARGIN)
    near = [clip(polygon, lower, upper) for polygon in polygons if np.isfinite(polygon).all()]
    fixed_point = [
        np.rint(line * 2**SUBPIXEL_BITS).astype(np.int32)
        for polygon in near
        for line in outline(polygon, style, width)
    ]
    image = image.copy()
    strokes = [(BLACK, width + 2 * edge)] if style.edged else []
    for color, thickness in [*strokes, (style.color, width)]:
        cv2.polylines(image, fixed_point, False, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    return image


def draw_layers(image: np.ndarray, layers: Iterable[Layer]) -> np.ndarray:
    """Return a copy of a BGR image with polygons in its pixels; later layers cover earlier ones."""
    for style, polygons in layers:
        image = draw_polygons(image, polygons, style)
    return image


def outline(polygon: np.ndarray, style: LineStyle, width: float) -> list[np.ndarray]:
    """Return the lines (K, 2), `width` pixels wide, that outline a polygon (N, 2)."""
    if len(polygon) == 0:
        return []
    closed = np.concatenate([polygon, polygon[:1]]).astype(np.float64)
    rings = [closed, *ring_around(closed, 2 * width + 1)] if style.double else [closed]
    if style.dash:
        return [dash for ring in rings for dash in cut_into_dashes(ring, style.dash * width)]
    return rings


def ring_around(closed: np.ndarray, distance: float) -> list[np.ndarray]:
    """Return the closed line (K, 2) at a distance in pixels around a closed line (N, 2)."""
    around = shapely.LineString(closed).buffer(distance, join_style="mitre")
    return [np.array(part.exterior.coords) for part in shapely.get_parts(around)]


def cut_into_dashes(line: np.ndarray, length: float) -> list[np.ndarray]:
    """Keep every other stretch of `length` pixels of a line, (K, 2) points; the first one stays.

    The stretches are made a little shorter or longer, so that a closed line begins with a dash and
    ends with a gap. A line shorter than two stretches stays whole.
    """
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    keep = np.concatenate([[True], steps > 0])
    line, at = line[keep], np.concatenate([[0.0], np.cumsum(steps)])[keep]
    num_dashes = int(at[-1] / (2 * length))
    if num_dashes == 0:
        return [line]
    cuts = np.linspace(0, at[-1], 2 * num_dashes + 1)
    points = np.column_stack([np.interp(cuts, at, line[:, axis]) for axis in (0, 1)])
    return [
        np.vstack([points[i], line[(at > cuts[i]) & (at < cuts[i + 1])], points[i + 1]])
        for i in range(0, 2 * num_dashes, 2)
    ]


def resize_to_fit(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Shrink or enlarge an image so that it just fits into `size` (W, H).

    Returns it, and its (2, 3) matrix from pixels of the old to pixels of the new one.
    """
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    new_size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    matrix = scale_matrix(new_size[0] / width, new_size[1] / height)
    return cv2.resize(image, new_size, interpolation=interpolation), matrix


def put_text(image: np.ndarray, text: str, origin: tuple[int, int], scale: float) -> None:
    """Write white text onto an image itself; `origin` is (x, y) of the baseline's start.

    OpenCV's fonts have ASCII only; another character becomes a question mark.
    """
    cv2.putText(image, to_ascii(text), origin, FONT, scale, WHITE, 1, cv2.LINE_AA)


def text_size(text: str, scale: float) -> tuple[int, int]:
    """Return width and height in pixels of what `put_text` writes, without descenders."""
    (width, height), _ = cv2.getTextSize(to_ascii(text), FONT, scale, 1)
    return width, height


def to_ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
