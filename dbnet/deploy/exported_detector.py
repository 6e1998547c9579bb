"""An exported model as a `DBNet`, so that `dbnet test` measures it as any other."""

from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from dbnet.deploy.metadata import Metadata
from dbnet.deploy.runtimes import open_runtime
from dbnet.errors import UserError
from dbnet.registry import MODELS


@MODELS.register_module()
class ExportedGraph(nn.Module):
    """The whole network of an exported file in the place of the backbone.

    Args:
        file: Of `dbnet export`; it runs on the CPU.
    """

    out_channels = (1,)

    def __init__(self, file: str) -> None:
        super().__init__()
        self.runtime = open_runtime(file)

    def __deepcopy__(self, memo: dict) -> "ExportedGraph":
        return self  # mmengine's EMAHook copies the model; nothing of this changes

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map (N, 3, H, W) to the probability map (N, 1, H, W)."""
        # Contiguous: images come with their channels last.
        prob_map = self.runtime(x.contiguous().cpu().numpy())
        return (torch.from_numpy(prob_map).to(x.device),)


@MODELS.register_module()
class PassMap(nn.Module):
    """Neck and head behind an `ExportedGraph`."""

    out_channels = 1

    def __init__(self, in_channels: Any) -> None:
        super().__init__()

    def forward(self, x: Any, mode: str = "neck") -> Tensor:
        """Take the map (N, 1, H, W) as the neck, and (N, H, W) of it as the head in "predict"."""
        return x[:, 0] if mode == "predict" else x[0]


def use_exported(config: Config, file: str) -> None:
    """Put an exported file in the place of a config's network; its test set and settings stay."""
    check_preparation(config, open_runtime(file).metadata, file)
    kept = {key: config.model[key] for key in ("loss", "postprocessor", "data_preprocessor")}
    parts = dict(
        backbone=dict(type="ExportedGraph", file=file),
        neck=dict(type="PassMap"),
        det_head=dict(type="PassMap"),
    )
    config.model = dict(type="DBNet", **parts, **kept)


def check_preparation(config: Config, metadata: Metadata, file: str) -> None:
    """Check that a config normalises images as an exported file does."""
    if metadata.layout != "nchw":
        raise UserError(f"model {file}: has the layout {metadata.layout}; export it without")
    own = config.model.data_preprocessor
    order = "rgb" if own.get("bgr_to_rgb", True) else "bgr"
    same = all(np.allclose(getattr(metadata, key), own[key]) for key in ("mean", "std"))
    if order != metadata.channel_order or not same:
        raise UserError(
            f"model {file}: normalises images otherwise than config {config.filename}; test it "
            f"with its own, {metadata.config}"
        )
