"""Probability maps on disk, with the texts of their images."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dbnet.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 255  # of a probability; maps of 1824 x 1024 pixels take some 0.1 MB so


class KeptMap(NamedTuple):
    """A map, and the texts that it should show."""

    prob_map: np.ndarray  # (H, W) float32
    scale_factor: tuple[float, float]  # (w, h) of resized / original image
    texts: list[np.ndarray]  # (K, 2) float32 each, pixels of the original image
    ignored: list[bool]  # a flag for each


class MapKeeper:
    """Stands in a detector's postprocessor's place: keeps the maps and finds no texts.

    The folder gets a file per image, `000000.npz` and so on, `budget` bytes of them at most.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder = folder
        self.budget = self.left = budget
        self.paths: list[Path] = []

    def __call__(self, prob_map: "Tensor", metas: Sequence[dict]) -> list[dict]:
        """Keep maps (N, H, W), with `scale_factor`, `gt_polygons` and `gt_ignored` of each image.

        A `UserError` if they take more than the budget, or the disk is full.
        """
        for values, meta in zip(prob_map.detach().cpu().float().numpy(), metas):
            self._keep(values, meta)
        return [dict(polygons=[], scores=np.zeros(0, np.float32)) for _ in metas]

    def _keep(self, prob_map: np.ndarray, meta: dict) -> None:
        path = self.folder / f"{len(self.paths):06}.npz"
        facts = dict(
            scale_factor=[float(value) for value in meta["scale_factor"]],
            texts=[np.asarray(text).tolist() for text in meta["gt_polygons"]],
            ignored=[bool(flag) for flag in meta["gt_ignored"]],
        )
        steps = (np.nan_to_num(prob_map) * STEPS).round().astype(np.uint8)
        try:
            np.savez_compressed(path, steps=steps, facts=json.dumps(facts))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from error
        self.paths.append(path)
        self.left -= os.path.getsize(path)
        if self.left < 0:
            raise UserError(
                f"the maps of {len(self.paths)} images take more than {self.budget / 1e9:.1f} GB: "
                "tune on fewer images, or raise --max-gigabytes"
            )


def read_map(path: Path) -> KeptMap:
    """Read what `MapKeeper` wrote."""
    with np.load(path) as file:
        facts = json.loads(str(file["facts"]))
        prob_map = file["steps"].astype(np.float32) / np.float32(STEPS)
    texts = [np.asarray(text, np.float32).reshape(-1, 2) for text in facts["texts"]]
    width, height = facts["scale_factor"]
    return KeptMap(prob_map, (width, height), texts, facts["ignored"])
