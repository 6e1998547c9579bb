"""A detector in PyTorch, as `TextDetInferencer` runs it."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from dbnet.apis.detector import init_detector, resolve_config, scope_of
from dbnet.config.check import walk
from dbnet.datasets.collate import collate_text_det
from dbnet.errors import UserError
from dbnet.models.detectors.dbnet import DBNet
from dbnet.registry import TRANSFORMS
from dbnet.utils.bfloat16 import has_fast_bfloat16
from dbnet.utils.log import log


class TorchNetwork:
    """Prepare images by the config's test pipeline and find their texts.

    Arguments are those of `TextDetInferencer`. In bfloat16 the hmean is the same (see
    docs/benchmarks.md), the last digits are not.
    """

    streams = 1

    def __init__(
        self,
        config: str | os.PathLike[str] | Config,
        checkpoint: str | os.PathLike[str],
        device: str | torch.device = "cpu",
        amp: bool | None = None,
    ) -> None:
        config = resolve_config(config)
        self.pipeline: Any = build_pipeline(config)
        self.model: Any = init_detector(config, checkpoint, device)
        self.amp = decide_amp(amp, torch.device(device), self.model)
        self._folded = self.model if self.amp else folded(self.model)

    @property
    def postprocessor(self) -> Any:
        return self.model.postprocessor

    @property
    def scale(self) -> tuple[int, int]:
        """Long and short side, pixels, into which the pipeline fits images."""
        return self._resize.scale

    @scale.setter
    def scale(self, scale: tuple[int, int]) -> None:
        self._resize.scale = scale

    @property
    def _resize(self) -> Any:
        return next(step for step in self.pipeline.transforms if hasattr(step, "scale"))

    def prepare(self, image: np.ndarray, facts: dict) -> dict:
        """Resize an image (H, W, 3) uint8 BGR; return `inputs` (3, H', W') uint8 and `metas`."""
        return self.pipeline(dict(img=image, polygons=[], ignored=[], **facts))

    def padded_shape(self, sample: dict) -> tuple[int, int]:
        """Height and width of a prepared image after padding."""
        divisor = getattr(self.model.data_preprocessor, "pad_size_divisor", 1)
        height, width = sample["inputs"].shape[-2:]
        return -(-height // divisor) * divisor, -(-width // divisor) * divisor

    def maps(self, samples: Sequence[dict]) -> Tensor:
        """Compute the probability maps (N, H, W) of prepared images of one padded shape."""
        with torch.inference_mode(), self._precision():
            batch = self.model.data_preprocessor(collate_text_det(list(samples)), False)
            return self._folded(batch["inputs"], mode="tensor")

    def start(self, samples: Sequence[dict]) -> Callable[[], list[dict]]:
        """Run the network; return the function that finds the texts, for another thread."""
        if not isinstance(self.model, DBNet):  # of a user, which may find them otherwise
            with torch.inference_mode(), self._precision():
                results = self.model.test_step(collate_text_det(list(samples)))
            return lambda: results
        prob_map = self.maps(samples)
        return lambda: self.model.postprocessor(prob_map, [s["metas"] for s in samples])

    def _precision(self) -> AbstractContextManager:
        kind = next(self.model.parameters()).device.type if self.amp else ""
        return torch.autocast(kind, torch.bfloat16) if kind else nullcontext()


def decide_amp(wanted: bool | None, device: torch.device, model: nn.Module) -> bool:
    """Decide whether a network runs in bfloat16, and log it if that was asked for in vain."""
    if wanted is None:  # unknown networks of a user may not bear it; GPUs were not measured
        wanted = device.type == "cpu" and isinstance(model, DBNet) and has_fast_bfloat16("cpu")
    if wanted and not has_fast_bfloat16(device.type):
        log(f"--amp: {device} has no bfloat16, the network runs in float32", level=30)
        return False
    return wanted


def folded(model: nn.Module) -> nn.Module:
    """Fold the batch norms of a model that has some."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return model  # without torchvision, which takes as long to import as torch
    from dbnet.models.batch_norm_folding import fold_batch_norms

    return fold_batch_norms(model)


def build_pipeline(config: Config) -> Callable[[dict], dict]:
    """Build the test pipeline of a config without the step that loads the image."""
    with DefaultScope.overwrite_default_scope(scope_of(config)):
        return Compose([TRANSFORMS.build(transform) for transform in test_pipeline(config)])


def test_pipeline(config: Config) -> list[dict]:
    """Find the test pipeline in a config, without the step that loads the image."""
    loader = config.to_dict().get("test_dataloader")
    # The dataset may be wrapped in others.
    nodes = (node for _, node in walk(loader) if isinstance(node, dict) and "pipeline" in node)
    pipeline = next(nodes, {}).get("pipeline")
    if not pipeline:
        raise UserError(
            f"config {config.filename}: test_dataloader has no pipeline, which says how images "
            "are resized"
        )
    kind = pipeline[0]["type"]
    name = kind if isinstance(kind, str) else kind.__name__
    # Datasets that draw their images need no such step.
    loads = name.split(".")[-1] in ("LoadImage", "LoadImageFromFile")
    return pipeline[1:] if loads else pipeline
