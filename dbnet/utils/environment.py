"""Variables of the environment that libraries read when they are imported."""

import math
import os
import tempfile
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def prepare_environment() -> None:
    """Set what users left unset, for torch, OpenMP, MLflow and those that ask for a home."""
    # A user that the system does not know, as `docker run --user 12345` makes them, may have none;
    # what MMEngine imports then fails.
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = tempfile.gettempdir()
    # MLflow 3 refuses what mmengine's backend does without a tracking_uri: to log into a folder.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    # Threads beyond a container's share of the processors wait for each other: twice as many
    # doubled the time.
    quota = processor_quota()
    if quota is not None and quota < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, math.floor(quota))))


def use_large_pages() -> None:
    """Let torch's large tensors lie in pages of 2 MB, where Linux has them, unless told otherwise.

    A thirtieth of the page faults, and three quarters of the time of detection on a CPU; training
    of DBNet_r18 takes a quarter longer. Torch reads it when the first tensor is made.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def processor_quota(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return the processors that this container may use, as of `docker run --cpus`; None: all.

    Control groups, version 1 or 2, are mounted at `root`; `own` names those of this process.
    """
    try:
        groups = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:  # not Linux
        return None
    for _, controllers, path in groups:
        folder = root / controllers.replace("cpuacct", "cpu").split(",")[0] if controllers else root
        # Inside a container its own group is the root.
        for group in (folder / path.strip("/"), folder):
            quota = _quota(group)
            if quota is not None:
                return quota
    return None


def _quota(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():  # version 2
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
            )
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such group; "max"
        return None
