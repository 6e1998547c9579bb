"""A detector of bright areas, whose results can be worked out by hand, with its config."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

import dbnet
from dbnet.registry import MODELS
from tests.scenes import write_config

BRIGHT = """
model = dict(
    _delete_=True,
    type="DBNet",
    backbone=dict(type="GainBackbone"),
    neck=dict(type="GreyNeck"),
    det_head=dict(type="BrightHead"),
    loss=dict(type="DBLoss"),
    postprocessor=dict(type="DBPostprocessor"),
    data_preprocessor=dict(
        type="TextDetDataPreprocessor", mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]
    ),
)
"""

# Columns and rows 40..100 and 30..60 are white.
PATCH = (40, 30, 100, 60)
# The outline of the patch has A = 60 * 30 and L = 180, so D' = 1.5 A / L = 15.
PATCH_POLYGON = np.float32([[25, 15], [115, 15], [115, 75], [25, 75]])


@MODELS.register_module(force=True)
class GainBackbone(nn.Module):
    out_channels = (3, 3, 3, 3)

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return (x * self.gain,)


@MODELS.register_module(force=True)
class GreyNeck(nn.Module):
    out_channels = 1

    def __init__(self, in_channels):
        super().__init__()

    def forward(self, features):
        return features[0].mean(1, keepdim=True)


@MODELS.register_module(force=True)
class BrightHead(nn.Module):
    """Probability of being much brighter than the padded image on average: so the padding counts.

    An even image has P = 0.12 everywhere.
    """

    def __init__(self, in_channels):
        super().__init__()

    def forward(self, x, mode="predict"):
        return (2 * (x - x.mean((2, 3), keepdim=True)) - 2)[:, 0].sigmoid()


def draw_patch(size=(128, 128), patch=PATCH) -> np.ndarray:
    """Draw a black BGR image of `size` (W, H) with a white patch, (x_min, y_min, x_max, y_max)."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    return cv2.rectangle(image, patch[:2], patch[2:], (255, 255, 255), -1)


def write_bright(root: Path) -> tuple[str, str]:
    """Write the config and a checkpoint of the detector; give their paths."""
    config = write_config(root, "bright", epochs=1, extra=BRIGHT)
    checkpoint = root / "bright.pth"
    torch.save(dict(state_dict=dbnet.init_detector(config).state_dict()), checkpoint)
    return config, str(checkpoint)


def corners(polygon: np.ndarray) -> np.ndarray:
    """Sort the corners of a quad, so that they can be compared whatever the first one is."""
    return np.array(sorted(polygon.tolist()), np.float32)
