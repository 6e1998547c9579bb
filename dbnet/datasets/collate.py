from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from dbnet.datasets.batch_memory import SharedTensors
from dbnet.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_text_det(samples: list[dict]) -> "dict | SharedBatch":
    """Put samples of `PackTextDetInputs` into one batch.

    In a worker they become an object that the main process receives as the batch.

    Returns:
        inputs: (N, 3, H, W) uint8, or the list of (3, H, W) where sizes differ.
        targets: The four maps, each (N, H, W); only if the samples have them.
        metas: One dict per image.
    """
    images: list[Tensor] = [sample["inputs"] for sample in samples]
    metas = [sample["metas"] for sample in samples]
    targets = [sample["targets"] for sample in samples if "targets" in sample]
    same_size = bool(targets) or len({image.shape for image in images}) == 1
    if get_worker_info() is not None:
        return SharedBatch(images, targets, same_size, metas)
    batch = dict(inputs=default_collate(images) if same_size else images, metas=metas)
    return dict(batch, targets=default_collate(targets)) if targets else batch


class SharedBatch:
    """A batch on its way from a worker, in shared memory; the main process receives the dict."""

    def __init__(
        self, images: list[Tensor], targets: list[dict], same_size: bool, metas: list[dict]
    ) -> None:
        if same_size:
            names = targets[0] if targets else ()
            parts = dict(
                inputs=images, **{name: [each[name] for each in targets] for name in names}
            )
        else:
            parts = {str(number): [image] for number, image in enumerate(images)}
        self.tensors, self.metas = SharedTensors(parts), metas

    def __reduce__(self) -> tuple:
        return _make_batch, (self.tensors, self.metas)


def _make_batch(tensors: dict[str, Tensor], metas: list[dict]) -> dict:
    if "inputs" not in tensors:  # images of different sizes
        return dict(inputs=[tensor[0] for tensor in tensors.values()], metas=metas)
    batch = dict(inputs=tensors.pop("inputs"), metas=metas)
    return dict(batch, targets=tensors) if tensors else batch
