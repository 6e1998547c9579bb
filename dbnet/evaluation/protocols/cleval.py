"""Protocol that counts characters: CLEval (Baek et al., CVPR workshops 2020; clovaai/CLEval)."""

import itertools
import math

import numpy as np
import shapely

from dbnet.evaluation.protocols.scene import Array, Row, Scene, shares
from dbnet.polygon_iou import contains

MIN_PRECISION = 0.3  # share of a prediction that lies in its text
UPRIGHT = 0.5  # a quad narrower than this, in heights, is read upwards
MOST = 10  # characters that a shape alone can stand for
TINY = 1e-5  # the package's, against division by 0


def count_cleval(scene: Scene) -> Row:
    """Count characters as CLEval's detection score does, with the settings of its package.

    A text of n characters has n points on its middle line. A prediction may stand for a text if it
    has points of it inside, and for several if they cover it together. A point counts once; each
    piece of a text, and each text of a prediction, beyond the first costs one. A prediction without
    text counts as the characters that its shape could hold.

    A text without a transcription, and an ignored one, has as many as its shape could hold. From
    the package this differs for polygons, which it does not take, and in keeping fractions of
    pixels. Middle lines run between the first and the second half of the corners; a polygon of an
    odd number of corners has its last one twice.
    """
    inside = _points_inside(scene)
    points = np.array([rows.sum(axis=1) for rows in inside]).reshape(
        len(inside), len(scene.predictions)
    )
    precision = _precision(scene)
    texts, counted = ~scene.ignored, _counted(scene.ignored, points, precision)
    matches = _matches(points, precision, texts, counted)
    found = sum(int(rows[match].any(axis=0).sum()) for rows, match in zip(inside, matches))
    pieces, words = matches.sum(axis=1), matches.sum(axis=0)
    alone = np.flatnonzero(counted & (words == 0))
    alarms = sum(_held(1 / (TINY + _aspect(scene.predictions[index]))) for index in alone)
    return Row(
        found - float(np.maximum(pieces - 1, 0).sum()),
        sum(rows.shape[1] for rows, counts in zip(inside, texts) if counts),
        found - float(np.maximum(words - 1, 0).sum()),
        float(points[matches].sum()) + alarms,
    )


def _points_inside(scene: Scene) -> list[Array]:
    """Find the predictions in which each character of a text lies: G arrays (M, n) of bool."""
    centres = [_characters(*text) for text in zip(scene.texts, scene.num_chars, scene.ignored)]
    joined = np.concatenate([np.zeros((0, 2)), *centres])
    inside = np.array([contains(polygon, joined) for polygon in scene.predictions], bool)
    ends = np.cumsum([len(part) for part in centres])
    return (
        np.split(inside.reshape(len(scene.predictions), len(joined)), ends[:-1], axis=1)
        if centres
        else []
    )


def _characters(polygon: Array, number: int, ignored: bool) -> Array:
    """Place the characters of a text, (n, 2), on its middle line."""
    aspect = _aspect(polygon)
    if ignored or number < 0:
        number = _held(max(aspect, 1 / aspect))
    if len(polygon) == 4 and aspect < UPRIGHT:
        polygon = np.roll(polygon, 1, axis=0)
    upper, lower = _sides(polygon)
    middle = (upper + lower) / 2
    at = np.linspace(0, len(middle) - 1, number + 1)
    ends = np.stack([np.interp(at, np.arange(len(middle)), axis) for axis in middle.T], axis=1)
    return (ends[:-1] + ends[1:]) / 2


def _sides(polygon: Array) -> tuple[Array, Array]:
    """Cut an outline into two lines of as many corners, both from the text's begin to its end."""
    number = max(4, len(polygon) + len(polygon) % 2)
    corners = polygon[np.minimum(np.arange(number), len(polygon) - 1)]
    return corners[: number // 2], corners[number // 2 :][::-1]


def _aspect(polygon: Array) -> float:
    """Mean length of the two lines in mean distances of their ends."""
    upper, lower = (side.tolist() for side in _sides(polygon))  # Python's numbers: they are few
    steps = [*itertools.pairwise(upper), *itertools.pairwise(lower)]
    along = sum(math.dist(start, end) for start, end in steps) / 2
    across = (math.dist(upper[0], lower[0]) + math.dist(upper[-1], lower[-1])) / 2
    return (along + TINY) / (across + TINY)


def _held(aspect: float) -> int:
    return min(round(0.5 + aspect), MOST)


def _precision(scene: Scene) -> Array:
    """Share (G, M) of the predictions in the texts; a text is no part of an ignored one's area."""
    common = scene.common.copy()
    texts, predictions = scene.geometries
    found, of = np.nonzero(common * scene.ignored[:, None])
    if len(found) and not scene.ignored.all():
        ignored, row = np.unique(found, return_inverse=True)
        rest = shapely.difference(texts[ignored], shapely.union_all(texts[~scene.ignored]))
        common[found, of] = shapely.area(shapely.intersection(rest[row], predictions[of]))
    return shares(common, scene.areas[1][None])


def _counted(ignored: Array, points: Array, precision: Array) -> Array:
    """Find the predictions (M,) bool that do not lie in ignored texts, one or several."""
    within = precision[ignored]
    together = (within * (points[ignored] > 0)).sum(axis=0)
    return ~((within >= MIN_PRECISION).any(axis=0) | (together >= MIN_PRECISION))


def _matches(points: Array, precision: Array, texts: Array, counted: Array) -> Array:
    """Find which predictions stand for which texts, (G, M) bool: one to one, split or merged."""
    valid = texts[:, None] & counted
    has_points = points > 0
    fits = has_points & (precision >= MIN_PRECISION)
    alone = (fits.sum(axis=1) == 1)[:, None] & (fits.sum(axis=0) == 1)
    pieces = fits & valid
    split = pieces & (pieces.sum(axis=1) >= 2)[:, None]
    words = has_points & valid
    covered = (precision * words).sum(axis=0).round(9) >= MIN_PRECISION
    merged = words & (covered & (words.sum(axis=0) >= 2))
    return (fits & alone & valid) | split | merged
