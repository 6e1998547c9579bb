import math

import pytest
import torch

from dbnet.models.losses import db_loss
from dbnet.models.losses.db_loss import DBLoss, balanced_bce, masked_dice, masked_l1, sum_of_largest


def test_balanced_bce_keeps_the_hardest_negatives():
    target = torch.tensor([1.0, 0, 0, 0, 0])
    logits = torch.tensor([0.0, 3, 2, 1, -9])
    loss = balanced_bce(logits, target, torch.ones(5), negative_ratio=2)
    # softplus(-0) for the positive; softplus of the two largest negatives
    expected = (math.log(2) + math.log1p(math.e**3) + math.log1p(math.e**2)) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_balanced_bce_takes_all_negatives_if_there_are_few():
    target = torch.tensor([1.0, 1, 1, 0])
    loss = balanced_bce(torch.zeros(4), target, torch.ones(4), negative_ratio=3)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-5)


def test_balanced_bce_leaves_masked_pixels_out():
    target = torch.tensor([1.0, 1, 0, 0, 0])
    mask = torch.tensor([1.0, 0, 0, 1, 1])
    logits = torch.tensor([0.0, -50, 50, 1, -1])  # the two masked ones would dominate
    loss = balanced_bce(logits, target, mask, negative_ratio=1)
    assert loss.item() == pytest.approx((math.log(2) + math.log1p(math.e)) / 2, rel=1e-5)


def test_balanced_bce_without_text_is_zero():
    logits = torch.randn(10, requires_grad=True)
    loss = balanced_bce(logits, torch.zeros(10), torch.ones(10), negative_ratio=3)
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


def test_balanced_bce_mines_over_the_whole_batch():
    # All 3 hard negatives of the 1 positive lie in the other image.
    target = torch.zeros(2, 2, 2)
    target[0, 0, 0] = 1
    logits = torch.zeros(2, 2, 2)
    logits[1] = 2.0
    loss = balanced_bce(logits, target, torch.ones_like(target), negative_ratio=3)
    assert loss.item() == pytest.approx((math.log(2) + 3 * math.log1p(math.e**2)) / 4, rel=1e-5)


def test_constant_predictor_of_a_quarter_costs_0562():
    # -(ln(1/4) + 3 ln(3/4)) / 4: the plateau that ConstantPredictorHook looks for
    target = torch.zeros(40)
    target[:10] = 1
    logits = torch.full((40,), -math.log(3))
    assert balanced_bce(logits, target, torch.ones(40), 3).item() == pytest.approx(0.5623, abs=1e-4)


def test_masked_l1():
    pred, target = torch.tensor([0.5, 0.1, 0.9]), torch.tensor([0.3, 0.5, 0.0])
    assert masked_l1(pred, target, torch.tensor([1.0, 1, 0])).item() == pytest.approx(0.3)
    assert masked_l1(pred, target, torch.zeros(3)).item() == 0


def test_masked_dice():
    pred, target = torch.tensor([0.8, 0.6, 0.1]), torch.tensor([1.0, 0, 1])
    # 2 * 0.8 / (1.4 + 1) without the masked third pixel
    loss = masked_dice(pred, target, torch.tensor([1.0, 1, 0]))
    assert loss.item() == pytest.approx(1 - 1.6 / 2.4)
    assert masked_dice(target, target, torch.ones(3)).item() == pytest.approx(0, abs=1e-6)
    assert masked_dice(torch.zeros(3), torch.zeros(3), torch.ones(3)).item() == pytest.approx(1)


def test_weights_of_the_sum():
    torch.manual_seed(0)
    shape = (2, 8, 8)
    maps = dict(
        prob_logits=torch.randn(shape), thresh_map=torch.rand(shape), binary_map=torch.rand(shape)
    )
    targets = dict(
        shrink_map=(torch.rand(shape) > 0.7).float(),
        shrink_mask=(torch.rand(shape) > 0.1).float(),
        thresh_map=torch.rand(shape),
        thresh_mask=(torch.rand(shape) > 0.5).float(),
    )
    plain = DBLoss(prob_weight=1, thresh_weight=1)(maps, targets)
    weighted = DBLoss()(maps, targets)
    for name, weight in dict(loss_prob=5, loss_thr=10, loss_db=1).items():
        assert weighted[name].item() == pytest.approx(weight * plain[name].item(), rel=1e-6)


# The hardest negatives: `topk`'s sum, without a sort

SIZES = (1, 7, 5000, 200_003)  # the last two have more values than the sample that is taken of them


def drawn(size, kind):
    values = torch.rand(size, dtype=torch.float64).pow(4).float()
    if kind == "ties":
        values = (values * 8).round() / 8
    if kind == "constant":  # the first step: the head starts at P = 0.25 everywhere
        values = torch.full((size,), 0.2877)
    if kind == "zeros":
        values[torch.rand(size) < 0.9] = 0
    if kind == "tiny":
        values *= 1e-42  # denormal
    return values


@pytest.fixture(params=["cpu", "any device"])
def _way(request, monkeypatch):
    if request.param == "any device":  # what a GPU computes, here on the CPU
        monkeypatch.setattr(db_loss, "_kth_largest_on_cpu", db_loss._kth_largest)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("kind", ["random", "ties", "constant", "zeros", "tiny"])
@pytest.mark.parametrize("size", SIZES)
def test_sum_of_largest_is_that_of_topk(size, kind):
    values = drawn(size, kind)
    for count in {0, 1, size // 50, size // 3, size - 1, size}:
        expected = values.double().topk(count)[0].sum()
        actual = sum_of_largest(values, torch.tensor(count)).double()
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("size", SIZES)
def test_gradient_of_the_sum_is_that_of_topk_without_ties(size):
    values = torch.randperm(size).float().sqrt().reshape(1, -1)  # shapes pass through
    for count in {0, 1, size // 3, size}:
        grads = []
        for function in (sum_of_largest, lambda x, k: x.flatten().topk(int(k))[0].sum()):
            x = values.clone().requires_grad_()
            (3 * function(x, torch.tensor(count))).backward()
            grads.append(x.grad)
        assert torch.equal(*grads)
        assert (grads[0] == 3).sum() == count


@pytest.mark.usefixtures("_way")
def test_ties_share_the_gradient():
    values = torch.tensor([1.0, 2, 2, 5, 2, 0], requires_grad=True)
    total = sum_of_largest(values, torch.tensor(3))  # 5, and two of the three 2s
    total.backward()
    assert total.item() == 9
    torch.testing.assert_close(values.grad, torch.tensor([0, 2 / 3, 2 / 3, 1, 2 / 3, 0]))


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(dtype):
    values = (torch.rand(20_000) + 1).to(dtype)
    total = sum_of_largest(values, torch.tensor(15_000))
    assert total.dtype == torch.float32
    expected = values.double().topk(15_000)[0].sum()
    torch.testing.assert_close(total.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("count", [1, 4, 2000, 3000])
def test_what_is_not_finite_stays_so(count):
    values = torch.rand(3000)
    values[5] = torch.inf
    assert sum_of_largest(values, torch.tensor(count)).isinf()
    for part in (slice(7, 10), slice(1500), slice(None)):
        values[part] = torch.nan
        assert sum_of_largest(values, torch.tensor(count)).isnan()


def test_a_sample_that_misleads_costs_time_alone():
    # The sample, every third value (100,000 / 2^15, made odd), sees the large ones alone.
    values = torch.arange(100_000).float()
    values[::3] += 1e6
    for count in (1, 1000, 50_000, 99_999):
        total = sum_of_largest(values, torch.tensor(count)).double()
        torch.testing.assert_close(total, values.double().topk(count)[0].sum(), rtol=1e-6, atol=0)


def test_nan_logits_make_the_loss_nan():
    for index in (0, 5):  # text, background
        logits = torch.zeros(10)
        logits[index] = torch.nan
        target = torch.tensor([1.0, 1] + [0] * 8)
        assert balanced_bce(logits, target, torch.ones(10), negative_ratio=3).isnan()


@pytest.mark.parametrize(("positives", "ratio", "kept"), [(3, 2.5, 7), (1, 0.5, 0), (4, 100, 6)])
def test_number_of_negatives_is_rounded_down(positives, ratio, kept):
    target = torch.zeros(10)
    target[:positives] = 1
    logits = torch.zeros(10, requires_grad=True)
    balanced_bce(logits, target, torch.ones(10), ratio).backward()
    # Each pixel's gradient is +-1/2 of its share; shares sum to the number of pixels that count.
    expected = kept / 2 / (positives + kept)
    assert logits.grad[positives:].sum().item() == pytest.approx(expected, rel=1e-5)
