from collections.abc import Sequence

import torch
import torch.nn.functional as F
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
                (3, H, W) of different sizes; `targets` and `metas` pass through.
            training: Unused; mmengine's runner gives it.
        """
        data = self.cast_data(data)
        inputs = data["inputs"]
        images = list(inputs) if isinstance(inputs, list) else [inputs]
        normalised = [self._normalise(image) for image in images]
        divisor = self.pad_size_divisor
        height = -(-max(image.shape[-2] for image in normalised) // divisor) * divisor
        width = -(-max(image.shape[-1] for image in normalised) // divisor) * divisor
        padded = [
            F.pad(image, (0, width - image.shape[-1], 0, height - image.shape[-2]))
            for image in normalised
        ]
        batch = torch.stack(padded) if isinstance(inputs, list) else padded[0]
        return {**data, "inputs": batch.contiguous(memory_format=torch.channels_last)}

    def _normalise(self, image: Tensor) -> Tensor:
        if image.dtype != torch.uint8:
            raise ValueError(f"inputs must be uint8, got {image.dtype}")
        if self.bgr_to_rgb:
            image = image.flip(-3)
        return (image.float() - self.mean) / self.std
