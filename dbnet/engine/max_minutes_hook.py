"""`dbnet train --max-minutes`: the length of a run, fixed after its first steps."""

import bisect
import io
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import CheckpointHook, Hook

from dbnet.engine.loops import ResumableEpochLoop
from dbnet.engine.schedules import LENGTH, length_of, restart_schedules
from dbnet.errors import UserError
from dbnet.utils.log import log

WARM_UP = 2  # steps that are not measured
LEAST_STEPS = 5  # that are measured, in the time of
MEASURED = 0.04  # of the whole, at least
USED = 0.975  # of the time; steps are not equally long
MOST = 10**9


class Costs(NamedTuple):
    """Seconds that a run takes."""

    spent: float  # since the command began, with `done` units trained
    done: float  # units, epochs or iterations; a fraction where epochs are counted
    unit: float  # of a unit's training
    validation: float  # of one
    val_interval: int  # units from one validation to the next; there is one at the end
    saving: float  # of a checkpoint
    save_interval: int  # units from one to the next; there is one at the end

    def total(self, length: int) -> float:
        """Seconds of a run of `length` units."""
        return (
            self.spent
            + (length - self.done) * self.unit
            + -(-length // self.val_interval) * self.validation
            + -(-length // self.save_interval) * self.saving
        )

    def longest(self, seconds: float) -> int:
        """Units of the longest run that takes no more than `seconds`; 0 if there is none."""
        return bisect.bisect_right(range(MOST), seconds, key=self.total) - 1


class MaxMinutesHook(Hook):
    """Fix the length of a run after its first steps, so that it ends in time.

    Validations and checkpoints included, and the start of the command. Every point of the schedules
    moves in proportion; up to then the learning rate is that of the config's own length. The length
    is kept in checkpoints, and holds when they are resumed, with this hook in the run.
    Without `minutes` it only does that; `started` is `time.monotonic()` as the command began.
    """

    priority = "LOWEST"  # after the schedules have been stepped

    def __init__(self, minutes: float | None, started: float | None = None) -> None:
        self.minutes = minutes
        self.started = time.monotonic() if started is None else started
        self._fixed = minutes is None
        self._steps = 0
        self._measured_from = 0.0

    def before_train(self, runner: Any) -> None:
        """Take over the length of a resumed run."""
        if (length := runner.message_hub.get_info(LENGTH, None)) is None:
            return
        set_length(runner.train_loop, length)
        self._fixed = True
        if self.minutes is not None:
            log(f"--max-minutes: the run has {length} {unit_of(runner.train_loop)}, as before")

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Measure a step, and fix the length when enough are measured."""
        if self._fixed:
            return
        self._steps += 1
        if self._steps <= WARM_UP:
            wait_for_device()
            self._measured_from = time.monotonic()
            return
        measured = time.monotonic() - self._measured_from
        steps = self._steps - WARM_UP
        enough = steps >= LEAST_STEPS and measured >= MEASURED * 60 * (self.minutes or 0)
        if not of_main_process(enough):
            return
        wait_for_device()
        per_step = (time.monotonic() - self._measured_from) / steps
        self._fix(runner, per_step)

    def _fix(self, runner: Any, per_step: float) -> None:
        loop, minutes = runner.train_loop, self.minutes or 0
        costs = measure(runner, per_step, self.started)
        length = of_main_process(costs.longest(USED * 60 * minutes))
        if length <= costs.done:
            done = int(costs.done) + 1
            raise UserError(
                f"--max-minutes {minutes:g}: too little for {done} {unit_of(loop)}, validation and "
                f"checkpoint, which need {costs.total(done) / USED / 60:.2g}"
            )
        factor = length / length_of(loop)  # moves the points of the schedules in proportion
        set_length(loop, length)
        restart_schedules(runner, factor, runner.iter + 1)
        runner.message_hub.update_info(LENGTH, length)
        self._fixed = True
        log(
            f"--max-minutes {minutes:g}: {length} {unit_of(loop)} of {costs.unit:.3g} s, "
            f"a validation {costs.validation:.3g} s, a checkpoint {costs.saving:.2g} s"
        )


def of_main_process(value: Any) -> Any:
    """Give all processes what the first one decides, as their clocks differ."""
    values = [value]
    broadcast_object_list(values)
    return values[0]


def wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def unit_of(loop: Any) -> str:
    return "epochs" if isinstance(loop, ResumableEpochLoop) else "iterations"


def set_length(loop: Any, length: int) -> None:
    """Let a training loop end after so many epochs, or iterations."""
    if isinstance(loop, ResumableEpochLoop):
        loop._max_epochs = length
        loop._max_iters = length * len(loop.dataloader)
    else:
        loop.max_iters = length


def measure(runner: Any, per_step: float, started: float) -> Costs:
    """Measure what a run is made of, after some steps."""
    loop = runner.train_loop
    steps = len(loop.dataloader) if isinstance(loop, ResumableEpochLoop) else 1
    saving, save_interval = time_checkpoint(runner)
    validation = time_validation(runner)
    return Costs(
        spent=time.monotonic() - started,
        done=(runner.iter + 1) / steps,
        unit=per_step * steps,
        validation=validation,
        val_interval=loop.val_interval if validation else MOST,
        saving=saving,
        save_interval=save_interval,
    )


def time_validation(runner: Any) -> float:
    """Estimate the seconds of a validation by its second batch; 0 without one."""
    if runner.val_loop is None:
        return 0.0
    loader, seconds = runner.val_loop.dataloader, 0.0
    with evaluating(runner.model):
        for batch in itertools.islice(loader, 2):
            start = time.monotonic()
            runner.model.val_step(batch)
            seconds = time.monotonic() - start
    return seconds * len(loader)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch to evaluation, and leave random numbers as they are."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.train()


def time_checkpoint(runner: Any) -> tuple[float, int]:
    """Seconds of a checkpoint by what weights and optimizer take, and units between two."""
    hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
    if hook is None:
        return 0.0, MOST
    start = time.monotonic()
    if is_main_process():
        state = (runner.model.state_dict(), runner.optim_wrapper.state_dict())
        torch.save(state, io.BytesIO())
    interval = hook.interval if hook.interval > 0 else MOST
    steps = len(runner.train_dataloader)
    if isinstance(runner.train_loop, ResumableEpochLoop) and not hook.by_epoch:
        interval = max(interval // steps, 1)
    return time.monotonic() - start, interval
