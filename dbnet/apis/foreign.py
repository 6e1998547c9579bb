"""Detectors in ONNX files of other projects, as they come."""

import os

import torch
from mmengine.model import BaseModel

from dbnet.apis.detector import init_detector
from dbnet.checkpoints.foreign import FOREIGN_CONFIG


def init_foreign_detector(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> BaseModel:
    """Build the detector of an ONNX file, with PP-OCR's normalisation and thresholds.

    Args:
        path: A file of another project; those of `dbnet export` say themselves how they are run.
        device: "cpu", "cuda", "cuda:1", ...

    Raises:
        UserError: It cannot be read, or is no detector.
    """
    return init_detector(FOREIGN_CONFIG, path, device)
