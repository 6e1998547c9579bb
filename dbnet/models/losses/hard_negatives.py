"""The sum of the k largest values of a map, for hard-negative mining, without sorting them.

Only the k-th largest value matters: what lies above it counts whole, and what equals it shares the
rest. `k` stays a tensor, so that a GPU is never waited for.
"""

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


def sum_of_largest(values: Tensor, count: Tensor) -> Tensor:
    """Sum the `count` largest of `values`, as `values.flatten().topk(count)[0].sum()` does.

    Values that equal the smallest of them share its gradient, whereas `topk` picks some at random.

    >>> sum_of_largest(torch.tensor([1.0, 5.0, 2.0, 4.0]), torch.tensor(2)).item()
    9.0

    Args:
        values: Any shape, not negative. Summed in float32. NaN counts as the largest.
        count: 0-d integer tensor on the same device, 0 to the number of values.

    Returns:
        0-d float32.
    """
    return _SumOfLargest.apply(values.flatten().float(), count)


class _SumOfLargest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, count: Tensor) -> Tensor:
        on_cpu = values.device.type == "cpu" and not torch.compiler.is_compiling()
        limit = (_kth_largest_on_cpu if on_cpu else _kth_largest)(values, count)
        above = ~(values <= limit)  # true for NaN
        missing = count - above.sum()
        share = missing / (values == limit).sum().clamp(min=1)
        # Without the condition a `count` of 0 would give 0 times infinity.
        shared = torch.where(missing > 0, missing * limit, 0.0)
        ctx.save_for_backward(values, limit, share)
        return torch.where(above, values, 0.0).sum() + shared

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        values, limit, share = ctx.saved_tensors  # type: ignore[attr-defined]
        weights = (values > limit).float()
        return weights.addcmul_((values == limit).float(), share).mul_(grads[0]), None


def _kth_largest_on_cpu(values: Tensor, count: Tensor) -> Tensor:
    """Find the `count`-th largest value; infinity if `count` is 0."""
    array, k = values.numpy(), int(count.numpy())
    rank = len(array) - k
    return torch.tensor(np.partition(array, rank)[rank] if k else np.inf)


def _kth_largest(values: Tensor, count: Tensor) -> Tensor:
    """Do the same on any device by 31 passes that count, without a value that the CPU must read.

    The bits of non-negative floats are ordered as the floats are. The limit, the greatest number
    that `count` values reach, is built from its highest bit down.
    """
    bits = values.view(torch.int32)
    limit = torch.zeros((), dtype=torch.int32, device=values.device)
    for position in range(30, -1, -1):
        higher = limit | (1 << position)
        limit = torch.where((bits >= higher).sum() >= count, higher, limit)
    return torch.where(count > 0, limit.view(torch.float32), torch.inf)  # 31 bits of 1 are NaN
