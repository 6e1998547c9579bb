"""Training from Python, as `dbnet train` does it."""

import os
import time
from typing import Any

from dbnet.config.load import load_config
from dbnet.engine.hooks import MetricsHook
from dbnet.engine.interrupt_hook import InterruptHook
from dbnet.engine.max_minutes_hook import MaxMinutesHook
from dbnet.engine.runner import SafeRunner
from dbnet.engine.start import (
    check_folder,
    config_mistakes_reported,
    default_work_dir,
    enable_amp,
    full_disk_reported,
    resume_after_restart,
    set_launcher,
    set_start,
)
from dbnet.utils.gpu import reason_without_gpu
from dbnet.utils.log import log


def train(
    config: str | os.PathLike[str],
    data_root: str | os.PathLike[str] | None = None,
    work_dir: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    *,
    cfg_options: dict[str, Any] | None = None,
    amp: bool = False,
    seed: int | None = None,
    launcher: str = "none",
    max_minutes: float | None = None,
    started: float | None = None,
) -> dict[str, float]:
    """Train a detector to the end of its schedule.

    Ctrl-C, SIGTERM and a notebook's "interrupt" save the state and stop after the step under way.

    Args:
        config: A file, or the name of one of the project's configs.
        data_root: Folder of the annotation files; None for the config's.
        work_dir: Logs and checkpoints; None for ./work_dirs/CONFIG_NAME.
        resume: "auto" for the newest whole checkpoint of the work directory (if it has none,
            training starts from scratch), or a checkpoint; None starts from scratch.
        cfg_options: Values that replace those of the config, by dotted path.
        amp: Mixed precision, on CUDA or a CPU with bfloat16.
        seed: Of initialisation, order and augmentation; None for the config's.
        launcher: "none", or "pytorch" or "slurm" in processes that these have started.
        max_minutes: For the whole run, whose length is fixed after its first steps, see
            `MaxMinutesHook`; None for the config's length.
        started: `time.monotonic()` from which they count; None for now.

    Returns:
        The metrics of the last validation, such as `icdar/hmean`; empty without a validation.

    Raises:
        UserError: A mistake in the arguments, the config or the data, or a work directory that
            holds checkpoints already and is not resumed.
        Interrupted: A signal has stopped the run; its message names the saved checkpoint.

    Example:
        >>> dbnet.train("my_config.py", data_root="data", work_dir="run")  # doctest: +SKIP
        {'icdar/precision': 0.871, 'icdar/recall': 0.731, 'icdar/hmean': 0.795, ...}
    """
    started = time.monotonic() if started is None else started
    name = os.fspath(config)
    loaded = load_config(name, cfg_options, None if data_root is None else os.fspath(data_root))
    set_launcher(loaded, launcher)
    loaded.work_dir = os.fspath(work_dir or loaded.get("work_dir") or default_work_dir(name))
    check_folder("work directory", loaded.work_dir)
    source = None if resume is None else os.fspath(resume)
    set_start(loaded, resume_after_restart(source, loaded.work_dir), seed)
    if reason := reason_without_gpu():
        log(f"training on the CPU, not on the GPU: {reason}", level=30)
    if amp:
        enable_amp(loaded)
    with full_disk_reported(loaded.work_dir):
        with config_mistakes_reported(name):
            runner = SafeRunner.from_cfg(loaded)
        runner.register_hook(MaxMinutesHook(max_minutes, started))
        return run(runner, name)


def run(runner: SafeRunner, name: str) -> dict[str, float]:
    """Train to the end and return the last metrics."""
    runner.register_hook(last := MetricsHook())
    runner.register_hook(interrupt := InterruptHook())
    with interrupt.listening(runner), config_mistakes_reported(name, lambda: interrupt.started):
        runner.train()
    return last.metrics
