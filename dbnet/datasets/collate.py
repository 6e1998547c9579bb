import torch
from torch import Tensor

from dbnet.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_text_det(samples: list[dict]) -> dict:
    """Put samples of `PackTextDetInputs` into one batch.

    Returns:
        inputs: (N, 3, H, W) uint8, or the list of (3, H, W) where sizes differ.
        targets: The four maps, each (N, H, W); only if the samples have them.
        metas: One dict per image.
    """
    images: list[Tensor] = [sample["inputs"] for sample in samples]
    same_size = len({image.shape for image in images}) == 1
    batch: dict = dict(
        inputs=torch.stack(images) if same_size else images,
        metas=[sample["metas"] for sample in samples],
    )
    if "targets" in samples[0]:
        names = samples[0]["targets"]
        batch["targets"] = {
            name: torch.stack([sample["targets"][name] for sample in samples]) for name in names
        }
    return batch
