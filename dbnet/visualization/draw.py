from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dbnet.datasets.transforms.loading import read_image
from dbnet.errors import UserError

# Okabe and Ito's palette, which colour-blind readers can tell apart; BGR.
PREDICTED = (0, 94, 213)  # vermilion
TRUTH = (178, 114, 0)  # blue
IGNORED = (160, 160, 160)


def draw_polygons(
    image: np.ndarray, polygons: Sequence[np.ndarray], color: tuple[int, int, int]
) -> np.ndarray:
    """Return a copy of a BGR image with the outlines of polygons, (N, 2) in its pixels."""
    thickness = max(1, round(max(image.shape[:2]) / 640))
    points = [np.rint(polygon).astype(np.int32) for polygon in polygons]
    return cv2.polylines(image.copy(), points, True, color, thickness, cv2.LINE_AA)


def draw_detections(
    image: np.ndarray,
    predicted: Sequence[np.ndarray],
    truth: Sequence[np.ndarray] = (),
    ignored: Sequence[bool] = (),
) -> np.ndarray:
    """Return a copy of a BGR image with ground truth (blue, ignored grey) below predictions."""
    image = draw_polygons(image, [p for p, skip in zip(truth, ignored) if skip], IGNORED)
    image = draw_polygons(image, [p for p, skip in zip(truth, ignored) if not skip], TRUTH)
    return draw_polygons(image, predicted, PREDICTED)


def save_detections(meta: dict, prediction: dict, target: Path) -> None:
    """Draw a test image with its ground truth and predictions and write it as `target`.

    Args:
        meta: `img_path`, `gt_polygons`, `gt_ignored` of `PackTextDetInputs`.
        prediction: `polygons` of the postprocessor.
        target: A .jpg; its folder is made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    image = read_image(meta["img_path"])
    drawn = draw_detections(
        image, prediction["polygons"], meta.get("gt_polygons", ()), meta.get("gt_ignored", ())
    )
    if not cv2.imwrite(str(target), drawn):
        raise UserError(f"{target}: cannot be written")
