import math

import pytest
import torch

from dbnet.models.losses.db_loss import DBLoss, balanced_bce, masked_dice, masked_l1


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
