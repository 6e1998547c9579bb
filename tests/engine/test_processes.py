"""What processes agree on before they train, and what they go on with if they are fewer or more."""

import logging
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

import dbnet
from dbnet.checkpoints.read import read_checkpoint
from dbnet.engine import processes, start
from dbnet.engine.processes import check_same_start, fingerprint, warn_of_separate_folders
from dbnet.errors import UserError
from dbnet.registry import HOOKS
from tests.scenes import write_config, write_scenes

TOOLS = Path(__file__).parents[2] / "tools"


def save(path: Path, value: float) -> str:
    torch.save(dict(weight=torch.tensor([value])), path)
    return str(path)


def test_checkpoints_differ_by_content_not_by_place(tmp_path):
    (tmp_path / "other").mkdir()
    first, copy = (save(tmp_path / name, 1.0) for name in ("epoch_1.pth", "other/epoch_1.pth"))
    assert fingerprint(first) == fingerprint(copy)
    assert fingerprint(first) != fingerprint(save(tmp_path / "epoch_2.pth", 2.0))
    assert fingerprint("https://host/weights.pth") == "https://host/weights.pth"
    assert fingerprint(None) is None


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (None, "process 0 on here starts from epoch_1.pth, process 1 on there from nothing; put"),
        (2.0, "starts from epoch_1.pth, process 1 on there from epoch_1.pth, which differs; put"),
        (1.0, None),
    ],
)
def test_processes_that_start_from_different_weights_are_refused(
    monkeypatch, tmp_path, others, message
):
    mine = save(tmp_path / "epoch_1.pth", 1.0)
    (tmp_path / "there").mkdir()
    other = None if others is None else save(tmp_path / "there/epoch_1.pth", others)
    name = "nothing" if other is None else "epoch_1.pth"
    monkeypatch.setattr(processes.socket, "gethostname", lambda: "here")
    gather = lambda data: [data, (name, fingerprint(other), "there")]  # noqa: E731
    monkeypatch.setattr(processes, "all_gather_object", gather)
    if message is None:
        check_same_start(mine, "run")
    else:
        with pytest.raises(UserError, match=message):
            check_same_start(mine, "run")


@pytest.mark.parametrize("seen", [True, False])
def test_a_work_directory_that_hosts_do_not_share_is_told(monkeypatch, tmp_path, caplog, seen):
    monkeypatch.setattr(processes, "get_world_size", lambda: 2)
    monkeypatch.setattr(processes, "all_gather_object", lambda data: [data, (seen, "there")])
    runner = SimpleNamespace(work_dir=str(tmp_path), logger=logging.getLogger("run"))
    warn_of_separate_folders(runner)
    assert ("is not seen by there; share it" in caplog.text) == (not seen)
    assert not [*tmp_path.iterdir()]


def test_places_come_from_slurm(monkeypatch, tmp_path):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    values = dict(PROCID="3", NTASKS="8", LOCALID="1", JOB_ID="1234567", NODELIST="node[4-7]")
    for name, value in values.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"scontrol show hostnames.*set MASTER_ADDR to the job's f"):
        start.take_places_of_slurm()
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$3" = "node[4-7]" ] && echo node4 && echo node5\n')
    scontrol.chmod(0o755)
    start.take_places_of_slurm()
    found = [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    assert found == ["3", "8", "1"]
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("node4", "24567")


@pytest.mark.parametrize(("given", "expected"), [({}, None), ({"timeout": 90}, 90)])
def test_the_timeout_of_the_config_holds_on_cpus(monkeypatch, given, expected):
    calls = []
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda *args, **kwargs: calls.append(kwargs)
    )
    monkeypatch.setattr(start.atexit, "register", lambda function: None)
    start.set_cpu_processes(Config(dict(env_cfg=dict(dist_cfg=dict(backend="nccl", **given)))))
    assert calls == [dict(timeout=None if expected is None else timedelta(seconds=expected))]


def test_more_tasks_than_gpus_are_refused_on_slurm():
    with pytest.raises(UserError, match=r"--launcher slurm: process 1 .* --gpus-per-node"):
        start.check_local_rank("slurm", 1, num_gpus=1)


@pytest.mark.parametrize(
    ("script", "arguments", "tool"),
    [
        ("dist_train.sh", ["c.py", "4", "--resume"], "train.py c.py --resume"),
        (
            "dist_test.sh",
            ["c.py", "k.pth", "4", "--out", "r.json"],
            "test.py c.py k.pth --out",
        ),
    ],
)
def test_scripts_start_processes_of_several_hosts(script, arguments, tool):
    def command(**variables: str) -> str:
        done = subprocess.run(
            [TOOLS / script, *arguments],
            env={**os.environ, "PYTHON": "echo", **variables},
            capture_output=True,
            text=True,
        )
        return done.stdout + done.stderr

    assert "--standalone --nproc-per-node=4" in command()
    several = command(NNODES="2:3", MASTER_ADDR="first")
    assert "--nnodes=2:3 --rdzv-backend=c10d --rdzv-endpoint=first:29500" in several
    assert tool in several and several.rstrip().endswith("--launcher pytorch")
    assert "MASTER_ADDR: of the first machine" in command(NNODES="2")


@HOOKS.register_module(force=True)
class StopAfter(Hook):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = runner.epoch + 1 == self.epochs


# Epochs of 12 pictures, of which a step takes 3, then 2.
STEPS = """
train_dataloader["batch_size"] = {batch}
param_scheduler = [dict(type="PolyLR", eta_min=0, by_epoch=True, convert_to_iter_based=True)]
auto_scale_lr = dict(enable={scaled}, base_batch_size=6)
"""


@pytest.mark.parametrize("scaled", [False, True])
def test_another_number_of_samples_per_step_goes_on_at_the_same_place(tmp_path, scaled):
    write_scenes(tmp_path, 12)
    for batch, epochs in ((3, 1), (2, 2)):
        extra = STEPS.format(batch=batch, scaled=scaled)
        extra += f'custom_hooks = [dict(type="StopAfter", epochs={epochs})]'
        config = write_config(tmp_path, f"batch{batch}", epochs=4, extra=extra)
        dbnet.train(config, work_dir=tmp_path / "run", resume="auto")
    state = read_checkpoint(str(tmp_path / "run" / "epoch_2.pth"))
    # 2 of 4 epochs of 12 / 2 steps; PolyLR of power 1 is linear in steps and ends with the run.
    assert (state["meta"]["epoch"], state["meta"]["iter"]) == (2, 12)
    (group,) = state["optimizer"]["param_groups"]
    base = 2e-3 * (2 / 6 if scaled else 1)
    assert group["initial_lr"] == pytest.approx(base)
    assert group["lr"] == pytest.approx(base * (1 - 12 / 23))
