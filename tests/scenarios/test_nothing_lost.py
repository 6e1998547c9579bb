"""Kills, signals, full disks and damaged files, and what is left of a run after them."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from dbnet.checkpoints.read import read_checkpoint
from dbnet.cli import train as train_tool
from dbnet.datasets import EpochKeySampler, InfiniteKeySampler, TextDetDataset
from dbnet.engine import checkpoint_files
from dbnet.engine.checkpoint_files import find_resumable, holds_checkpoints
from dbnet.engine.checkpoint_hook import SafeCheckpointHook
from dbnet.engine.interrupt_hook import InterruptHook
from dbnet.engine.loops import batches_after
from dbnet.engine.runner import SafeRunner
from dbnet.errors import UserError
from dbnet.registry import HOOKS
from dbnet.visualization.curves import read_scalars
from tests.scenes import write_config, write_scenes

EPOCHS = 2  # of 2 steps


@HOOKS.register_module(force=True)
class SignalAt(Hook):
    """Send this process a signal during a training step (counted from 1) or a validation."""

    def __init__(self, step=None, signum=signal.SIGTERM):
        self.step = step
        self.signum = signum

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), self.signum)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if self.step is None and batch_idx == 0:
            os.kill(os.getpid(), self.signum)


@HOOKS.register_module(force=True)
class FullDiskAfterEpoch(Hook):
    """Let this process write no file beyond 100 kB, less than a checkpoint."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_train_epoch(self, runner):
        if runner.epoch == self.epoch:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


def save(path, seed=1, size=1000):
    state = dict(meta=dict(seed=seed), message_hub={}, state_dict=dict(w=torch.arange(size)))
    torch.save(state, path)


def losses(work_dir):
    train, _ = read_scalars(Path(work_dir))
    return [(record["step"], record["loss"], record["lr"]) for record in train]


# --resume: which file


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(100).numpy().tobytes()) + 400] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        flip_a_bit,
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\0" * 4096),
        lambda path: torch.save(dict(state_dict={}), path),  # weights alone cannot be resumed
    ],
    ids=["truncated", "bit", "missing", "empty", "zeros", "weights"],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, monkeypatch, damage):
    told = []
    monkeypatch.setattr(checkpoint_files, "log", lambda text, **_: told.append(text))
    for epoch in (9, 10, 11):  # by number, not by name
        save(tmp_path / f"epoch_{epoch}.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "epoch_11.pth"))
    damage(tmp_path / "epoch_11.pth")
    path, state = find_resumable(tmp_path)
    assert path == str(tmp_path / "epoch_10.pth")
    assert state["meta"]["seed"] == 1
    assert len(told) == 1 and told[0].startswith("skipped") and "epoch_11.pth" in told[0]
    assert "\n" not in told[0]


@pytest.mark.parametrize(
    ("names", "pointer", "expected"),
    [
        (["epoch_1", "epoch_2"], "epoch_2", "epoch_2"),
        (["epoch_1", "epoch_2"], "epoch_1", "epoch_1"),  # killed before it pointed to epoch_2
        (["epoch_1", "epoch_2"], "", "epoch_2"),  # mmengine truncates, then writes
        (["epoch_1", "epoch_2"], None, "epoch_2"),
        (["iter_900", "iter_1000"], "gone/iter_900", "iter_900"),  # a renamed work directory
        (["epoch_2", "interrupted"], "interrupted", "interrupted"),
        (["epoch_2", "interrupted"], None, "interrupted"),
        (["interrupted", "epoch_3"], "epoch_3", "epoch_3"),
    ],
)
def test_which_checkpoint_is_resumed(tmp_path, names, pointer, expected):
    for name in names:
        save(tmp_path / f"{name}.pth")
    (tmp_path / ".epoch_5.pth.partial").write_bytes(b"half")  # of a killed run
    if pointer is not None:
        (tmp_path / "last_checkpoint").write_text(pointer and str(tmp_path / f"{pointer}.pth"))
    path, _ = find_resumable(tmp_path)
    assert path == str(tmp_path / f"{expected}.pth")


def test_no_checkpoint_is_a_start_and_no_whole_one_is_an_error(tmp_path):
    assert find_resumable(tmp_path) is None
    assert find_resumable(tmp_path / "new") is None
    (tmp_path / ".epoch_5.pth.partial").write_bytes(b"half")
    assert find_resumable(tmp_path) is None
    assert not holds_checkpoints(tmp_path)
    (tmp_path / "epoch_1.pth").write_bytes(b"half")
    with pytest.raises(UserError, match="none of its checkpoints can be resumed"):
        find_resumable(tmp_path)


# saving


def fake_save(content=b"whole", error=None):
    def save_checkpoint(self, out_dir, filename, *args, **kwargs):
        (Path(out_dir) / filename).write_bytes(content)
        if error is not None:
            raise error

    return save_checkpoint


def test_a_full_disk_leaves_the_earlier_file_and_no_half_one(tmp_path, monkeypatch):
    runner = SafeRunner.__new__(SafeRunner)
    monkeypatch.setattr(Runner, "save_checkpoint", fake_save(b"old"))
    runner.save_checkpoint(str(tmp_path), "epoch_1.pth")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(Runner, "save_checkpoint", fake_save(b"ha", full))
    for name in ("epoch_1.pth", "epoch_2.pth"):
        with pytest.raises(UserError, match=rf"{name}: could not be saved \(No space left.*--res"):
            runner.save_checkpoint(str(tmp_path), name)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("epoch_1.pth", b"old")]


def test_a_file_is_synced_before_it_is_renamed_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def log_fsync(descriptor):
        calls.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        fsync(descriptor)

    def log_replace(source, target):
        calls.append(("rename", Path(target).name))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "replace", log_replace)
    monkeypatch.setattr(Runner, "save_checkpoint", fake_save())
    SafeRunner.__new__(SafeRunner).save_checkpoint(str(tmp_path), "epoch_1.pth")
    assert calls == [
        ("sync", ".epoch_1.pth.partial"),
        ("rename", "epoch_1.pth"),
        ("sync", tmp_path.name),
    ]


class FakeRunner(SimpleNamespace):
    """Records what the work directory holds at the moment of saving."""

    def save_checkpoint(self, out_dir, filename, *args, **kwargs):
        self.seen.append((filename, state_of(out_dir), list(self.stored())))
        (Path(out_dir) / filename).touch()

    def stored(self):
        return self.message_hub.get_info("keep_ckpt_ids", [])


def state_of(folder):
    pointer = Path(folder) / "last_checkpoint"
    target = Path(pointer.read_text()).name if pointer.exists() else None
    return sorted(path.name for path in Path(folder).glob("*.pth*")), target


def fake_runner(folder, name):
    hub = MessageHub.get_instance(name)
    logger = SimpleNamespace(info=lambda text: None)
    return FakeRunner(
        work_dir=str(folder), message_hub=hub, seen=[], logger=logger, iter=0, model=None
    )


@pytest.mark.parametrize("keep", [1, 2])
def test_nothing_is_removed_before_the_new_checkpoint_is_pointed_to(tmp_path, keep):
    runner = fake_runner(tmp_path, f"order{keep}")
    for name in (".epoch_7.pth.partial", ".last_checkpoint.partial"):
        (tmp_path / name).touch()  # of a killed run
    hook = SafeCheckpointHook(interval=1, max_keep_ckpts=keep)
    hook.before_train(runner)
    for runner.epoch in range(3):
        hook._save_checkpoint(runner)
    before = [f"epoch_{n}.pth" for n in range(3 - keep, 3)]
    assert runner.seen[0] == ("epoch_1.pth", ([], None), [1])
    assert runner.seen[2] == ("epoch_3.pth", (before, "epoch_2.pth"), [*range(3 - keep, 4)])
    after = [f"epoch_{n}.pth" for n in range(4 - keep, 4)]
    assert state_of(tmp_path) == (after, "epoch_3.pth")


def test_a_resumed_run_removes_what_a_kill_left_over(tmp_path):
    runner = fake_runner(tmp_path, "leftover")
    for epoch in (1, 2, 3):  # killed after it pointed to epoch_3, before it removed epoch_1
        (tmp_path / f"epoch_{epoch}.pth").touch()
    runner.message_hub.update_info("keep_ckpt_ids", [1, 2, 3])
    SafeCheckpointHook(interval=1, max_keep_ckpts=2).before_train(runner)
    assert state_of(tmp_path)[0] == ["epoch_2.pth", "epoch_3.pth"]


def test_a_saved_checkpoint_supersedes_an_interrupted_one(tmp_path):
    runner = fake_runner(tmp_path, "supersede")
    (tmp_path / "interrupted.pth").touch()
    hook = SafeCheckpointHook(interval=1)
    hook.before_train(runner)
    runner.epoch = 0
    hook._save_checkpoint(runner)
    assert "interrupted.pth" in runner.seen[0][1][0]
    assert state_of(tmp_path) == (["epoch_1.pth"], "epoch_1.pth")


# the order of the data


@pytest.mark.parametrize("sampler_type", [EpochKeySampler, InfiniteKeySampler])
@pytest.mark.parametrize(("rank", "world_size"), [(0, 1), (1, 2)])
def test_a_sampler_starts_anywhere(monkeypatch, sampler_type, rank, world_size):
    info = f"{sampler_type.__module__}.get_dist_info", lambda: (rank, world_size)
    monkeypatch.setattr(*info)
    monkeypatch.setattr("mmengine.dataset.sampler.get_dist_info", info[1])
    sampler = sampler_type(range(10), seed=3)
    whole = [key for key, _ in zip(sampler, range(5))]  # one epoch of one of two processes
    for sampler.start in (0, 3):
        assert [key for key, _ in zip(sampler, range(5 - sampler.start))] == whole[sampler.start :]
    assert len(sampler) in (10, 10 // world_size)  # and so the length of an epoch stays


class Recorder(torch.utils.data.Dataset):
    def __init__(self):
        self.read = []

    def __len__(self):
        return 10

    def __getitem__(self, key):
        self.read.append(key)
        return getattr(key, "item", key)


def test_a_position_costs_no_reading_with_our_samplers_alone():
    for sampler, expected in ((EpochKeySampler, 4), (torch.utils.data.SequentialSampler, 10)):
        data = Recorder()
        loader = DataLoader(data, batch_size=3, sampler=sampler(data))
        whole = [batch.tolist() for batch in loader]
        for done in (2, 0):
            data.read.clear()
            assert [batch.tolist() for batch in batches_after(loader, 3 * done)] == whole[done:]
            assert len(data.read) == (expected if done else 10)


# signals


def test_the_first_signal_is_noted_and_a_second_one_ends_the_process(tmp_path):
    hook = InterruptHook()
    former = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    child = signal.getsignal(signal.SIGCHLD)
    try:
        with hook.listening(fake_runner(tmp_path, "signals")):
            os.kill(os.getpid(), signal.SIGTERM)
            assert hook.received == signal.SIGTERM
            assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == former
    finally:
        signal.signal(signal.SIGCHLD, child)


def test_workers_that_end_at_the_same_moment_are_passed_over(tmp_path, monkeypatch):
    hook = InterruptHook()
    raised, printed = [], []
    monkeypatch.setattr(sys, "unraisablehook", lambda fault: printed.append(fault.exc_value))
    child = signal.signal(signal.SIGCHLD, lambda signum, frame: raised.append(signum))
    both = (signal.SIGTERM, signal.SIGCHLD)
    try:
        with hook.listening(fake_runner(tmp_path, "moment")):
            signal.pthread_sigmask(signal.SIG_BLOCK, both)
            for signum in both:
                signal.raise_signal(signum)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
            assert hook.received == signal.SIGTERM
            signal.raise_signal(signal.SIGCHLD)  # another worker, later in the step
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
        signal.signal(signal.SIGCHLD, child)
    assert raised == [] and printed == []


def test_a_worker_that_fails_by_itself_is_no_interruption(tmp_path):
    with (
        pytest.raises(RuntimeError, match="DataLoader worker"),
        InterruptHook().listening(fake_runner(tmp_path, "failure")),
    ):
        raise RuntimeError("DataLoader worker (pid(s) 1) exited unexpectedly")
    assert not list(tmp_path.iterdir())


# real runs


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), count=8)


@pytest.fixture(scope="module")
def whole(scenes, tmp_path_factory):
    """Config and work directory of a run that nothing disturbs."""
    work_dir = tmp_path_factory.mktemp("work") / "whole"
    config = write_config(scenes, "whole", epochs=EPOCHS)
    assert train_tool.main([config, "--work-dir", str(work_dir), "--seed", "5"]) == 0
    return config, work_dir


def assert_same_run(work_dir, whole_dir, last=f"epoch_{EPOCHS}.pth"):
    assert losses(work_dir) == losses(whole_dir)
    metrics = [[r.get("icdar/hmean") for r in read_scalars(d)[1]] for d in (work_dir, whole_dir)]
    assert metrics[0] == metrics[1]
    ours, theirs = (torch.load(d / last)["state_dict"] for d in (work_dir, whole_dir))
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "signum", "status"),
    [
        (3, signal.SIGTERM, 143),  # the middle of epoch 2
        (2, signal.SIGINT, 130),  # the end of epoch 1
        (None, signal.SIGTERM, 143),  # in the validation after the last epoch
    ],
)
def test_a_signal_saves_and_the_run_goes_on_exactly(
    scenes, whole, tmp_path, capsys, step, signum, status
):
    config, whole_dir = whole
    hook = f'custom_hooks = [dict(type="SignalAt", step={step}, signum={int(signum)})]'
    stopped = write_config(scenes, f"stopped{step}", epochs=EPOCHS, extra=hook)
    former = signal.getsignal(signum)
    assert train_tool.main([stopped, "--work-dir", str(tmp_path), "--seed", "5"]) == status
    assert signal.getsignal(signum) is former
    lines = [line for line in capsys.readouterr().err.splitlines() if "stopped by" in line]
    done = step or 2 * EPOCHS
    assert len(lines) == 1 and f"{signum.name} after {done} iterations" in lines[0]
    assert lines[0].endswith("interrupted.pth: continue with --resume")
    assert [step for step, *_ in losses(tmp_path)] == list(range(1, done + 1))
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "interrupted.pth")

    assert train_tool.main([config, "--work-dir", str(tmp_path)]) == 1  # never trained over
    assert train_tool.main([config, "--work-dir", str(tmp_path), "--resume"]) == 0
    assert_same_run(tmp_path, whole_dir)
    assert capsys.readouterr().out.splitlines()[-1].startswith("official: precision")
    assert (tmp_path / "interrupted.pth").exists() == (step is None)  # until the next is saved


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "step"),
    [
        (  # in the validation after epoch 1
            'train_cfg["val_interval"] = 1\ncustom_hooks = [dict(type="EMAHook", momentum=0.1){}]',
            None,
        ),
        ('optim_wrapper["accumulative_counts"] = 2\ncustom_hooks = [{}]', 1),  # half of a batch
    ],
    ids=["averaged weights", "gathered gradients"],
)
def test_a_signal_loses_neither_averages_nor_gradients(scenes, tmp_path, extra, step):
    stop = f', dict(type="SignalAt", step={step})'
    config = write_config(scenes, "undisturbed", epochs=EPOCHS, extra=extra.format(""))
    stopped = write_config(
        scenes, "disturbed", epochs=EPOCHS, extra=extra.format(stop.strip(", ") if step else stop)
    )
    runs = [str(tmp_path / name) for name in ("whole", "part")]
    assert train_tool.main([config, "--work-dir", runs[0], "--seed", "5"]) == 0
    assert train_tool.main([stopped, "--work-dir", runs[1], "--seed", "5"]) == 143
    assert train_tool.main([config, "--work-dir", runs[1], "--resume"]) == 0
    whole, part = (read_checkpoint(f"{run}/epoch_{EPOCHS}.pth") for run in runs)
    for key in ("state_dict", "ema_state_dict"):
        for name, value in whole.get(key, {}).items():
            torch.testing.assert_close(part[key][name], value, rtol=0, atol=0)


@pytest.mark.slow
def test_a_full_disk_stops_with_a_line_and_the_run_goes_on_later(scenes, whole, tmp_path, capsys):
    config, whole_dir = whole
    hook = 'custom_hooks = [dict(type="FullDiskAfterEpoch", epoch=1)]'
    stopped = write_config(scenes, "full", epochs=EPOCHS, extra=hook)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        assert train_tool.main([stopped, "--work-dir", str(tmp_path), "--seed", "5"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {tmp_path}/epoch_2.pth: ")
    assert state_of(tmp_path) == (["epoch_1.pth"], "epoch_1.pth")
    assert train_tool.main([config, "--work-dir", str(tmp_path), "--resume"]) == 0
    assert_same_run(tmp_path, whole_dir)


ITERATIONS = """
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=4, val_interval=4)
train_dataloader["sampler"] = dict(type="InfiniteKeySampler")
train_dataloader["batch_size"] = 3
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2, by_epoch=False))
log_processor = dict(by_epoch=False)
"""


@pytest.mark.slow
def test_iterations_resume_without_reading_an_old_batch(scenes, tmp_path, monkeypatch):
    read = []
    get_item = TextDetDataset.__getitem__

    def recorded(self, key):
        if not isinstance(key, int):
            read.append(key)
        return get_item(self, key)

    monkeypatch.setattr(TextDetDataset, "__getitem__", recorded)
    config = write_config(scenes, "iterations", epochs=1, extra=ITERATIONS)
    hook = 'custom_hooks = [dict(type="SignalAt", step=3)]'
    stopped = write_config(scenes, "stopped_iterations", epochs=1, extra=ITERATIONS + hook)
    whole_dir, work_dir = tmp_path / "whole", tmp_path / "part"
    assert train_tool.main([config, "--work-dir", str(whole_dir), "--seed", "5"]) == 0
    stream, read[:] = list(read), []
    assert len(stream) == 12
    assert train_tool.main([stopped, "--work-dir", str(work_dir), "--seed", "5"]) == 143
    read.clear()
    assert train_tool.main([config, "--work-dir", str(work_dir), "--resume"]) == 0
    assert read == stream[9:]
    assert_same_run(work_dir, whole_dir, "iter_4.pth")

    (work_dir / "iter_4.pth").write_bytes(b"broken")
    read.clear()
    assert train_tool.main([config, "--work-dir", str(work_dir), "--resume"]) == 0
    assert read == stream[6:]  # from iter_2.pth
    assert_same_run(work_dir, whole_dir, "iter_4.pth")


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", ITERATIONS], ids=["epochs", "iterations"])
def test_a_run_that_goes_on_with_another_batch_size_sees_the_samples_that_follow(
    scenes, tmp_path, monkeypatch, extra
):
    read = []
    get_item = TextDetDataset.__getitem__

    def recorded(self, key):
        if not isinstance(key, int):
            read.append(key)
        return get_item(self, key)

    monkeypatch.setattr(TextDetDataset, "__getitem__", recorded)
    hook = 'custom_hooks = [dict(type="SignalAt", step=1)]'
    stopped = write_config(scenes, "stopped_early", epochs=1, extra=extra + hook)
    config = write_config(scenes, "goes_on", epochs=1, extra=extra)
    work_dir = str(tmp_path / "run")
    assert train_tool.main([stopped, "--work-dir", work_dir, "--seed", "5"]) == 143
    smaller = ["--cfg-options", "train_dataloader.batch_size=1"]
    assert train_tool.main([config, "--work-dir", work_dir, "--resume", *smaller]) == 0
    steps = 4 if extra else 8  # iterations are counted, or epochs of 8 images
    assert len(read) == (3 + 3 if extra else 8)
    assert len(set(read)) == len(read)
    assert losses(work_dir)[-1][0] == steps


# The parent has imported everything; each run is a child in a session of its own.
DRIVER = """
import os, random, signal, sys, threading, time
from pathlib import Path
from dbnet.checkpoints.read import read_checkpoint
from dbnet.cli.train import main
from dbnet.utils import files

config, work_dir, kills = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(",")
random.seed(int(sys.argv[4]))
arguments = [config, "--work-dir", str(work_dir), "--seed", "5", "--resume"]

def is_new(path):
    try:
        return path.stat().st_mtime > started
    except FileNotFoundError:
        return False

def wait_for(pattern):
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while not any(map(is_new, work_dir.glob(pattern))) and not os.waitid(os.P_PID, pid, ended):
        time.sleep(0.002)

def kill_at_next_checkpoint(delay):  # a checkpoint is written faster than a parent can see it
    def named(path):
        if path.suffix == ".pth" and not killers:
            killers.append(threading.Timer(delay, os.killpg, (os.getpid(), signal.SIGKILL)))
            killers[0].start()
        return partial_name(path)

    killers, partial_name = [], files.partial_name
    files.partial_name = named
    return killers

for kill in [*kills, "none"]:
    started, delay = time.time(), random.uniform(0, 0.03)
    if not (pid := os.fork()):
        os.setsid()
        killers = kill_at_next_checkpoint(delay) if kill == "saving" else []
        status = main(arguments)
        for killer in killers:
            killer.join()
        os._exit(status)
    if kill == "group":
        wait_for("epoch_1.pth")
        os.killpg(pid, signal.SIGTERM)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    checkpoints = sorted(path.name for path in work_dir.glob("*.pth"))
    for name in checkpoints:
        read_checkpoint(str(work_dir / name))
    pointer = work_dir / "last_checkpoint"
    if pointer.exists():
        read_checkpoint(pointer.read_text())
    half = sorted(path.name for path in work_dir.glob("*.partial"))
    print("RESULT", kill, status, *checkpoints, *half, flush=True)
"""


def drive(config, work_dir, kills, seed=0):
    arguments = [sys.executable, "-c", DRIVER, config, str(work_dir), ",".join(kills), str(seed)]
    environment = os.environ | dict(OMP_NUM_THREADS="1")
    run = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    results = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith("RESULT")]
    assert run.returncode == 0, run.stderr[-2000:]
    return results, run


@pytest.mark.slow
def test_kills_while_saving_lose_no_checkpoint(whole, tmp_path):
    config, whole_dir = whole
    results, _ = drive(config, tmp_path, ["saving"] * 3)
    statuses = [status for _, status, *_ in results]
    assert statuses[:2] == ["-9", "-9"]  # the third may find nothing left to save
    assert statuses[2] in ("-9", "0") and statuses[3] == "0"
    before: set[str] = set()
    for _, _, *names in results:  # two are kept, and never fewer than before
        saved = {name for name in names if name.endswith(".pth")}
        assert len(saved) >= min(len(before), 2)
        assert not before or max(saved) >= max(before)
        before = saved
    assert results[-1][2:] == ["epoch_1.pth", "epoch_2.pth"]  # nothing half is left
    assert_same_run(tmp_path, whole_dir)


@pytest.mark.slow
def test_a_signal_to_the_workers_too_stops_as_cleanly(scenes, whole, tmp_path):
    _, whole_dir = whole
    config = write_config(scenes, "workers", epochs=EPOCHS, workers=2)
    results, run = drive(config, tmp_path, ["group"])
    assert [status for _, status, *_ in results] == ["143", "0"]
    assert "interrupted.pth" in results[0]
    assert "Traceback" not in run.stderr
    assert_same_run(tmp_path, whole_dir)
