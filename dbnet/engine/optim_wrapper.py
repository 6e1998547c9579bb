from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from dbnet.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module(name=["AsyncOptimWrapper", "OptimWrapper"])
class AsyncOptimWrapper(OptimWrapper):
    """mmengine's `OptimWrapper`, which does not wait for the device to log the gradient's norm.

    Arguments are mmengine's; in configs it has mmengine's name as well.

    Attributes:
        log_scalars: Scalars of the last step, still on the device. The reader must clear the dict.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.log_scalars: dict[str, Tensor] = {}

    def _clip_grad(self) -> None:
        groups = self.optimizer.param_groups
        params = [p for group in groups for p in group["params"] if p.grad is not None]
        norm = self.clip_func(params, **self.clip_grad_kwargs) if params else None
        if norm is not None:  # clipping by value has none
            self.log_scalars[self.grad_name] = norm


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(AsyncOptimWrapper):
    """Run the forward pass and the loss under bfloat16 autocast, on a GPU or a CPU.

    Bfloat16 has float32's range, so no gradient scaling is needed. mmengine's `AmpOptimWrapper`
    refuses to run without a GPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        device_type = get_device().split(":")[0]
        with (
            super().optim_context(model),
            torch.autocast(device_type=device_type, dtype=torch.bfloat16),
        ):
            yield
