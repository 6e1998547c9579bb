"""The sum of the k largest values of a map, for hard-negative mining, without sorting them.

Only the k-th largest value matters: what lies above it counts whole, and what equals it shares the
rest. `k` stays a tensor, so that a GPU is never waited for.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

SAMPLE_SIZE = 1 << 15  # values, at least, that bracket the threshold
CHUNK_SIZE = 1 << 17  # values that a cache holds
ONE_THREAD = 1 << 15  # values that torch does not share out; its threads wait for each other
BRACKET_SIGMAS = 3.5  # half width of the bracket, in standard deviations of the sampled rank


def sum_of_largest(values: Tensor, count: Tensor) -> Tensor:
    """Sum the `count` largest of `values`, as `values.flatten().topk(count)[0].sum()` does.

    Values that equal the smallest of them share its gradient, whereas `topk` picks some at random.

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
        total, threshold, share = (_select_on_cpu if on_cpu else _select)(values, count)
        ctx.save_for_backward(values, threshold, share)
        return total

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        values, threshold, share = ctx.saved_tensors  # type: ignore[attr-defined]
        weights = (values > threshold).float()
        return weights.addcmul_((values == threshold).float(), share).mul_(grads[0]), None


def _select(values: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the sum of the `count` largest values by 31 passes that count, on any device.

    The bits of non-negative floats are ordered as the floats are. The threshold, the greatest
    number that `count` values reach, is built from its highest bit down.

    Returns:
        The sum, the threshold, and the share in the sum of a value that equals it; all 0-d.
    """
    bits = values.view(torch.int32)
    threshold = torch.zeros((), dtype=torch.int32, device=values.device)
    for position in range(30, -1, -1):
        higher = threshold | (1 << position)
        threshold = torch.where((bits >= higher).sum() >= count, higher, threshold)
    above = bits > threshold
    missing = count - above.sum()
    limit = threshold.view(torch.float32)
    # Without this a `count` of 0 would give 0 times NaN, which the 31 bits of 1 stand for.
    shared = torch.where(missing > 0, missing * limit, 0.0)
    share = missing / (bits == threshold).sum().clamp(min=1)
    return torch.where(above, values, 0.0).sum() + shared, limit, share


def _select_on_cpu(values: Tensor, count: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Do the same as `_select` in one pass, for a CPU, where each of them takes longer.

    The k-th largest value is sought among the few that lie in a bracket which a sample gives.
    """
    k = int(count.numpy())
    if k == 0:
        return torch.zeros(()), torch.tensor(torch.inf), torch.zeros(())
    low, high = _bracket(values.numpy(), k)
    split = _split(values, low, high)
    if not split.num_above < k <= split.num_above + split.num_between:  # an unusual sample
        split = _split(values, -math.inf, math.inf)
    missing = k - split.num_above
    if low == high and split.between.size == 0:
        largest, limit, num_larger, num_equal = missing * low, low, 0, split.num_between
    else:
        largest, limit, num_larger, num_equal = _largest(split.between, missing)
    share = (missing - num_larger) / max(num_equal, 1)
    return torch.tensor(split.sum_above + largest), torch.tensor(limit), torch.tensor(share)


def _largest(array: np.ndarray, k: int) -> tuple[float, float, int, int]:
    """Sum the k largest values; return the k-th too, how many are larger, and how many equal."""
    rank = len(array) - k
    ordered = np.partition(array, rank)  # NaN comes last
    limit = ordered[rank]
    num_larger, num_equal = (int(np.count_nonzero(c)) for c in (array > limit, array == limit))
    return float(ordered[rank:].sum(dtype=np.float64)), float(limit), num_larger, num_equal


class _Split(NamedTuple):
    """Parts of some values. `between` is left out where all of them are one value."""

    num_above: int
    num_between: int
    sum_above: float
    between: np.ndarray


def _split(values: Tensor, low: float, high: float) -> _Split:
    """Split values into those below `low`, above `high`, and between; NaN lies between."""
    num_above = num_between = 0
    between, sums = [np.empty(0, np.float32)], [torch.zeros(())]
    for part in values.split(CHUNK_SIZE):
        chunk = part.numpy()
        above = chunk > high
        inside = (chunk < low) == above
        num_above += np.count_nonzero(above)
        num_between += np.count_nonzero(inside)
        if low < high:
            between.append(chunk[np.flatnonzero(inside)])
        if high < math.inf:
            sums += [torch.threshold(p, high, 0.0).sum() for p in part.split(ONE_THREAD)]
    sum_above = float(torch.stack(sums).double().sum().numpy())
    return _Split(num_above, num_between, sum_above, np.concatenate(between))


def _bracket(array: np.ndarray, k: int) -> tuple[float, float]:
    """Find two values between which the k-th largest lies with near certainty."""
    stride = max(1, array.size // SAMPLE_SIZE) | 1  # odd: no period of an image's width
    sample = np.sort(array[::stride])
    ratio = k / array.size
    rank = (1 - ratio) * len(sample)
    margin = 1 + BRACKET_SIGMAS * math.sqrt(len(sample) * ratio * (1 - ratio))
    below, above = math.floor(rank - margin), math.ceil(rank + margin)
    low = float(sample[below]) if below >= 0 else -math.inf
    high = float(sample[above]) if above < len(sample) else math.inf
    return (low, high) if low <= high else (-math.inf, math.inf)  # one of them is NaN
