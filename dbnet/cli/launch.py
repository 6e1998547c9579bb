import atexit
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry.build_functions import build_from_cfg, build_scheduler_from_cfg
from mmengine.runner import Runner

from dbnet.cli.errors import lack_of_memory
from dbnet.engine.checkpoint_files import holds_checkpoints
from dbnet.errors import UserError

# The variable by which a launcher tells its processes apart, and how it is started.
LAUNCHERS = dict(
    pytorch=("RANK", "torchrun --nproc-per-node N tools/..."),
    slurm=("SLURM_PROCID", "srun python tools/..."),
)

# What parts raise on purpose at a value that they refuse.
REFUSALS = (AssertionError, IndexError, ValueError, ZeroDivisionError)
# What a wrong value makes of them by chance; outside the building of a part these are bugs.
BREAKAGES = (AttributeError, KeyError, RuntimeError, TypeError)
# By their code, the functions that build a part, with their argument that is its config.
BUILDERS = {
    build_from_cfg.__code__: "cfg",
    build_scheduler_from_cfg.__code__: "cfg",
    build_optim_wrapper.__code__: "cfg",  # also calls what it has built
    Runner.build_dataloader.__code__: "dataloader",
}
PLAIN = (bool, int, float, str, list, tuple)


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
    except (*REFUSALS, *BREAKAGES) as error:
        part = part_being_built(error)
        from_within = part is None and not isinstance(error, REFUSALS)
        if built() or from_within or lack_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        where = "" if isinstance(error, REFUSALS) else f" ({place_of(error)})"
        raise UserError(f"config {name}: {f'{part}: ' if part else ''}{reason}{where}") from error


def part_being_built(error: Exception) -> str | None:
    """Describe what was being built from a config when `error` was raised: "SGD(lr=-1)".

    Returns:
        The innermost part with its plain arguments; None if nothing was being built.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    parts = [f.f_locals[BUILDERS[f.f_code]] for f in frames if f.f_code in BUILDERS]
    return describe_part(parts[-1]) if parts else None


def describe_part(part: Mapping) -> str:
    """Write a part of a config as a call, without what is built from configs of their own."""
    kind = part.get("type", "DataLoader")
    plain = [
        f"{key}={value!r}"
        for key, value in part.items()
        if key not in ("type", "_scope_") and isinstance(value, PLAIN)
        if not isinstance(value, list | tuple)
        or not any(isinstance(item, Mapping) for item in value)
    ]
    name = kind if isinstance(kind, str) else kind.__name__
    return f"{name}({', '.join(plain)})" if plain else name


def place_of(error: Exception) -> str:
    """Name the line that has raised an error."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
