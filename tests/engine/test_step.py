"""What surrounds a training step: its log, accumulation, clipping, averages, learning rate."""

import copy
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn
from torch.profiler import ProfilerActivity, profile

from dbnet.cli import test as test_tool
from dbnet.cli import train as train_tool
from dbnet.config.load import load_config
from dbnet.engine.loss_hooks import BatchedRuntimeInfoHook, Step, read_steps
from dbnet.engine.optim_wrapper import AsyncOptimWrapper
from dbnet.engine.runner import SafeRunner
from dbnet.registry import HOOKS
from dbnet.visualization.curves import read_scalars
from tests.scenes import write_config, write_scenes

# 8 steps of one picture an epoch, a log line after every fourth.
SMALL = dict(train_dataloader=dict(batch_size=1), default_hooks=dict(logger=dict(interval=4)))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), count=8)


def small_config(scenes, name, epochs=1, **settings):
    lines = "".join(f"{key} = {value!r}\n" for key, value in {**SMALL, **settings}.items())
    # After the template's own dicts, which it repeats the keys of.
    path = Path(write_config(scenes, f"base_{name}", epochs, save_every=100))
    leaf = path.with_name(f"{name}.py")
    leaf.write_text(f'_base_ = ["{path.name}"]\n{lines}')
    return str(leaf)


def train(config, work_dir, *arguments):
    return train_tool.main([config, "--work-dir", str(work_dir), "--seed", "1", *arguments])


def weights(path):
    return torch.load(path, weights_only=True, map_location="cpu")["state_dict"]


# The log


@HOOKS.register_module(force=True)
class CountReads(Hook):
    """Count in each step how often a value is read from the device."""

    priority = "LOWEST"
    READS = ("aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero")

    def __init__(self):
        self.counts = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.profile = profile(activities=[ProfilerActivity.CPU])
        self.profile.__enter__()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.profile.__exit__(None, None, None)
        reads = [event for event in self.profile.events() if event.name in self.READS]
        # The CPU's fused optimizers read their counters of steps; a GPU's do that on the GPU.
        self.counts.append(sum("_fused_" not in parents(event) for event in reads))


def parents(event):
    return f"{event.cpu_parent.name} {parents(event.cpu_parent)}" if event.cpu_parent else ""


@pytest.mark.slow
@pytest.mark.parametrize("wrapper", ["OptimWrapper", "Bfloat16OptimWrapper"])
def test_no_step_without_a_log_line_waits_for_the_device(scenes, tmp_path, wrapper):
    config = load_config(small_config(scenes, f"count_{wrapper}"))
    config.merge_from_dict(dict(work_dir=str(tmp_path), val_dataloader=None, val_cfg=None))
    config.val_evaluator = None
    config.optim_wrapper.type = wrapper
    runner = SafeRunner.from_cfg(config)
    runner.register_hook(counter := CountReads())
    runner.train()
    assert counter.counts == [0] * 8  # a transfer of four steps at once is a copy, not a read
    assert [step for step, _ in logged(tmp_path)] == [4, 8]


def logged(work_dir):
    records, _ = read_scalars(Path(work_dir))
    names = ("loss", "loss_prob", "loss_thr", "loss_db", "lr")
    return [(record["step"], {name: record[name] for name in names}) for record in records]


@pytest.mark.slow
def test_the_log_is_that_of_mmengines_own_hook(scenes, tmp_path):
    plain = dict(SMALL["default_hooks"], runtime_info=dict(type="mmengine.RuntimeInfoHook"))
    for name, settings in (("ours", {}), ("mmengine", dict(default_hooks=plain))):
        assert train(small_config(scenes, name, epochs=1, **settings), tmp_path / name) == 0
    assert len(logged(tmp_path / "ours")) == 2
    assert logged(tmp_path / "ours") == logged(tmp_path / "mmengine")


def test_steps_are_read_in_their_order():
    steps = [
        Step(1, 1, dict(grad_norm=torch.tensor(7.0), loss=torch.tensor([2.0])), ["a.jpg"]),
        Step(1, 2, dict(loss=3.5), ["b.jpg"]),
        Step(2, 3, dict(loss=torch.tensor(0.1, dtype=torch.float64)), []),
    ]
    losses = [step.losses for step in read_steps(steps)]
    assert losses == [dict(grad_norm=7, loss=2), dict(loss=3.5), dict(loss=pytest.approx(0.1))]
    assert read_steps([Step(1, 1, {}, [])]) == [Step(1, 1, {}, [])]


class FakeRunner:
    """The hub and the loop's place, without a model."""

    def __init__(self, name, interval=None):
        from mmengine.hooks import LoggerHook
        from mmengine.logging import MessageHub

        self.message_hub = MessageHub.get_instance(name)
        self.hooks = [LoggerHook(interval=interval)] if interval else []
        self.train_dataloader = range(1000)
        self.optim_wrapper = None
        self.epoch = self.iter = 0
        self.read = []

    def call_hook(self, name, steps):
        self.read += [step.iteration for step in steps]


def feed(hook, runner, steps):
    for _ in range(steps):
        outputs = dict(loss=torch.tensor(float(runner.iter), requires_grad=True))
        hook.after_train_iter(runner, runner.iter, None, outputs)
        runner.iter += 1


def test_losses_are_read_at_log_lines_and_before_a_checkpoint():
    runner, hook = FakeRunner("reads", interval=5), BatchedRuntimeInfoHook()
    feed(hook, runner, 4)
    assert runner.read == [] and not any(
        value.requires_grad for step in hook.pending for value in step.losses.values()
    )
    feed(hook, runner, 3)
    assert runner.read == [1, 2, 3, 4, 5]
    checkpoint = dict(message_hub=runner.message_hub.state_dict())
    assert len(checkpoint["message_hub"]["log_scalars"]["train/loss"].data[0]) == 5
    hook.before_save_checkpoint(runner, checkpoint)
    history, _ = checkpoint["message_hub"]["log_scalars"]["train/loss"].data
    assert history.tolist() == [0, 1, 2, 3, 4, 5, 6] and runner.read == [1, 2, 3, 4, 5, 6, 7]


def test_losses_are_read_where_nothing_is_logged_and_at_the_end_of_an_epoch():
    runner, hook = FakeRunner("unlogged"), BatchedRuntimeInfoHook()
    feed(hook, runner, hook.MAX_PENDING + 1)
    assert len(runner.read) == hook.MAX_PENDING
    runner.iter = 999
    feed(hook, runner, 1)
    assert runner.read[-2:] == [51, 1000] and hook.pending == []


@pytest.mark.slow
def test_a_run_that_diverges_names_its_images_and_saves_nothing(scenes, tmp_path, capsys):
    config = small_config(
        scenes,
        "diverges",
        epochs=2,
        default_hooks=dict(logger=dict(interval=100), checkpoint=dict(interval=1)),
        optim_wrapper=dict(optimizer=dict(lr=1e35), clip_grad=None),
    )
    assert train(config, tmp_path) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "loss not finite in epoch 1, iteration 2 " in last and last.endswith(".png")
    assert not list(tmp_path.glob("*.pth*"))


# Optimizer


def layer_and_wrapper(**settings):
    torch.manual_seed(0)
    layer = nn.Linear(3, 1)
    return layer, AsyncOptimWrapper(torch.optim.SGD(layer.parameters(), lr=0.5), **settings)


def test_accumulated_halves_step_with_the_mean_of_their_gradients():
    layer, wrapper = layer_and_wrapper(accumulative_counts=2)
    before = [p.detach().clone() for p in layer.parameters()]
    halves = torch.rand(2, 4, 3)
    wrapper.update_params(layer(halves[0]).sum())
    assert torch.equal(layer.weight, before[0])  # nothing yet
    wrapper.update_params(layer(halves[1]).sum())
    # d sum(w x + b) / dw = sum(x), / db = 4
    gradient = halves.sum(1).mean(0, keepdim=True)
    torch.testing.assert_close(layer.weight, before[0] - 0.5 * gradient)
    torch.testing.assert_close(layer.bias, before[1] - 0.5 * 4)


@pytest.mark.parametrize("max_norm", [1.0, 100.0])
def test_gradients_are_clipped_and_their_norm_is_kept_for_the_log(max_norm):
    layer, wrapper = layer_and_wrapper(clip_grad=dict(max_norm=max_norm))
    before = layer.bias.detach().clone()
    wrapper.update_params(layer(torch.tensor([[2.0, 3, 6]])).sum())  # gradient (2, 3, 6), 1
    norm = 50**0.5
    assert wrapper.log_scalars["grad_norm"].item() == pytest.approx(norm)
    expected = before - 0.5 * min(1, max_norm / norm)
    torch.testing.assert_close(layer.bias, expected, rtol=1e-4, atol=0)
    _, by_value = layer_and_wrapper(clip_grad=dict(type="value", clip_value=0.1))
    by_value.update_params(by_value.optimizer.param_groups[0]["params"][1].sum())
    assert by_value.log_scalars == {}


@pytest.mark.parametrize("name", ["sgd_poly_1200e", "adamw_poly_100e"])
def test_the_recipes_fused_optimizers_agree_with_plain_ones(name):
    config = load_config(
        dict(
            sgd_poly_1200e="dbnet_r18_fpnc_1200e_icdar2015",
            adamw_poly_100e="dbnet_r18_fpnc_100e_icdar2015_scratch",
        )[name]
    )
    settings = dict(config.optim_wrapper.optimizer)
    kind = getattr(torch.optim, settings.pop("type"))
    assert settings["fused"]
    start = torch.randn(2, 50)
    weights = [start.clone().requires_grad_() for _ in range(3)]
    plain = kind([weights[0]], **{**settings, "fused": False})
    fused = kind([weights[1]], **settings)
    resumed = kind([weights[2]], **settings)
    for step in range(6):
        if step == 3:  # a checkpoint of a plain optimizer
            weights[2].data.copy_(weights[0].data)
            resumed.load_state_dict(copy.deepcopy(plain.state_dict()))
        for weight, optimizer in zip(weights, (plain, fused, resumed)):
            weight.grad = torch.sin(weight.detach() + step)
            optimizer.step()
    for other in weights[1:]:
        torch.testing.assert_close(other, weights[0], rtol=1e-5, atol=1e-6)
    assert (weights[0] - start).abs().max() > 1e-3


@pytest.mark.slow
def test_auto_scale_lr_follows_the_batch(scenes, tmp_path):
    # Batch 1 of the 8 that the recipe is for.
    scaled = small_config(scenes, "scaled", auto_scale_lr=dict(enable=True))
    assert train(scaled, tmp_path / "scaled") == 0
    assert train(small_config(scenes, "unscaled"), tmp_path / "unscaled") == 0
    rates = [[values["lr"] for _, values in logged(tmp_path / n)] for n in ("scaled", "unscaled")]
    assert rates[0] == pytest.approx([rate / 8 for rate in rates[1]])


# Options of the runner


EMA = [dict(type="EMAHook", momentum=0.1)]


@pytest.mark.slow
def test_averaged_weights_are_tested_saved_and_resumed(scenes, tmp_path, capsys):
    save = dict(SMALL["default_hooks"], checkpoint=dict(interval=1, max_keep_ckpts=3))
    whole = small_config(scenes, "ema", epochs=3, custom_hooks=EMA, default_hooks=save)
    assert train(whole, tmp_path / "whole") == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    checkpoint = torch.load(tmp_path / "whole" / "epoch_3.pth", weights_only=True)
    averaged = checkpoint["state_dict"]["det_head.binarize.6.weight"]
    latest = checkpoint["ema_state_dict"]["module.det_head.binarize.6.weight"]
    assert not torch.equal(averaged, latest)
    # The metric at the end of training is that of `state_dict`, which `test` loads.
    path = str(tmp_path / "whole" / "epoch_3.pth")
    assert test_tool.main([whole, path, "--work-dir", str(tmp_path / "test")]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == lines
    # Resumed from epoch 1, the run ends with the very weights, averaged and latest.
    part = tmp_path / "part"
    part.mkdir()
    (part / "epoch_1.pth").write_bytes((tmp_path / "whole" / "epoch_1.pth").read_bytes())
    assert train_tool.main([whole, "--work-dir", str(part), "--resume"]) == 0
    resumed = torch.load(part / "epoch_3.pth", weights_only=True)
    for key in ("state_dict", "ema_state_dict"):
        for name, value in checkpoint[key].items():
            assert torch.equal(resumed[key][name], value), name


@pytest.mark.slow
def test_compiled_training_gives_the_losses_of_plain_training(scenes, tmp_path):
    # The backend runs the captured graphs as they are: no compiler is needed.
    for name, compiled in (("compiled", dict(backend="eager")), ("plain", False)):
        assert train(small_config(scenes, name, compile=compiled), tmp_path / name) == 0
    for ours, plain in zip(logged(tmp_path / "compiled"), logged(tmp_path / "plain")):
        assert ours[1] == pytest.approx(plain[1], rel=1e-5)
