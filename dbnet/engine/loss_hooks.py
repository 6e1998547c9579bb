"""Losses, read from the device once per log line instead of once per step and loss.

Reading a value waits until the device has computed it; until then no work can be queued.
"""

import math
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook, LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from dbnet.errors import UserError
from dbnet.registry import HOOKS
from dbnet.remote.paths import shown


class Step(NamedTuple):
    """What one training step adds to the log."""

    epoch: int  # counted from 1, as `iteration` is
    iteration: int
    # 0-d tensors on the device, or numbers once they have been read.
    losses: dict[str, Tensor | float]
    images: list[str]  # paths of its batch


@HOOKS.register_module(name=["BatchedRuntimeInfoHook", "RuntimeInfoHook"])
class BatchedRuntimeInfoHook(RuntimeInfoHook):
    """Record what mmengine's `RuntimeInfoHook` records, with one transfer for several steps.

    They end where a line is logged or a checkpoint saved. Their values, in order, then also go to
    the method `after_losses_read(runner, steps)` of all hooks that have one.
    """

    MAX_PENDING = 50  # where nothing is logged

    def __init__(self) -> None:
        self.pending: list[Step] = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Any = None
    ) -> None:
        clipped = getattr(runner.optim_wrapper, "log_scalars", {})  # of AsyncOptimWrapper
        losses = {
            name: value.detach() if isinstance(value, Tensor) else value
            for name, value in {**clipped, **(outputs or {})}.items()
        }
        clipped.clear()
        images = [shown(meta["img_path"]) for meta in (data_batch or {}).get("metas", [])]
        self.pending.append(Step(runner.epoch + 1, runner.iter + 1, losses, images))
        if len(self.pending) >= self.MAX_PENDING or self._line_is_due(runner, batch_idx):
            self._read(runner)

    def after_train(self, runner: Runner) -> None:
        self._read(runner)
        super().after_train(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self.pending:
            self._read(runner)
            state = runner.message_hub.state_dict()  # the checkpoint's was taken before this
            for key in ("log_scalars", "resumed_keys"):
                checkpoint["message_hub"][key] = state[key]

    def _line_is_due(self, runner: Runner, batch_idx: int) -> bool:
        intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        return self.end_of_epoch(runner.train_dataloader, batch_idx) or any(
            self.every_n_inner_iters(batch_idx, interval) for interval in intervals
        )

    def _read(self, runner: Runner) -> None:
        steps, self.pending = read_steps(self.pending), []
        for step in steps:
            for name, value in step.losses.items():
                runner.message_hub.update_scalar(f"train/{name}", value)
        runner.call_hook("after_losses_read", steps=steps)


def read_steps(steps: list[Step]) -> list[Step]:
    """Replace the tensors of some steps by numbers, all in one transfer."""
    values = [value for step in steps for value in step.losses.values()]
    tensors = [value.float().reshape(()) for value in values if isinstance(value, Tensor)]
    read = iter(torch.stack(tensors).tolist() if tensors else [])
    numbers = (next(read) if isinstance(value, Tensor) else value for value in values)
    return [step._replace(losses={name: next(numbers) for name in step.losses}) for step in steps]


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop the run at a loss that is NaN or infinite and name the images of its batch.

    It is seen when the losses are read, some steps later, but before any checkpoint is written.
    """

    def after_losses_read(self, runner: Runner, steps: list[Step]) -> None:
        """Check the losses that `BatchedRuntimeInfoHook` has read."""
        for step in steps:
            if all(map(math.isfinite, step.losses.values())):
                continue
            losses = ", ".join(f"{name} {value:.4g}" for name, value in step.losses.items())
            raise UserError(
                f"loss not finite in epoch {step.epoch}, iteration {step.iteration} ({losses}); "
                f"lower the learning rate or look at the images: {', '.join(step.images)}"
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse weights that are not finite: another process may have had such a loss."""
        for name, value in checkpoint["state_dict"].items():
            if value.is_floating_point() and not value.isfinite().all():
                raise UserError(
                    f"weights not finite after iteration {runner.iter + 1} ({name}), nothing "
                    "saved; lower the learning rate, or clip gradients with "
                    "optim_wrapper.clip_grad.max_norm=5, and resume with --resume"
                )
