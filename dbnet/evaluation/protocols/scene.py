"""One image as the protocols see it: its areas are measured once, whatever needs them."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import shapely

from dbnet.evaluation.matching import match_image
from dbnet.polygon_iou import are_simple, areas_and_boxes, to_geometries

Array = np.ndarray
DIGITS = 9  # shares are rounded to so many: what is 4/5 is 0.8, however it was rounded on its way


class Row(NamedTuple):
    """What an image adds to the four sums of a protocol.

    Recall is `found / texts`, precision `right / predictions`, each at least 0. A protocol may
    weigh what it counts, and may count characters.
    """

    found: float
    texts: float
    right: float
    predictions: float


class Scene:
    """Texts and predictions of one image, polygons (K, 2) in pixels of it.

    There are G texts, G flags of those that are "don't care", and M predictions. `num_chars` are
    the characters of each text, -1 where no transcription is known; empty if of none.
    """

    def __init__(
        self,
        texts: Sequence[Array],
        ignored: Sequence[bool],
        predictions: Sequence[Array],
        num_chars: Sequence[int] = (),
    ) -> None:
        self.texts = [np.asarray(polygon, np.float64) for polygon in texts]
        self.predictions = [np.asarray(polygon, np.float64) for polygon in predictions]
        self.ignored = np.asarray(ignored, dtype=bool)
        self.num_chars = list(num_chars) or [-1] * len(texts)

    @cached_property
    def geometries(self) -> tuple[Array, Array]:
        """Shapely geometries (G,) and (M,), "inside" being even-odd."""
        return to_geometries(self.texts), to_geometries(self.predictions)

    @cached_property
    def areas(self) -> tuple[Array, Array]:
        """Areas (G,) and (M,) by the shoelace formula; 0 of fewer than three points."""
        return areas_and_boxes(self.texts)[0], areas_and_boxes(self.predictions)[0]

    @cached_property
    def simple(self) -> tuple[Array, Array]:
        """Flags (G,) and (M,) of the outlines that enclose an area and do not meet themselves."""
        return are_simple(self.texts), are_simple(self.predictions)

    @cached_property
    def common(self) -> Array:
        """Area (G, M) that each text shares with each prediction."""
        texts, predictions = self.geometries
        common = np.zeros((len(texts), len(predictions)))
        found, of = shapely.STRtree(texts).query(predictions)
        common[of, found] = shapely.area(shapely.intersection(texts[of], predictions[found]))
        return common

    @cached_property
    def recall(self) -> Array:
        """Share (G, M) of each text that lies in each prediction, 0 of a text without area."""
        return shares(self.common, self.areas[0][:, None])

    @cached_property
    def precision(self) -> Array:
        """Share (G, M) of each prediction that lies in each text, 0 of one without area."""
        return shares(self.common, self.areas[1][None])

    @cached_property
    def iou(self) -> Array:
        """IoU (G, M); 0 where the union has no area."""
        texts, predictions = self.areas
        return shares(self.common, texts[:, None] + predictions - self.common)

    @cached_property
    def icdar2015(self) -> tuple[Array, Array]:
        """What `match_image` says of the image."""
        return match_image(self.texts, self.ignored.tolist(), self.predictions)


def shares(part: Array, whole: Array) -> Array:
    """Divide areas (G, M), 0 where the whole is not positive; to `DIGITS` digits."""
    whole = np.broadcast_to(whole, part.shape)
    return np.round(np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0), DIGITS)
