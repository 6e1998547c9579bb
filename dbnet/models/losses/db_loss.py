import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from dbnet.errors import UserError
from dbnet.registry import MODELS

EPS = 1e-6


@MODELS.register_module()
class DBLoss(nn.Module):
    """Sum of the losses on the probability, threshold and binary maps of DBNet.

    All sums run over the whole batch of one process, as in MMOCR and MhLiao/DB.

    Args:
        prob_weight: Weight of the loss on the probability map. 5 follows MhLiao/DB.
        thresh_weight: Weight of the loss on the threshold map. 10 follows MhLiao/DB.
        negative_ratio: Background pixels kept per text pixel, the hardest first.
    """

    def __init__(
        self, prob_weight: float = 5.0, thresh_weight: float = 10.0, negative_ratio: float = 3.0
    ) -> None:
        super().__init__()
        self.prob_weight = prob_weight
        self.thresh_weight = thresh_weight
        self.negative_ratio = negative_ratio

    def forward(self, maps: dict[str, Tensor], targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compare the predicted maps with the target maps, all (N, H, W) float32."""
        shrink_map, shrink_mask = targets["shrink_map"], targets["shrink_mask"]
        check_sizes(maps["prob_logits"], shrink_map)
        loss_prob = balanced_bce(maps["prob_logits"], shrink_map, shrink_mask, self.negative_ratio)
        loss_thr = masked_l1(maps["thresh_map"], targets["thresh_map"], targets["thresh_mask"])
        loss_db = masked_dice(maps["binary_map"], shrink_map, shrink_mask)
        return dict(
            loss_prob=self.prob_weight * loss_prob,
            loss_thr=self.thresh_weight * loss_thr,
            loss_db=loss_db,
        )


def check_sizes(pred: Tensor, target: Tensor) -> None:
    """Refuse crops that the network has padded: its maps (N, H, W) are larger than the targets."""
    (height, width), (pred_height, pred_width) = target.shape[-2:], pred.shape[-2:]
    if (height, width) != (pred_height, pred_width):
        raise UserError(
            f"training crops of {width}x{height} pixels make maps of {pred_width}x{pred_height}: "
            "width and height must be multiples of 32; set `size` of the crop in "
            f"train_dataloader.dataset.pipeline, such as {pred_width},{pred_height}"
        )


def balanced_bce(logits: Tensor, target: Tensor, mask: Tensor, negative_ratio: float) -> Tensor:
    """Mean cross-entropy over the text pixels and `negative_ratio` times as many hard negatives.

    Args:
        logits: Any shape, float32.
        target: 1 on text, 0 elsewhere; of the same shape, as is `mask`.
        mask: 1 where a pixel counts.
        negative_ratio: Negatives kept per positive. Without any positive the loss is 0, as in
            MhLiao/DB and MMOCR.

    The hardest negative of two, beside one positive, (log 2 + log(1 + e)) / 2:

    >>> logits, target = torch.tensor([0.0, 1.0, -9.0]), torch.tensor([1.0, 0.0, 0.0])
    >>> round(balanced_bce(logits, target, torch.ones(3), negative_ratio=1).item(), 4)
    1.0032
    """
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    positive = target * mask
    negative = mask - positive
    num_positive = positive.sum()
    num_negative = torch.minimum(negative.sum(), negative_ratio * num_positive).long()

    hardest = sum_of_largest(loss * negative, num_negative)
    return ((loss * positive).sum() + hardest) / (num_positive + num_negative + EPS)


def masked_l1(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over the pixels of `mask`; 0 if there are none.

    >>> masked_l1(torch.tensor([0.5, 0.9]), torch.tensor([0.3, 0.3]), torch.tensor([1, 0])).item()
    0.19999...
    """
    return ((pred - target).abs() * mask).sum() / (mask.sum() + EPS)


def masked_dice(pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 - Dice coefficient 2 sum(pt) / (sum(p) + sum(t)) over the pixels of `mask`.

    >>> masked_dice(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0]), torch.ones(2)).item()
    0.33333...
    """
    pred, target = pred * mask, target * mask
    return 1 - 2 * (pred * target).sum() / (pred.sum() + target.sum() + EPS)


def sum_of_largest(values: Tensor, count: Tensor) -> Tensor:
    """Sum the `count` largest of `values`, as `values.flatten().topk(count)[0].sum()` does.

    Without sorting: what lies above the `count`-th largest value counts whole, and what equals it
    shares the rest. `count` stays a tensor, so that a GPU is never waited for.
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
