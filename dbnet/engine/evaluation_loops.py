"""Validation and test loops that post-process one batch while the network works on the next.

Who does what, with at most `MAX_PENDING` batches between the two:

    main thread      batch 0: hooks, network | batch 1: hooks, network | batch 2 ...
    in_order's thread                        | batch 0: map to host, polygons, metric | batch 1 ...
    main thread                                after_..._iter of batch 0, in the loader's order
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.runner import TestLoop, ValLoop
from torch import Tensor

from dbnet.engine.test_time_augmentation import average_views
from dbnet.models.batch_norm_folding import fold_batch_norms
from dbnet.models.detectors.dbnet import DBNet, unwrap
from dbnet.registry import LOOPS
from dbnet.utils.bfloat16 import has_fast_bfloat16
from dbnet.utils.parallel import in_order

# Batches whose post-processing may be under way or wait, besides the one in the network.
MAX_PENDING = 2


@LOOPS.register_module()
class OverlappedValLoop(ValLoop):
    """Validate as `ValLoop`, post-processing beside the network; the same predictions in order."""

    def run(self) -> dict:
        return run_overlapped(self, "val") if can_overlap(self) else super().run()


@LOOPS.register_module()
class OverlappedTestLoop(TestLoop):
    """Test as `TestLoop`, post-processing beside the network; the same predictions in order.

    Args:
        tta: Test-time augmentation, some of "flip" and "scale", see `average_views`.
        *args, **kwargs: See mmengine's `TestLoop`.
    """

    def __init__(self, *args: Any, tta: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tta = tta
        if tta and not can_overlap(self):
            kind = type(unwrap(self.runner.model)).__name__
            raise ValueError(f"tta is for models that predict as DBNet does, not for {kind}")

    def run(self) -> dict:
        return run_overlapped(self, "test") if can_overlap(self) else super().run()


def can_overlap(loop: ValLoop | TestLoop) -> bool:
    """Check that the model predicts as `DBNet` does: a map, then the postprocessor."""
    steps = ("forward", "val_step", "test_step")
    kind = type(unwrap(loop.runner.model))
    return issubclass(kind, DBNet) and all(getattr(kind, s) is getattr(DBNet, s) for s in steps)


def run_overlapped(loop: ValLoop | TestLoop, stage: str) -> dict:
    """Run a whole evaluation; hooks see the batches in order, `stage` ("val", "test") names them.

    A batch's hooks `after_..._iter` run after its metrics, when later batches are in the network.
    """
    runner = loop.runner
    runner.call_hook(f"before_{stage}")
    runner.call_hook(f"before_{stage}_epoch")
    runner.model.eval()
    search = torch.backends.cudnn.benchmark and have_one_size(loop.dataloader.dataset)
    with searching(search), closing(overlapped_predictions(loop, stage)) as predictions:
        for step in predictions:
            runner.call_hook(f"after_{stage}_iter", **step)
    metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    runner.call_hook(f"after_{stage}_epoch", metrics=metrics)
    runner.call_hook(f"after_{stage}")
    return metrics


def have_one_size(dataset: Any) -> bool:
    """Check whether all images are stated to be of one size."""
    size_of = getattr(dataset, "size_of", lambda idx: None)
    sizes = {size_of(idx) for idx in range(len(dataset))}
    return len(sizes) == 1 and None not in sizes


@contextmanager
def searching(wanted: bool) -> Iterator[None]:
    """Let cuDNN time its algorithms, or not: it would do so anew for each size of images."""
    former, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, wanted
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = former


def half_precision(enabled: bool) -> AbstractContextManager:
    """Autocast to bfloat16, and to float16 on a GPU without it; mmengine's takes that on any."""
    if not enabled:
        return nullcontext()
    kind = get_device().split(":")[0]
    has_none = kind == "cuda" and not has_fast_bfloat16("cuda")
    return torch.autocast(kind, torch.float16 if has_none else torch.bfloat16)


def overlapped_predictions(
    loop: ValLoop | TestLoop, stage: str
) -> Generator[dict[str, Any], None, None]:
    """Yield what hooks get of each batch, which the evaluator has seen, in the loader's order.

    An exception of the postprocessor or a metric is raised in its batch's turn.
    """
    model: Any = unwrap(loop.runner.model)
    # Folded weights would be rounded otherwise than the originals in half precision.
    folded = model if loop.fp16 else fold_batch_norms(model)
    network = average_views(partial(folded, mode="tensor"), getattr(loop, "tta", ()))

    def evaluate(fetch: Callable[[], Tensor], metas: list[dict], step: dict) -> dict[str, Any]:
        outputs = model.postprocessor(fetch(), metas)
        loop.evaluator.process(data_samples=outputs, data_batch=step["data_batch"])
        return dict(step, outputs=outputs)

    def tasks() -> Iterator[Callable[[], dict[str, Any]]]:
        for index, batch in enumerate(loop.dataloader):
            step = dict(batch_idx=index, data_batch=batch)
            loop.runner.call_hook(f"before_{stage}_iter", **step)
            data = model.data_preprocessor(batch, False)
            with torch.no_grad(), half_precision(loop.fp16):
                prob_map = network(data["inputs"])
            yield partial(evaluate, start_fetching(prob_map), data["metas"], step)

    # One thread, so that the evaluator sees the batches one after the other.
    return in_order(tasks(), num_threads=1, num_ahead=MAX_PENDING)


def start_fetching(prob_map: Tensor) -> Callable[[], Tensor]:
    """Start to copy a map from a GPU to the host; return the function that waits for it.

    The caller continues at once, and whoever calls that function waits for this map alone, not for
    what is queued behind it.
    """
    if not prob_map.is_cuda:
        return lambda: prob_map
    host = torch.empty(prob_map.shape, dtype=prob_map.dtype, pin_memory=True)
    host.copy_(prob_map, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def fetch() -> Tensor:
        copied.synchronize()
        return host

    return fetch
