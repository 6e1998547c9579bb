"""Protocols in which a prediction stands for one text: ICDAR2015, MLT, CTW1500, TD500, TIoU."""

import math

import cv2
import numpy as np
import shapely

from dbnet.evaluation.matching import MIN_IOU, first_come_pairs
from dbnet.evaluation.protocols.scene import DIGITS, Array, Row, Scene, shares
from dbnet.polygon_iou import box_intersections

MAX_ANGLE = math.pi / 8  # TD500: between two rectangles, less than this
NEGLIGIBLE = 0.01  # TIoU: so small a part costs nothing


def count_icdar2015(scene: Scene) -> Row:
    """Count as the competitions ICDAR2015 and MLT do: IoU > 0.5, first-come matching.

    See `match_image`. The script of MLT 2017 and 2019 differs in what it reads, not in what it
    counts; for the figures of one script of writing it ignores the texts of the others.
    """
    iou, counted = scene.icdar2015
    matched = len(first_come_pairs(iou > MIN_IOU))
    return Row(matched, len(iou), matched, counted.sum())


def count_ctw1500(scene: Scene) -> Row:
    """Count as SCUT-CTW1500's script does (Yuliang-Liu/Curve-Text-Detector, `voc_eval_polygon`).

    A prediction stands for the text with which its IoU is largest (the first, if several), if that
    exceeds 0.5. The first one of a text, in the order of the file, is right. One whose text is
    ignored does not count, nor does one whose outline meets itself or has no area; a text with such
    an outline cannot be found.
    """
    simple_texts, simple = scene.simple
    predictions = np.flatnonzero(simple)
    iou = scene.iou[:, predictions] * simple_texts[:, None]
    if not len(iou):
        return Row(0, 0, 0, len(predictions))
    best = iou.argmax(axis=0)[iou.max(axis=0) > MIN_IOU]
    careless = scene.ignored[best]
    found = len(np.unique(best[~careless]))
    return Row(found, (~scene.ignored).sum(), found, len(predictions) - careless.sum())


def count_td500(scene: Scene) -> Row:
    """Count as MSRA-TD500's paper does (Yao et al., CVPR 2012, section 4.2).

    Each outline stands for its least rectangle. A prediction may stand for a text if their overlap,
    the IoU after both are turned level about their centres, exceeds 0.5, and the angle between
    their longer sides is less than pi / 8; either side of a square will do. Each text in turn takes
    the first free one. A difficult (ignored) text that is missed does not count as a text; every
    prediction counts.
    """
    texts, text_angles = _least_rectangles(scene.texts)
    predictions, angles = _least_rectangles(scene.predictions)
    common = box_intersections(texts[:, None], predictions[None])
    sides, others = (rectangles[:, 2:] - rectangles[:, :2] for rectangles in (texts, predictions))
    whole = sides.prod(axis=1)[:, None] + others.prod(axis=1) - common
    square = _are_square(sides)[:, None] | _are_square(others)
    period = np.where(square, math.pi / 2, math.pi)
    turn = np.abs(text_angles[:, None] - angles) % period
    near = np.minimum(turn, period - turn) < MAX_ANGLE
    hits = (shares(common, whole) > MIN_IOU) & near
    found = [text for text, _ in first_come_pairs(hits)]
    num_texts = (~scene.ignored).sum() + scene.ignored[found].sum()
    return Row(len(found), num_texts, len(found), len(predictions))


def _are_square(sides: Array) -> Array:
    """Check sides (N, 2), the longer ones first; OpenCV's rectangles are of float32."""
    return sides[:, 0] - sides[:, 1] <= 1e-4 * sides[:, 0]


def _least_rectangles(polygons: list[Array]) -> tuple[Array, Array]:
    """Least rectangles turned level about their centres, (N, 4) boxes, and their angles (N,)."""
    boxes, angles = np.zeros((len(polygons), 4)), np.zeros(len(polygons))
    for index, polygon in enumerate(polygons):
        (x, y), (width, height), degrees = cv2.minAreaRect(np.asarray(polygon, np.float32))
        half = max(width, height) / 2, min(width, height) / 2
        boxes[index] = x - half[0], y - half[1], x + half[0], y + half[1]
        angles[index] = math.radians(degrees + (90 if height > width else 0))
    return boxes, angles


def count_tiou(scene: Scene) -> Row:
    """Count as Tightness-aware IoU does (Liu et al., CVPR 2019, and its script).

    Matches are ICDAR2015's. To recall each gives its IoU less the part of the text that is cut off,
    to precision its IoU less the part of the prediction that lies in other texts and not in this
    one; a part of at most 0.01 costs nothing. Other texts are ignored ones too, as in the script.
    """
    iou, counted = scene.icdar2015
    texts, predictions = np.flatnonzero(~scene.ignored), np.flatnonzero(counted)
    pairs = first_come_pairs(iou > MIN_IOU)
    found = sum(iou[g, m] * _left(_cut(scene, texts[g], predictions[m])) for g, m in pairs)
    right = sum(iou[g, m] * _left(_outliers(scene, texts[g], predictions[m])) for g, m in pairs)
    return Row(found, len(texts), right, len(predictions))


def _left(lost: float) -> float:
    """Share that is left when one is lost; none if there is no such share, of a crossed outline."""
    if not 0 <= lost <= 1:
        return 0.0
    return 1 - lost if lost > NEGLIGIBLE else 1.0


def _cut(scene: Scene, text: int, prediction: int) -> float:
    area = scene.areas[0][text]
    return _share(area - scene.common[text, prediction], area)


def _outliers(scene: Scene, text: int, prediction: int) -> float:
    area, others = scene.areas[1][prediction], scene.common[:, prediction] > 0
    others[text] = False
    if not others.any():
        return _share(0, area)
    geometries, region = scene.geometries[0], scene.geometries[1][prediction]
    outside = shapely.difference(region, geometries[text])
    return _share(outside.intersection(shapely.union_all(geometries[others])).area, area)


def _share(part: float, area: float) -> float:
    """Divide; all is lost where there is no area."""
    return round(float(part / area), DIGITS) if area > 0 else 1.0
