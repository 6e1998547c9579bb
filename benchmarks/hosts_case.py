"""Namespaces as hosts, a small training on them, and what its steps have used; for `hosts.py`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dbnet.checkpoints.index import config_folder
from dbnet.weights import shipped_model

TOOLS = Path(__file__).parents[1] / "tools"
WEIGHTS = shipped_model().checkpoint
TIMEOUT = 20  # seconds of a collective, for the cases that wait for it
EPOCHS, LENGTH, BATCH = 8, 24, 2

CONFIG = """
_base_ = ["{configs}/textdet/dbnet/dbnet_r18_fpnc_quickstart.py"]
_size = dict(size=(128, 128), num_words=(1, 2))
_alone = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size={batch},
    sampler=dict(type="EpochKeySampler", shuffle=True),
    dataset=dict(length={length}, **_size),
    **_alone,
)
val_dataloader = dict(batch_size=2, dataset=dict(length=15, **_size), num_workers=0)
test_dataloader = val_dataloader
train_cfg = dict(_delete_=True, by_epoch=True, max_epochs={epochs}, val_interval={epochs})
param_scheduler = [dict(type="PolyLR", by_epoch=True, convert_to_iter_based=True)]
auto_scale_lr = dict(enable=True, base_batch_size=4)
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=1, by_epoch=True, max_keep_ckpts=2)
)
log_processor = dict(by_epoch=True)
custom_imports = dict(imports=["seen"])
custom_hooks = [dict(type="Seen", folder="{out}", pause={pause})]
env_cfg = dict(dist_cfg=dict(timeout={timeout}))
"""

TEST_CONFIG = """
_base_ = ["{configs}/textdet/dbnet/dbnet_ppocrv6-small_3k_icdar2015.py"]
test_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(
        type="SyntheticTextDataset",
        size=(320, 320),
        length=15,  # odd: of two processes one gets a picture twice
        difficulty=0.6,
        test_mode=True,
        pipeline=[
            dict(type="Resize", scale=(320, 320), keep_ratio=True),
            dict(type="PackTextDetInputs"),
        ],
    ),
)
"""

SEEN = '''
import json
import os
import time

from mmengine.hooks import Hook
from dbnet.registry import HOOKS


@HOOKS.register_module()
class Seen(Hook):
    """Note the pictures of every step that is done, and wait a little."""

    def __init__(self, folder, pause):
        self.folder, self.pause = folder, pause

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        time.sleep(self.pause)
        paths = [meta["img_path"] for meta in data_batch["metas"]]
        start = runner.message_hub.get_info("samples_done") - len(paths) * runner.world_size
        rate = runner.optim_wrapper.get_lr()["lr"][0]
        row = dict(attempt=runner.timestamp, time=time.time(), size=runner.world_size, lr=rate)
        row.update(epoch=runner.epoch, start=start, iter=runner.iter, paths=paths)
        row.update(rank=runner.rank, loss=float(outputs["loss"].detach()))
        with open(f"{self.folder}/seen_{os.getpid()}.jsonl", "a") as file:
            print(json.dumps(row), file=file, flush=True)
'''


def sh(*command: str) -> None:
    subprocess.run(command, check=True)


def make_hosts() -> None:
    """Join three network namespaces by a bridge; the names of the hosts are known to all."""
    sh("ip", "link", "add", "dbnetbr", "type", "bridge")
    sh("ip", "link", "set", "dbnetbr", "up")
    names = "127.0.0.1 localhost\n" + "".join(f"10.77.0.{n} host{n}\n" for n in (1, 2, 3))
    for n in (1, 2, 3):
        space = f"dbnet{n}"
        sh("ip", "netns", "add", space)
        sh("ip", "link", "add", f"dbv{n}", "type", "veth", "peer", "eth0", "netns", space)
        sh("ip", "link", "set", f"dbv{n}", "master", "dbnetbr", "up")
        sh("ip", "-n", space, "addr", "add", f"10.77.0.{n}/24", "dev", "eth0")
        sh("ip", "-n", space, "link", "set", "eth0", "up")
        sh("ip", "-n", space, "link", "set", "lo", "up")
        hosts = Path(f"/etc/netns/{space}/hosts")  # takes the place of /etc/hosts there
        hosts.parent.mkdir(parents=True, exist_ok=True)
        hosts.write_text(names)


def remove_hosts() -> None:
    for n in (1, 2, 3):
        subprocess.run(["ip", "netns", "del", f"dbnet{n}"], stderr=subprocess.DEVNULL)
        shutil.rmtree(f"/etc/netns/dbnet{n}", ignore_errors=True)
    subprocess.run(["ip", "link", "del", "dbnetbr"], stderr=subprocess.DEVNULL)


MADE: list["Case"] = []


class Case:
    """A folder, a config, and the processes started on the hosts."""

    def __init__(self, out: Path, pause: float = 0, timeout: int = 600, epochs: int = EPOCHS):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / "seen.py").write_text(SEEN)
        self.out, self.config = out, out / "tiny.py"
        settings = dict(batch=BATCH, length=LENGTH, epochs=epochs, pause=pause, timeout=timeout)
        self.config.write_text(CONFIG.format(configs=config_folder(), out=out, **settings))
        self.started: list[subprocess.Popen] = []
        MADE.append(self)

    def start(
        self, host: int, *command: object, nodes: str = "2", private: Path | None = None
    ) -> subprocess.Popen:
        """Start a command on a host (0: on this machine), with a folder of its own if asked for."""
        words = [str(word) for word in command]
        environment = dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS="1")
        environment["PYTHONPATH"] = os.pathsep.join([str(self.out), str(TOOLS.parent)])
        if host:
            script = f"hostname host{host}; cd {self.out}; "
            if private:
                own = self.out / f"disk{host}"
                own.mkdir(exist_ok=True)
                private.mkdir(exist_ok=True)
                script += f"mount --bind {own} {private}; cd {private}; "
            enter = f"ip netns exec dbnet{host} unshare --uts --mount bash -c"
            words = [*enter.split(), script + 'exec "$@"', "bash", *words]
            environment.update(NNODES=nodes, MASTER_ADDR="10.77.0.1", GLOO_SOCKET_IFNAME="eth0")
        with (self.out / f"host{host}.log").open("a") as log:
            process = subprocess.Popen(
                words, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self.started.append(process)
        return process

    def train(self, host: int, *more: object, processes: int = 1, **settings: object):
        work_dir = self.out / "run"
        words = (TOOLS / "dist_train.sh", self.config, processes, "--work-dir", work_dir, *more)
        return self.start(host, *words, **settings)

    def finish(self, *processes: subprocess.Popen) -> list[int]:
        return [process.wait(timeout=240) for process in processes]

    def end(self) -> None:
        for process in self.started:
            kill(process)

    def log(self, host: int) -> str:
        return (self.out / f"host{host}.log").read_text()

    def rows(self) -> list[dict]:
        files = self.out.glob("seen_*.jsonl")
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def wait_for_epoch(self, epoch: int) -> None:
        wait_until(lambda: any(row["epoch"] >= epoch for row in self.rows()))

    def losses(self) -> list[float]:
        """Losses of all steps in the history of the last weights, process after process."""
        rows = history(self.rows())
        rows.sort(key=lambda row: (row["rank"], row["epoch"], row["start"]))
        return [row["loss"] for row in rows]


def kill(process: subprocess.Popen) -> None:
    """End a host's launcher and all that it has started, as a power cut does."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True
    ).stdout
    children: dict[int, list[int]] = {}
    for pid, parent in (map(int, line.split()) for line in listed.splitlines()):
        children.setdefault(parent, []).append(pid)
    family = [process.pid] if process.poll() is None else []
    for pid in family:
        family += children.get(pid, [])
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 240) -> float:
    start = time.time()
    while not condition():
        if time.time() - start > seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.1)
    return time.time()


def history(rows: list[dict]) -> list[dict]:
    """Keep the steps that the last weights come from: a later attempt begins at a checkpoint."""

    def is_undone(row: dict) -> bool:
        place = (row["epoch"], row["start"])
        later = (other for other in rows if other["attempt"] > row["attempt"])
        return any((other["epoch"], other["start"]) <= place for other in later)

    return [row for row in rows if not is_undone(row)]
