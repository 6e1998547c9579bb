"""Schedules: checked against the length of the run, and put where a run is that has changed."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dbnet.engine.loops import SAMPLES_DONE, ResumableEpochLoop
from dbnet.errors import UserError

# In the message hub, which every checkpoint holds: epochs, or iterations of a run that counts them,
# where these are not the config's.
LENGTH = "length_by_max_minutes"

POINTS = ("begin", "end", "T_max", "step_size", "milestones", "total_steps")  # of a schedule


class Misfit(NamedTuple):
    """A key of a schedule, its path in the config, and a value beyond the run's length."""

    key: str
    value: int
    length: int
    unit: str


def misfits(schedulers: Any, max_epochs: int, max_iters: int) -> list[Misfit]:
    """Find where the schedules of one optimizer begin, or are said to end, beyond the run.

    What is built already is left alone.
    """
    several = isinstance(schedulers, list | tuple)
    found = []
    for index, scheduler in enumerate(schedulers if several else [schedulers]):
        if not isinstance(scheduler, Mapping) or "type" not in scheduler:
            continue
        path = f"param_scheduler.{index}" if several else "param_scheduler"
        by_epoch = scheduler.get("by_epoch", True)
        length, unit = (max_epochs, "epochs") if by_epoch else (max_iters, "iterations")
        begin, end = scheduler.get("begin", 0), scheduler.get("end", 0)
        if begin >= length:
            found.append(Misfit(f"{path}.begin", begin, length, unit))
        if end > length:
            found.append(Misfit(f"{path}.end", end, length, unit))
    return found


def check_schedules(schedulers: Any, max_epochs: int, max_iters: int) -> str | None:
    """Refuse a schedule that begins when the run is over.

    Returns:
        A warning if a schedule only ends later than the run; None if all fit.
    """
    found = misfits(schedulers, max_epochs, max_iters)
    if not found:
        return None
    places = ", ".join(f"{key}={value}" for key, value, _, _ in found)
    lengths = " or ".join(dict.fromkeys(f"{length} {unit}" for _, _, length, unit in found))
    problem = f"the schedule goes beyond the run of {lengths}: {places}"
    joints = {value for key, value, _, _ in found if key.endswith(".begin")}
    # One schedule hands over to the next, as a warm-up does, after a tenth of the run.
    fitting = " ".join(
        f"{key}={max(1, length // 10) if value in joints else length}"
        for key, value, length, _ in found
    )
    if joints:
        raise UserError(f"{problem}; lower them, such as --cfg-options {fitting}")
    return f"{problem}, so it is cut off; to fit it in, --cfg-options {fitting}"


def scale_schedule(schedule: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Move the points of a schedule's config in proportion, to whole epochs or iterations.

    >>> scale_schedule(dict(type="PolyLR", begin=100, end=1200), 0.1)
    {'type': 'PolyLR', 'begin': 10, 'end': 120}
    """

    def moved(value: Any) -> Any:
        if isinstance(value, Sequence):
            return [moved(each) for each in value]
        return value if value in (0, float("inf")) else max(round(value * factor), 1)

    return {
        key: moved(value) if key in POINTS and value is not None else value
        for key, value in schedule.items()
    }


def length_of(loop: Any) -> int:
    """Epochs of a run, or iterations of one that counts them."""
    return loop.max_epochs if isinstance(loop, ResumableEpochLoop) else loop.max_iters


def restart_schedules(runner: Any, factor: float, iterations: int) -> None:
    """Build the config's schedules, stretched by `factor`, where they are after some iterations.

    The optimizer's rates start from their `initial_` values.
    """
    for group in runner.optim_wrapper.param_groups:
        for name in [name for name in group if name.startswith("initial_")]:
            group[name.removeprefix("initial_")] = group.pop(name)
    if not (config := runner.cfg.get("param_scheduler")):
        return
    several = config if isinstance(config, Sequence) else [config]
    scaled = [scale_schedule(schedule, factor) for schedule in several]
    runner.param_schedulers = runner.build_param_scheduler(scaled)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `scheduler.step")
        for scheduler in runner.param_schedulers:
            for _ in range(runner.epoch if scheduler.by_epoch else iterations):
                scheduler.step()


def take_other_step(runner: Any, before: int, now: int) -> None:
    """Let a resumed run go on with another number of samples per step.

    Epochs keep their samples: iterations are counted anew, schedules stand at the same sample, and
    with `auto_scale_lr` the learning rate is scaled. A run that counts iterations keeps their
    number.
    """
    loop, scaled = runner.train_loop, (runner.auto_scale_lr or {}).get("enable", False)
    if isinstance(loop, ResumableEpochLoop):
        done = runner.message_hub.get_info(SAMPLES_DONE, 0)
        loop._iter = loop.epoch * len(loop.dataloader) + done // now
    for group in runner.optim_wrapper.param_groups if scaled else ():
        key = "initial_lr" if "initial_lr" in group else "lr"
        group[key] *= now / before
    length = runner.message_hub.get_info(LENGTH, length_of(loop))
    restart_schedules(runner, length / length_of(loop), loop.iter)
    rate = f"times {now / before:.3g}" if scaled else "as before (auto_scale_lr.enable=False)"
    runner.logger.info(
        f"{now} samples per step, {before} before: iteration {loop.iter}, learning rate {rate}"
    )
