"""What the processes of a run must agree on before the first step, wherever they are."""

import os
import socket
import uuid
import zipfile
from pathlib import Path

from mmengine.dist import (
    all_gather_object,
    all_reduce_params,
    barrier,
    broadcast_object_list,
    get_world_size,
    is_distributed,
    is_main_process,
)
from mmengine.runner import Runner
from torch import nn

from dbnet.errors import UserError


def average_buffers(model: nn.Module) -> None:
    """Average the batch statistics of all processes, before the first one saves its own.

    They are running means, so that averaging now and later gives what averaging later does.
    """
    if is_distributed():
        all_reduce_params(model.buffers(), op="mean")


def check_same_start(checkpoint: str | None, work_dir: str) -> None:
    """Refuse processes that resume or load different checkpoints; their weights would never meet.

    All of them raise if one has another than the first one.
    """
    name = "nothing" if checkpoint is None else Path(checkpoint).name
    starts = all_gather_object((name, fingerprint(checkpoint), socket.gethostname()))
    first = starts[0]
    for rank, start in enumerate(starts):
        if start[:2] != first[:2]:
            raise UserError(
                f"work directory {work_dir}: process 0 on {first[2]} starts from {first[0]}, "
                f"process {rank} on {start[2]} from {start[0]}"
                f"{', which differs' if start[0] == first[0] else ''}; put it where all hosts see "
                "it, or copy the checkpoint to each"
            )


def fingerprint(checkpoint: str | None) -> object:
    """Tell files of different content apart without reading them whole."""
    if checkpoint is None or not os.path.isfile(checkpoint):
        return checkpoint
    if not zipfile.is_zipfile(checkpoint):
        return os.path.getsize(checkpoint)
    with zipfile.ZipFile(checkpoint) as file:
        return [(info.file_size, info.CRC) for info in file.infolist()]


def warn_of_separate_folders(runner: Runner) -> None:
    """Warn if a file that the first process makes in the work directory is on no other's disk."""
    if get_world_size() == 1:
        return
    names = [f".shared-{uuid.uuid4().hex}"]
    broadcast_object_list(names)
    token = Path(runner.work_dir, names[0])
    if is_main_process():
        token.touch()
    barrier()
    seen = all_gather_object((token.exists(), socket.gethostname()))
    if is_main_process():
        token.unlink()
    away = dict.fromkeys(host for sees, host in seen if not sees)
    if away:
        runner.logger.warning(
            f"work directory {runner.work_dir}: what {seen[0][1]} writes there is not seen by "
            f"{', '.join(away)}; share it, or copy the checkpoint to each host before a resume"
        )
