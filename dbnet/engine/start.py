"""How a run starts: in which processes, from what, and how mistakes and full disks are reported."""

import atexit
import errno
import logging
import os
import subprocess
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config

from dbnet.checkpoints.foreign import place_graph
from dbnet.checkpoints.read import fetch_checkpoint
from dbnet.engine.checkpoint_files import find_resumable, holds_checkpoints, read_state
from dbnet.errors import UserError, gpu_failure, lack_of_memory, line_of
from dbnet.utils.bfloat16 import has_fast_bfloat16
from dbnet.utils.log import log

# The variable by which a launcher tells its processes apart, and how it is started.
LAUNCHERS = dict(
    pytorch=("RANK", "torchrun --nproc-per-node N tools/..."),
    slurm=("SLURM_PROCID", "srun python tools/..."),
)
# What parts raise on purpose at a value that they refuse.
REFUSALS = (AssertionError, IndexError, ValueError, ZeroDivisionError)
# What a wrong value makes of them by chance; outside the building of a part these are bugs.
BREAKAGES = (AttributeError, KeyError, RuntimeError, TypeError)
# EFBIG: a limit of the process or the file system on the size of a file.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_folder(name: str, folder: str | Path) -> None:
    """Check, before a run, that a folder can be written to, or made; it is not made yet."""
    path = Path(os.path.abspath(folder))
    nearest = next(place for place in (path, *path.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise UserError(f"{name} {folder}: {nearest} is a file, choose another folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{name} {folder}: {nearest} cannot be written to, choose another folder")


def default_work_dir(config_name: str) -> str:
    return str(Path("work_dirs") / Path(config_name).stem)


def set_launcher(config: Config, launcher: str) -> None:
    """Prepare a config to run in one process or in those of a launcher."""
    config.launcher = launcher
    if launcher == "none":
        return
    variable, start = LAUNCHERS[launcher]
    if variable not in os.environ:
        raise UserError(f"--launcher {launcher}: {variable} is not set; start with `{start}`")
    check_sync_bn(config)
    if launcher == "slurm":
        take_places_of_slurm()
    if not torch.cuda.is_available():
        set_cpu_processes(config)
    else:
        local_rank = int(os.environ.get("LOCAL_RANK", 0))
        check_local_rank(launcher, local_rank, torch.cuda.device_count())


def take_places_of_slurm() -> None:
    """Set the variables that torch.distributed reads from those of srun.

    Every job has a port of its own, as several may share a machine; `MASTER_PORT` and `MASTER_ADDR`
    hold if they are set.
    """
    of_slurm = dict(RANK="PROCID", WORLD_SIZE="NTASKS", LOCAL_RANK="LOCALID")
    os.environ.update({ours: os.environ[f"SLURM_{name}"] for ours, name in of_slurm.items()})
    os.environ.setdefault("MASTER_PORT", str(20000 + int(os.environ["SLURM_JOB_ID"]) % 10000))
    if "MASTER_ADDR" not in os.environ:
        command = ["scontrol", "show", "hostnames", os.environ["SLURM_NODELIST"]]
        try:
            hosts = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(
                f"--launcher slurm: `{' '.join(command)}` fails ({error}); set MASTER_ADDR to the "
                "job's first host"
            ) from error
        os.environ["MASTER_ADDR"] = hosts.split()[0]


def check_local_rank(launcher: str, local_rank: int, num_gpus: int) -> None:
    """Refuse more processes on a machine than it has GPUs; NCCL takes one for each."""
    if local_rank >= num_gpus:
        ways = dict(
            pytorch=f"start with --nproc-per-node {num_gpus}",
            slurm="ask for as many with --gpus-per-node, which all tasks of a node must see",
        )
        raise UserError(
            f"--launcher {launcher}: process {local_rank} of this machine has no GPU, there are "
            f"{num_gpus}; {ways[launcher]}"
        )


def set_cpu_processes(config: Config) -> None:
    """Connect processes without a GPU by gloo; mmengine would ask for a GPU each."""
    seconds = (config.get("env_cfg") or {}).get("dist_cfg", {}).get("timeout")
    timeout = None if seconds is None else timedelta(seconds=seconds)
    torch.distributed.init_process_group("gloo", timeout=timeout)
    # gloo's threads outlive the interpreter otherwise, which now and then aborts the process.
    atexit.register(torch.distributed.destroy_process_group)
    config.model_wrapper_cfg = dict(
        type="MMDistributedDataParallel",
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=config.get("find_unused_parameters", False),
    )


def check_sync_bn(config: Config) -> None:
    """Refuse batch statistics over processes where they cannot be computed."""
    kind = config.get("sync_bn")
    if kind not in (None, "torch"):
        raise UserError(f'sync_bn: {kind!r} needs the compiled mmcv; set "torch"')
    if kind and not torch.cuda.is_available():
        raise UserError("sync_bn: needs a CUDA GPU for each process; leave it out on CPUs")


def resume_after_restart(resume: str | None, work_dir: str) -> str | None:
    """Choose what to resume from in processes that torchrun may have restarted.

    A restarted process always resumes its own newest checkpoint, whatever `--resume` said first.
    """
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    return "auto" if restarted and holds_checkpoints(Path(work_dir)) else resume


def skip_imagenet_weights(config: Config) -> None:
    """Leave out the backbone's `init_cfg`, whose weights would be overwritten at once."""
    backbone = config.model.get("backbone") or {}
    if backbone.get("init_cfg") is not None:
        backbone["init_cfg"] = None


def set_start(config: Config, resume: str | None, seed: int | None) -> None:
    """Decide what training starts from: a checkpoint to resume, weights to load, or its `init_cfg`.

    Raises:
        UserError: The work directory holds checkpoints and none of them is resumed, or `seed` is
            not the seed of the resumed run.
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
                f"work directory {work_dir} holds checkpoints already: continue with --resume, "
                "or choose another with --work-dir"
            )
        local = None if resume is None else str(fetch_checkpoint(resume))
        found = None if local is None else (local, read_state(local))
    if found is not None:
        path, stored = found[0], found[1]["meta"]["seed"]
        if seed not in (None, stored):
            raise UserError(f"--seed {seed}: the run resumed from {path} has seed {stored}")
        # Now, as mmengine restores it after the sampler has been built.
        config.randomness = {**config.get("randomness", {}), "seed": stored}
        config.resume, config.load_from = True, path
    if config.get("load_from"):
        skip_imagenet_weights(config)
        config.load_from = place_graph(config, config.load_from)


def enable_amp(config: Config) -> None:
    """Set the optimizer wrapper to bfloat16 where the device has it, else to float16 on CUDA."""
    if has_fast_bfloat16():
        # Products that autocast leaves in float32, those of deformable convolutions, in TF32.
        torch.set_float32_matmul_precision("high")
        config.optim_wrapper.type = "Bfloat16OptimWrapper"
        for key in ("dtype", "loss_scale", "use_fp16"):  # of mmengine's AmpOptimWrapper
            config.optim_wrapper.pop(key, None)
    elif torch.cuda.is_available():
        config.optim_wrapper.type = "AmpOptimWrapper"
        config.optim_wrapper.loss_scale = "dynamic"
    else:
        log("--amp: this CPU has no bfloat16, training in float32", level=30)


@contextmanager
def config_mistakes_reported(
    name: str, built: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Report a value that a part of the config refuses in one line.

    When all parts have been built, an error is not about the config.
    """
    try:
        yield
    except (*REFUSALS, *BREAKAGES) as error:
        part = getattr(error, "part", None)  # of `dbnet.registry.naming`
        refused = isinstance(error, REFUSALS)
        elsewhere = lack_of_memory(error) or gpu_failure(error)
        if built() or (part is None and not refused) or elsewhere:
            raise
        reason = line_of(error, -1)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = "" if refused else f" ({Path(frame.filename).name}:{frame.lineno})"
        raise UserError(f"config {name}: {f'{part}: ' if part else ''}{reason}{where}") from error


@contextmanager
def full_disk_reported(work_dir: str) -> Iterator[None]:
    """Report a full disk, which a log file may find first, in one line."""
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
            f"work directory {work_dir}: {error.strerror}; make room, then continue with --resume"
        ) from error
    finally:
        logging.raiseExceptions = raise_exceptions
        threading.excepthook = former


def is_full_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in FULL_DISK
