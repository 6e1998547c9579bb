"""What the page computes: maps once per image, model and size; texts from them at every change."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from dbnet.apis.inferencer import PREDICTED, Network
from dbnet.postprocessing import DBPostprocessor
from dbnet.visualization.draw import draw_polygons


class Maps(NamedTuple):
    """What the network gives for an image."""

    image: np.ndarray  # (H, W, 3) uint8 BGR
    prob_map: np.ndarray  # (H', W') float32, with the padding
    metas: dict[str, Any]  # `scale_factor`, `img_shape` and others, of the resized image


class Models:
    """Detectors by name, each opened at its first use, of which one works at a time.

    Args:
        openers: Functions that open each.
    """

    def __init__(self, openers: Mapping[str, Callable[[], Network]]) -> None:
        self.openers = openers
        self._open: dict[str, tuple[Network, tuple[int, int]]] = {}  # with its own scale
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> tuple[Network, tuple[int, int]]:
        with self._lock:
            if name not in self._open:
                network = self.openers[name]()
                self._open[name] = network, network.scale
            return self._open[name]

    def compute(self, name: str, image: np.ndarray, short_side: int) -> Maps:
        """Run a network on an image (H, W, 3) uint8 BGR, resized to a short side at most.

        The long side's limit is changed in proportion.
        """
        network, own = self[name]
        shape = image.shape[:2]
        with self._lock:
            network.scale = (round(short_side * max(own) / min(own)), short_side)
            sample = network.prepare(image, dict(img_path="", ori_shape=shape, img_shape=shape))
            (prob_map,) = network.maps([sample])
        return Maps(image, np.asarray(prob_map, dtype=np.float32), sample["metas"])

    def settings(self, name: str) -> dict[str, Any]:
        """Return the postprocessor's settings of a detector."""
        return dict(vars(self[name][0].postprocessor))

    def short_side(self, name: str) -> int:
        """Return the short side at most, in pixels, that a detector's own images have."""
        return min(self[name][1])


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
