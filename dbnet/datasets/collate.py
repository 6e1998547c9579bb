from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from dbnet.datasets.batch_memory import SharedTensors
from dbnet.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_text_det(samples: list[dict]) -> "dict | TrainingBatch | TestBatch":
    """Put samples of `PackTextDetInputs` into one batch.

    In a worker they become an object that the main process receives as the batch.

    Returns:
        inputs: (N, 3, H, W) uint8, or the list of (3, H, W) where sizes differ.
        targets: The four maps, each (N, H, W); only if the samples have them.
        metas: One dict per image.
    """
    images: list[Tensor] = [sample["inputs"] for sample in samples]
    metas = [sample["metas"] for sample in samples]
    same_size = len({image.shape for image in images}) == 1
    in_worker = get_worker_info() is not None
    if "targets" not in samples[0]:
        if in_worker:
            return TestBatch(images, same_size, metas)
        return dict(inputs=default_collate(images) if same_size else images, metas=metas)
    targets = [sample["targets"] for sample in samples]
    if not in_worker:
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


class TestBatch:
    """As `TrainingBatch`, of images alone, whose sizes may differ."""

    __test__ = False  # pytest takes classes of such names for its own

    def __init__(self, images: list[Tensor], same_size: bool, metas: list[dict]) -> None:
        numbered = {str(number): [image] for number, image in enumerate(images)}
        self.tensors = SharedTensors(dict(inputs=images) if same_size else numbered)
        self.metas = metas

    def __reduce__(self) -> tuple:
        return _make_test_batch, (self.tensors, self.metas)


def _make_test_batch(tensors: dict[str, Tensor], metas: list[dict]) -> dict:
    inputs = tensors.get("inputs")
    return dict(inputs=[t[0] for t in tensors.values()] if inputs is None else inputs, metas=metas)


def _make_batch(tensors: dict[str, Tensor], metas: list[dict]) -> dict:
    inputs = tensors.pop("inputs")
    return dict(inputs=inputs, metas=metas, targets=tensors)
