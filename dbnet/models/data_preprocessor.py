from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from dbnet.registry import MODELS


@MODELS.register_module()
class TextDetDataPreprocessor(BaseDataPreprocessor):
    """Move a batch to the model's device, normalise its images and pad them.

    Args:
        mean: Subtracted from the pixel values 0..255, in the order of channels after `bgr_to_rgb`.
        std: Divides the differences.
        bgr_to_rgb: Reverse the channels of the incoming BGR images.
        pad_size_divisor: Height and width are padded, right and bottom, to a multiple of this. The
            pads are 0 after normalisation: the mean colour.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        bgr_to_rgb: bool = True,
        pad_size_divisor: int = 32,
    ) -> None:
        super().__init__()
        self.bgr_to_rgb = bgr_to_rgb
        self.pad_size_divisor = pad_size_divisor
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return a new batch with normalised `inputs`, (N, 3, H, W) float32, channels last.

        Args:
            data: A batch of `collate`: `inputs` is a uint8 tensor (N, 3, H, W), or a list of
                (3, H, W) of different sizes; `targets`, if there are any, become float32, and
                `metas` pass through.
            training: Unused; mmengine's runner gives it.
        """
        data = self.cast_data(data)
        if "targets" in data:
            data["targets"] = {name: map_.float() for name, map_ in data["targets"].items()}
        inputs = data["inputs"]
        images = list(inputs) if isinstance(inputs, list) else [inputs]
        height, width = (
            self._padded(max(image.shape[axis] for image in images)) for axis in (-2, -1)
        )
        shape = (len(inputs), 3, height, width)
        batch = torch.empty(shape, device=self.mean.device, memory_format=torch.channels_last)
        slots = list(batch) if isinstance(inputs, list) else [batch]
        for image, slot in zip(images, slots):
            self._normalise(image, slot)
        return {**data, "inputs": batch}

    def _padded(self, size: int) -> int:
        return -(-size // self.pad_size_divisor) * self.pad_size_divisor

    def _normalise(self, image: Tensor, slot: Tensor) -> None:
        """Write an image (..., 3, h, w) into the upper left of `slot`, and 0 into the rest."""
        if image.dtype != torch.uint8:
            raise ValueError(f"inputs must be uint8, got {image.dtype}")
        if self.bgr_to_rgb:
            image = image.flip(-3)
        height, width = image.shape[-2:]
        slot[..., height:, :] = 0
        slot[..., :height, width:] = 0
        # Into its place at once: each further pass over a large float image costs as much.
        content = slot[..., :height, :width]
        torch.sub(image, self.mean, out=content)
        content /= self.std
