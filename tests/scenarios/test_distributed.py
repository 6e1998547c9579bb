"""Several processes, on a CPU and through gloo, against what one process computes."""

import copy
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.model import MMDistributedDataParallel

import dbnet.models  # noqa: F401, registers the parts
from dbnet.config.load import load_config
from dbnet.engine.optim_wrapper import AsyncOptimWrapper
from dbnet.engine.start import resume_after_restart, set_launcher
from dbnet.errors import UserError
from dbnet.evaluation.metrics import HmeanIOUMetric, PredictionCollector
from dbnet.registry import MODELS
from tests.scenes import write_config, write_scenes

TOOLS = Path(__file__).parents[2] / "tools"
STEPS = 5


# Training


def small_detector():
    torch.manual_seed(0)
    config = load_config("dbnet_r18_fpnc_100e_icdar2015_scratch").model
    model = MODELS.build({**config, "neck": dict(type="FPNC", lateral_channels=16, out_channels=4)})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # else each process has statistics of its own half
    return model


def half_batch(step, half):
    generator = torch.Generator().manual_seed(10 * step + half)
    shrink_map = torch.zeros(2, 64, 64)
    shrink_map[:, 10 : 20 + 10 * half, 8:40] = 1  # the halves are filled unevenly
    targets = dict(
        shrink_map=shrink_map,
        shrink_mask=torch.ones(2, 64, 64),
        thresh_map=torch.full((2, 64, 64), 0.5),
        thresh_mask=shrink_map,
    )
    inputs = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8, generator=generator)
    return dict(inputs=inputs, targets=targets, metas=[{}, {}])


def optimizer(model):
    wrapped = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    return AsyncOptimWrapper(wrapped, clip_grad=dict(max_norm=5.0))


def start_group(folder, rank, size):
    store = f"file://{folder}/store{size}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)


def train_in_process(rank, folder):
    torch.set_num_threads(1)
    start_group(folder, rank, 2)
    model = MMDistributedDataParallel(small_detector(), device_ids=None, broadcast_buffers=False)
    wrapper = optimizer(model)
    for step in range(STEPS):
        model.train_step(half_batch(step, rank), wrapper)
    torch.save(model.module.state_dict(), f"{folder}/rank{rank}.pth")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_train_as_one_that_averages_their_gradients(tmp_path):
    mp.spawn(train_in_process, (str(tmp_path),), nprocs=2)
    model = small_detector()
    wrapper = optimizer(model)
    before = copy.deepcopy(model.state_dict())
    for step in range(STEPS):
        total = sum(sum(model(**preprocessed(model, step, half)).values()) for half in (0, 1))
        wrapper.update_params(total / 2)
    expected = model.state_dict()
    for rank in (0, 1):
        actual = torch.load(tmp_path / f"rank{rank}.pth", weights_only=True)
        for name, value in expected.items():
            torch.testing.assert_close(actual[name], value, rtol=1e-4, atol=1e-6)
    moved = (expected["det_head.binarize.0.weight"] - before["det_head.binarize.0.weight"]).abs()
    assert moved.max() > 1e-3  # far above the tolerance


def preprocessed(model, step, half):
    return {**model.data_preprocessor(half_batch(step, half), True), "mode": "loss"}


@pytest.mark.parametrize(
    ("restarts", "given", "saved", "expected"),
    [
        ("0", None, True, None),  # the tool then says that the work directory is taken
        ("1", None, True, "auto"),
        ("1", None, False, None),
        ("1", "epoch_3.pth", True, "auto"),
        ("1", "epoch_3.pth", False, "epoch_3.pth"),
    ],
)
def test_restarted_processes_go_on(monkeypatch, tmp_path, restarts, given, saved, expected):
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restarts)
    if saved:
        (tmp_path / "epoch_1.pth").touch()
    assert resume_after_restart(given, str(tmp_path)) == expected


@pytest.mark.parametrize(
    ("kind", "message"), [("torch", "sync_bn: needs a CUDA GPU"), ("mmcv", 'set "torch"')]
)
def test_batch_statistics_over_processes_need_gpus(monkeypatch, kind, message):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=message):
        set_launcher(Config(dict(sync_bn=kind)), "pytorch")


# The metric


def metric_samples():
    """Data of 500 images with three texts each, of which a varying number is found."""
    rng = np.random.default_rng(0)
    samples = []
    for index in range(500):
        corners = rng.uniform(0, 300, (3, 1, 2)) + np.array([[0, 0], [60, 0], [60, 20], [0, 20]])
        texts = [*corners.astype(np.float32)]
        shift = rng.uniform(-12, 12, (3, 1, 2)).astype(np.float32)
        found = [polygon + move for polygon, move in zip(texts, shift)][: index % 4]
        meta = dict(img_path=f"{index}.jpg", gt_polygons=texts, gt_ignored=[False, False, True])
        scores = rng.uniform(0.2, 1, len(found)).astype(np.float32)
        samples.append((meta, dict(polygons=found, scores=scores)))
    return samples


def evaluate(samples, indices):
    metric, collector = HmeanIOUMetric(), PredictionCollector()
    for index in indices:
        meta, prediction = samples[index]
        metric.process(dict(metas=[meta]), [prediction])
        collector.process(dict(metas=[meta]), [prediction])
    metrics = metric.evaluate(len(samples)) | collector.evaluate(len(samples))
    return metrics, [image["img_path"] for image in collector.images]


def evaluate_in_processes(rank, folder):
    torch.set_num_threads(1)
    own = Path(folder, f"host{rank}")  # hosts need not share a folder
    own.mkdir()
    os.chdir(own)
    samples = metric_samples()
    for size in (4, 3, 2):
        if rank < size:
            start_group(folder, rank, size)
            # Of 3 processes each gets 167 images: the last one's last is the first image again.
            report = evaluate(samples, DefaultSampler(samples, shuffle=False))
            torch.save(report, f"{folder}/metrics{size}_{rank}.pth")
            torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_metric_of_several_processes_is_that_of_one(tmp_path):
    samples = metric_samples()
    metrics, paths = evaluate(samples, range(500))
    assert 0.2 < metrics["icdar/hmean"] < 0.9 and len(paths) == 500
    mp.spawn(evaluate_in_processes, (str(tmp_path),), nprocs=4)
    for size in (2, 3, 4):
        for rank in range(size):
            report = torch.load(tmp_path / f"metrics{size}_{rank}.pth", weights_only=False)
            assert report[0] == metrics
            if rank == 0:
                assert report[1] == paths


# The launch scripts

KILLER = '''
import os
import signal
from pathlib import Path

from mmengine.hooks import Hook

from dbnet.registry import HOOKS


@HOOKS.register_module()
class KillOnce(Hook):
    """Kill the second process as the kernel does when memory runs out, once."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        marker = Path(runner.work_dir) / "killed"
        if runner.rank == 1 and runner.iter == 3 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
'''


def launch(*command, folder, **environment):
    with subprocess.Popen(
        [str(part) for part in command],
        env={
            **os.environ,
            **dict(PYTHON=sys.executable, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES=""),
            **dict(PYTHONPATH=os.pathsep.join([str(folder), *sys.path])),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # torchrun's processes outlive it otherwise
            raise
    return SimpleNamespace(returncode=process.returncode, stdout=stdout, stderr=stderr)


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_training_goes_on(tmp_path):
    (tmp_path / "killer.py").write_text(KILLER)
    extra = 'custom_imports = dict(imports=["killer", "tiny_net"])\n'
    extra += 'custom_hooks = [dict(type="KillOnce")]'
    config = write_config(write_scenes(tmp_path, count=8), "killed", epochs=4, extra=extra)
    work_dir = tmp_path / "run"
    arguments = ("--work-dir", work_dir, "--resume")
    done = launch(TOOLS / "dist_train.sh", config, 2, *arguments, folder=tmp_path, MAX_RESTARTS="1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (work_dir / "killed").exists()
    assert (work_dir / "epoch_4.pth").exists()
    # 1 step of 2 x 4 images an epoch; killed in the fourth, after three checkpoints.
    assert "resumed epoch: 3, iter: 3" in done.stdout + done.stderr
    assert done.stdout.count("icdar: precision") == 1
    arguments = (config, work_dir / "epoch_4.pth", 2, "--work-dir", tmp_path / "test")
    tested = launch(TOOLS / "dist_test.sh", *arguments, folder=tmp_path)
    assert tested.returncode == 0, tested.stderr[-3000:]
    assert tested.stdout.splitlines()[-2:] == done.stdout.splitlines()[-2:]


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh"])
def test_scripts_say_how_they_are_used(script):
    done = subprocess.run([TOOLS / script, "x.py"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "CONFIG" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("processes", "hosts", "named"),
    [("x.py", "1", "PROCESSES=x.py"), ("0", "1", "PROCESSES=0"), ("1", "two", "NNODES=two")],
)
def test_scripts_refuse_what_is_no_number(processes, hosts, named):
    command = [TOOLS / "dist_train.sh", "x.py", processes]
    environment = os.environ | dict(NNODES=hosts, MASTER_ADDR="localhost")
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert named in done.stderr and len(done.stderr.splitlines()) == 1
