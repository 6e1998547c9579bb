"""What the page computes: maps once per image, model and size; texts from them at every change."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np

from dbnet.apis.inferencer import PREDICTED, Network
from dbnet.postprocessing import DBPostprocessor
from dbnet.visualization.draw import draw_polygons


class Maps(NamedTuple):
    """What the network gives for an image.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        prob_map: (H', W') float32, with the padding.
        metas: `scale_factor`, `img_shape` and others, of the resized image.
    """

    image: np.ndarray
    prob_map: np.ndarray
    metas: dict[str, Any]


class Models:
    """Detectors by name, each opened at its first use, of which one works at a time.

    Args:
        openers: Functions that open each.
    """

    def __init__(self, openers: Mapping[str, Callable[[], Network]]) -> None:
        self.openers = openers
        self._open: dict[str, Network] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Network:
        with self._lock:
            if name not in self._open:
                self._open[name] = self.openers[name]()
            return self._open[name]

    def compute(self, name: str, image: np.ndarray, short_side: int) -> Maps:
        """Run a network on an image (H, W, 3) uint8 BGR, resized to a short side at most."""
        network = self[name]
        shape = image.shape[:2]
        with self._lock:
            set_short_side(network, short_side)
            sample = network.prepare(image, dict(img_path="", ori_shape=shape, img_shape=shape))
            (prob_map,) = network.maps([sample])
        return Maps(image, np.asarray(prob_map, dtype=np.float32), sample["metas"])

    def settings(self, name: str) -> dict[str, Any]:
        """Return the postprocessor's settings of a detector."""
        network: Any = self[name]
        own = getattr(network, "postprocessor", None) or network.model.postprocessor
        return dict(vars(own))

    def short_side(self, name: str) -> int:
        """Return the short side at most, in pixels, that a detector's images are resized to."""
        return min(_scale(self[name]))


def _scale(network: Any) -> tuple[int, int]:
    if hasattr(network, "metadata"):
        return tuple(network.metadata.resize["scale"])
    return next(step.scale for step in network.pipeline.transforms if hasattr(step, "scale"))


def set_short_side(network: Any, pixels: int) -> None:
    """Let a network resize its images to a short side at most; the long one in proportion."""
    sides = _scale(network)
    scale = (round(pixels * max(sides) / min(sides)), pixels)
    if hasattr(network, "metadata"):
        resize = {**network.metadata.resize, "scale": scale}
        network.metadata = replace(network.metadata, resize=resize)
        return
    for step in network.pipeline.transforms:
        if hasattr(step, "scale"):
            step.scale = scale


def find_texts(maps: Maps, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Find the texts in maps: `polygons` in pixels of the image, and `scores`."""
    (texts,) = DBPostprocessor(**settings)(maps.prob_map[None], [maps.metas])
    return texts


def draw(maps: Maps, texts: Mapping[str, Any], show_map: bool) -> np.ndarray:
    """Draw the texts, over the probability map if asked for; (H, W, 3) uint8 RGB."""
    image = maps.image
    if show_map:
        height, width = maps.metas["img_shape"]  # without the padding
        shown = cv2.resize(maps.prob_map[:height, :width], image.shape[1::-1])
        heat = cv2.applyColorMap((255 * shown).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
        image = cv2.addWeighted(image, 0.35, heat, 0.65, 0)
    return draw_polygons(image, texts["polygons"], PREDICTED)[..., ::-1]
