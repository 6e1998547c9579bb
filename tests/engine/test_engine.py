from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dbnet.engine.hooks import ConstantPredictorHook
from dbnet.engine.loss_hooks import NonFiniteLossHook, Step
from dbnet.engine.optim_wrapper import Bfloat16OptimWrapper
from dbnet.errors import UserError
from dbnet.utils.bfloat16 import has_fast_bfloat16
from dbnet.visualization.curves import plot_curves, read_scalars


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.loss_module = SimpleNamespace(prob_weight=5.0)


def runner(caplog_messages):
    logger = SimpleNamespace(warning=caplog_messages.append)
    return SimpleNamespace(model=Model(), logger=logger, epoch=2, iter=41)


def feed(hook, steps, loss_prob, loss_db, messages):
    for step in range(steps):
        read = dict(loss=4.0, loss_prob=loss_prob, loss_db=loss_db)
        hook.after_losses_read(runner(messages), [Step(3, step + 1, read, [])])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_loss_names_the_images(value):
    steps = [
        Step(3, 41, dict(loss=1e30), ["fine.jpg"]),
        Step(3, 42, dict(loss=value, loss_prob=value, loss_db=1.0), ["a.jpg", "b.jpg"]),
    ]
    NonFiniteLossHook().after_losses_read(runner([]), steps[:1])
    with pytest.raises(UserError, match=r"epoch 3, iteration 42 .*loss_db 1\).*: a\.jpg, b\.jpg$"):
        NonFiniteLossHook().after_losses_read(runner([]), steps)


def test_weights_that_are_not_finite_are_not_saved():
    weights = dict(a=torch.ones(3), count=torch.tensor(1), b=torch.zeros(2))
    NonFiniteLossHook().before_save_checkpoint(runner([]), dict(state_dict=weights))
    weights["b"][1] = torch.nan
    with pytest.raises(UserError, match=r"iteration 42 \(b\), nothing saved"):
        NonFiniteLossHook().before_save_checkpoint(runner([]), dict(state_dict=weights))


def test_constant_predictor_is_told_once_and_after_warm_up():
    messages = []
    hook = ConstantPredictorHook(window=200)
    feed(hook, 200, 5 * 0.565, 0.99, messages)
    assert messages == []  # the first window is warm-up
    feed(hook, 199, 5 * 0.565, 0.99, messages)
    assert messages == []
    feed(hook, 1, 5 * 0.565, 0.99, messages)
    assert len(messages) == 1 and "constant predictor" in messages[0]
    feed(hook, 600, 5 * 0.565, 0.99, messages)
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("loss_prob", "loss_db"),
    [(5 * 0.54, 0.99), (5 * 0.59, 0.99), (5 * 0.565, 0.94), (1.0, 0.3)],
)
def test_a_run_that_learns_is_left_alone(loss_prob, loss_db):
    messages = []
    feed(ConstantPredictorHook(window=10), 100, loss_prob, loss_db, messages)
    assert messages == []


def test_each_window_has_its_own_mean():
    messages = []
    hook = ConstantPredictorHook(window=10)
    feed(hook, 10, 50.0, 1.0, messages)  # would lift the next window's mean if it were kept
    feed(hook, 10, 5 * 0.565, 0.99, messages)
    assert len(messages) == 1


def test_bfloat16_wrapper_computes_in_bfloat16_and_updates_float32():
    layer = nn.Linear(4, 4)
    wrapper = Bfloat16OptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.1))
    before = layer.weight.detach().clone()
    with wrapper.optim_context(layer):
        output = layer(torch.ones(2, 4))
        assert output.dtype == torch.bfloat16
        wrapper.update_params(output.float().sum())
    assert layer.weight.dtype == torch.float32
    torch.testing.assert_close(layer.weight, before - 0.1 * 2, rtol=0, atol=1e-6)


def test_fast_bfloat16_asks_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    for answer in (True, False):
        monkeypatch.setattr(
            torch.cpu, "_is_avx512_bf16_supported", lambda answer=answer: answer, raising=False
        )
        assert has_fast_bfloat16() is answer


def test_curves_of_a_resumed_run(tmp_path):
    for stamp, lines in (
        (
            "20260101_000000",
            '{"loss": 3.0, "lr": 0.1, "step": 1}\n{"loss": 2.0, "lr": 0.1, "step": 2}',
        ),
        (
            "20260102_000000",
            '{"loss": 1.5, "lr": 0.1, "step": 2}\n{"icdar/hmean": 0.5, "step": 1}\n{"loss": 1',
        ),
    ):
        folder = tmp_path / stamp / "vis_data"
        folder.mkdir(parents=True)
        (folder / "scalars.json").write_text(lines)
    train, evaluation = read_scalars(tmp_path)
    assert [(r["step"], r["loss"]) for r in train] == [(1, 3.0), (2, 1.5)]
    assert evaluation == [{"icdar/hmean": 0.5, "step": 1}]
    plot_curves(tmp_path, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_curves_without_any_record(tmp_path):
    plot_curves(tmp_path, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()
