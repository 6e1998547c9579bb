import atexit
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config

from dbnet.engine.checkpoint_files import holds_checkpoints
from dbnet.errors import UserError

# The variable by which a launcher tells its processes apart, and how it is started.
LAUNCHERS = dict(
    pytorch=("RANK", "torchrun --nproc-per-node N tools/..."),
    slurm=("SLURM_PROCID", "srun python tools/..."),
)


def set_launcher(config: Config, launcher: str) -> None:
    """Prepare a config to run in one process or in those of a launcher.

    Raises:
        UserError: The process was not started by `launcher`, or not on a machine fit for it.
    """
    config.launcher = launcher
    if launcher == "none":
        return
    variable, start = LAUNCHERS[launcher]
    if variable not in os.environ:
        raise UserError(f"--launcher {launcher}: {variable} is not set; start with `{start}`")
    check_sync_bn(config)
    if not torch.cuda.is_available():
        set_cpu_processes(config, launcher)


def set_cpu_processes(config: Config, launcher: str) -> None:
    """Let processes without a GPU talk through gloo; mmengine would ask for a GPU each."""
    if launcher != "pytorch":
        raise UserError(f"--launcher {launcher}: no CUDA GPU; on CPUs use torchrun and pytorch")
    torch.distributed.init_process_group("gloo")
    # gloo's threads outlive the interpreter otherwise, which now and then aborts the process.
    atexit.register(torch.distributed.destroy_process_group)
    config.model_wrapper_cfg = dict(
        type="MMDistributedDataParallel",
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=config.get("find_unused_parameters", False),
    )


def check_sync_bn(config: Config) -> None:
    """Refuse batch statistics over processes where they cannot be computed.

    Raises:
        UserError: There is no GPU, or the implementation is not PyTorch's.
    """
    kind = config.get("sync_bn")
    if kind not in (None, "torch"):
        raise UserError(f'sync_bn: {kind!r} needs the compiled mmcv; set "torch"')
    if kind and not torch.cuda.is_available():
        raise UserError("sync_bn: needs a CUDA GPU for each process; leave it out on CPUs")


def resume_after_restart(resume: str | None, work_dir: str) -> str | None:
    """Choose `--resume` anew in processes that torchrun has started again.

    They go on from what their predecessors saved, also where those began anew or from a file.
    """
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    return "auto" if restarted and holds_checkpoints(Path(work_dir)) else resume


def skip_imagenet_weights(config: Config) -> None:
    """Leave out the backbone's `init_cfg`, whose weights would be overwritten at once."""
    backbone = config.model.get("backbone") or {}
    if backbone.get("init_cfg") is not None:
        backbone["init_cfg"] = None


@contextmanager
def config_mistakes_told(name: str, built: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Turn the refusal of a value by a part of the config into one line.

    Args:
        name: Of the config.
        built: Tells when all parts have been built, so that an error is not about the config.
    """
    try:
        yield
    except (AssertionError, IndexError, ValueError, ZeroDivisionError) as error:
        if built():
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(f"config {name}: {reason}") from error
