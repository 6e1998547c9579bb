from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from dbnet.datasets.batch_memory import SharedTensors
from dbnet.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_text_det(samples: list[dict]) -> "dict | TrainingBatch":
    """Put samples of `PackTextDetInputs` into one batch.

    In a worker, samples with targets become an object that the main process receives as the batch.

    Returns:
        inputs: (N, 3, H, W) uint8, or the list of (3, H, W) where sizes differ.
        targets: The four maps, each (N, H, W); only if the samples have them.
        metas: One dict per image.
    """
    images: list[Tensor] = [sample["inputs"] for sample in samples]
    metas = [sample["metas"] for sample in samples]
    same_size = len({image.shape for image in images}) == 1
    if "targets" not in samples[0]:
        return dict(inputs=default_collate(images) if same_size else images, metas=metas)
    targets = [sample["targets"] for sample in samples]
    if get_worker_info() is None:
        return dict(inputs=default_collate(images), metas=metas, targets=default_collate(targets))
    return TrainingBatch(images, targets, metas)


class TrainingBatch:
    """A batch on its way from a worker, in shared memory; the main process receives the dict."""

    def __init__(
        self, images: list[Tensor], targets: list[dict[str, Tensor]], metas: list[dict]
    ) -> None:
        maps = {name: [each[name] for each in targets] for name in targets[0]}
        self.tensors = SharedTensors(dict(inputs=images, **maps))
        self.metas = metas

    def __reduce__(self) -> tuple:
        return _make_batch, (self.tensors, self.metas)


def _make_batch(tensors: dict[str, Tensor], metas: list[dict]) -> dict:
    inputs = tensors.pop("inputs")
    return dict(inputs=inputs, metas=metas, targets=tensors)
