from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from dbnet.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
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


def has_fast_bfloat16() -> bool:
    """Tell whether the device computes bfloat16 natively; emulation is slower than float32."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)
