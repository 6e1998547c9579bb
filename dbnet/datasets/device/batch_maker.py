from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dbnet.datasets.device.packing import PackedPlans
from dbnet.datasets.device.target_maps import draw_target_maps
from dbnet.datasets.device.warp import jitter_batch, warp_batch


@dataclass(eq=False)
class DeviceBatchMaker:
    """Make the batch that `collate_text_det` would give, on the device that holds the images."""

    store: Tensor  # (P, 3) uint8 BGR, pixels of all images
    size: tuple[int, int]  # (W, H) of the samples
    thresh_range: tuple[float, float]  # lowest and highest label of the threshold map

    def __deepcopy__(self, memo: dict) -> "DeviceBatchMaker":
        """Share the images with the copies of a model that calls this; nothing changes them."""
        return self

    def __call__(self, batch: dict) -> dict:
        """Turn `plans` into `inputs` (N, 3, H, W) uint8 and `targets`; the rest passes through."""
        others = {key: value for key, value in batch.items() if key != "plans"}
        # Autocast, which a train step is in, has lists of operations of its own on each device.
        with torch.no_grad(), torch.autocast(self.store.device.type, enabled=False):
            return {**others, **self._make(batch["plans"])}

    def _make(self, plans: PackedPlans) -> dict:
        arrays = plans.unpack(self.store.device)
        images = warp_batch(self.store, arrays["sources"], arrays["warps"], self.size)
        images = jitter_batch(images, arrays["jitters"])
        shape = (self.size[1], self.size[0])
        return dict(
            inputs=images.permute(0, 3, 1, 2),  # channels last, as the network wants them
            targets=draw_target_maps(plans, arrays, shape, self.thresh_range),
        )

    def before_preprocessing(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple | None:
        """Make the batch first; a forward pre-hook of a data preprocessor."""
        data, *others = inputs
        return (self(data), *others) if "plans" in data else None
