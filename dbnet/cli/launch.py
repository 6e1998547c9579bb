import os

import torch
from mmengine.config import Config
from mmengine.logging import print_log

from dbnet.errors import UserError

# The variable by which a launcher tells its processes apart, and how it is started.
LAUNCHERS = dict(
    pytorch=("RANK", "torchrun --nproc-per-node N tools/..."),
    slurm=("SLURM_PROCID", "srun python tools/..."),
)


def set_launcher(config: Config, launcher: str) -> None:
    """Prepare a config to run in one process or in those of a launcher.

    Without a GPU the processes talk through gloo, whatever backend the config names.

    Raises:
        UserError: The process was not started by `launcher`.
    """
    config.launcher = launcher
    if launcher == "none":
        return
    variable, start = LAUNCHERS[launcher]
    if variable not in os.environ:
        raise UserError(f"--launcher {launcher}: {variable} is not set; start with `{start}`")
    if not torch.cuda.is_available():
        print_log("no CUDA GPU: the processes compute on CPUs and talk through gloo", level=30)
        env_cfg = config.get("env_cfg") or {}
        dist_cfg = {**env_cfg.get("dist_cfg", {}), "backend": "gloo"}
        config.env_cfg = {**env_cfg, "dist_cfg": dist_cfg}
