"""Check the schedules of a config against the length of the run, before anything is trained."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dbnet.errors import UserError


class Misfit(NamedTuple):
    """A key of a schedule that is beyond the run.

    Attributes:
        key: Path in the config.
        value: What it says.
        length: Of the run, in the same unit.
        unit: "epochs" or "iterations".
    """

    key: str
    value: int
    length: int
    unit: str


def misfits(schedulers: Any, max_epochs: int, max_iters: int) -> list[Misfit]:
    """Find where the schedules of one optimizer begin, or are said to end, beyond the run.

    Args:
        schedulers: Config of a schedule, or several; what is built already is left alone.
        max_epochs: Length of the run, in epochs.
        max_iters: The same in iterations.
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

    Raises:
        UserError: One begins too late. The message names all that does not fit.
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
