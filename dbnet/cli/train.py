import argparse
import errno
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from dbnet.checkpoints.read import fetch_checkpoint
from dbnet.cli.arguments import as_seed, check_folder
from dbnet.cli.errors import one_line_errors
from dbnet.cli.launch import (
    LAUNCHERS,
    config_mistakes_told,
    resume_after_restart,
    set_launcher,
    skip_imagenet_weights,
)
from dbnet.config.load import load_config
from dbnet.engine.checkpoint_files import find_resumable, holds_checkpoints, read_state
from dbnet.engine.hooks import MetricsHook
from dbnet.engine.interrupt_hook import Interrupted, InterruptHook
from dbnet.engine.optim_wrapper import has_fast_bfloat16
from dbnet.engine.runner import SafeRunner
from dbnet.errors import UserError
from dbnet.evaluation import format_metrics

# EFBIG: a limit of the process or the file system on the size of a file.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dbnet train", description="Train a text detector.")
    parser.add_argument("config", help="config file, or its name")
    parser.add_argument(
        "--work-dir", help="logs and checkpoints; ./work_dirs/CONFIG_NAME if not given"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|CKPT",
        help="go on from the work directory's last whole checkpoint (from the start if it has "
        "none), or from a file",
    )
    parser.add_argument(
        "--amp", action="store_true", help="mixed precision, on CUDA or a CPU with bf16"
    )
    parser.add_argument("--seed", type=as_seed, help="of initialisation, order and augmentation")
    parser.add_argument("--data-root", help="folder of the annotation files")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    parser.add_argument("--launcher", choices=["none", *LAUNCHERS], default="none")
    return parser.parse_args(argv)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    config = load_config(args.config, args.cfg_options, data_root=args.data_root)
    set_launcher(config, args.launcher)
    config.work_dir = args.work_dir or config.get("work_dir") or default_work_dir(args.config)
    check_folder("work directory", config.work_dir)
    set_start(config, resume_after_restart(args.resume, config.work_dir), args.seed)
    if args.amp:
        enable_amp(config)

    with full_disk_told(config.work_dir):
        with config_mistakes_told(args.config):
            runner = SafeRunner.from_cfg(config)
        return train(runner, args.config)


def train(runner: SafeRunner, name: str) -> int:
    """Train to the end, print the metrics, and return 0; a signal gives the status of its kind.

    Args:
        runner: Its data sets, optimizer and schedules are built here.
        name: Of the config, for messages.
    """
    runner.register_hook(last := MetricsHook())
    runner.register_hook(interrupt := InterruptHook())
    try:
        with interrupt.listening(runner), config_mistakes_told(name, lambda: interrupt.started):
            runner.train()
    except Interrupted as stop:
        lines, stream, status = [str(stop)], sys.stderr, stop.status
    else:
        lines, stream, status = format_metrics(last.metrics), sys.stdout, 0
    if is_main_process():
        print(*lines, sep="\n", file=stream)
    return status


@contextmanager
def full_disk_told(work_dir: str) -> Iterator[None]:
    """Turn the error of a full disk, which may come from a log file too, into a line."""
    former = threading.excepthook

    def excepthook(args: threading.ExceptHookArgs) -> None:
        if not is_full_disk(args.exc_value):
            former(args)

    # Otherwise there is a traceback for every line of the log, and one from TensorBoard's thread.
    raise_exceptions, logging.raiseExceptions = logging.raiseExceptions, False
    threading.excepthook = excepthook
    try:
        yield
    except OSError as error:
        if not is_full_disk(error):
            raise
        raise UserError(
            f"work directory {work_dir}: {error.strerror}; make room, then go on with --resume"
        ) from error
    finally:
        logging.raiseExceptions = raise_exceptions
        threading.excepthook = former


def is_full_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in FULL_DISK


def default_work_dir(config_name: str) -> str:
    return str(Path("work_dirs") / Path(config_name).stem)


def set_start(config: Config, resume: str | None, seed: int | None) -> None:
    """Decide what training starts from: a checkpoint to resume, weights to load, or its `init_cfg`.

    Raises:
        UserError: The work directory holds checkpoints and the run does not go on from one of them,
            or `seed` is not the seed of the run that goes on.
    """
    if seed is not None:
        config.randomness = {**config.get("randomness", {}), "seed": seed}
    work_dir = Path(config.work_dir)
    if resume == "auto":
        found = find_resumable(work_dir)
    else:
        inside = resume is not None and Path(resume).resolve().parent == work_dir.resolve()
        if holds_checkpoints(work_dir) and not inside:
            raise UserError(
                f"work directory {work_dir} holds checkpoints already: go on with --resume, or "
                "give another with --work-dir"
            )
        local = None if resume is None else str(fetch_checkpoint(resume))
        found = None if local is None else (local, read_state(local))
    if found is not None:
        path, checkpoint = found
        take_seed(config, path, checkpoint["meta"]["seed"], seed)
        config.resume, config.load_from = True, path
    if config.get("load_from"):
        skip_imagenet_weights(config)


def take_seed(config: Config, checkpoint: str, stored: int, seed: int | None) -> None:
    """Take the seed from a checkpoint: mmengine restores it only after the sampler has another."""
    if seed is not None and seed != stored:
        raise UserError(f"--seed {seed}: the run that goes on from {checkpoint} has seed {stored}")
    config.randomness = {**config.get("randomness", {}), "seed": stored}


def enable_amp(config: Config) -> None:
    """Set the optimizer wrapper to bfloat16 where the device has it, else to float16 on CUDA."""
    import torch

    if has_fast_bfloat16():
        config.optim_wrapper.type = "Bfloat16OptimWrapper"
        for key in ("dtype", "loss_scale", "use_fp16"):  # of mmengine's AmpOptimWrapper
            config.optim_wrapper.pop(key, None)
    elif torch.cuda.is_available():
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.loss_scale = "dynamic"
    else:
        print_log("--amp: this CPU has no bfloat16, training in float32", level=30)
