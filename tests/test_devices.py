"""What holds on every device: the same test on the CPU, and on a GPU where there is one."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from dbnet.apis.detector import check_device
from dbnet.cli.console import one_line_errors
from dbnet.config.load import load_config
from dbnet.datasets import EpochKeySampler
from dbnet.datasets.device import collate_plans, plan_dataset
from dbnet.engine import evaluation_loops
from dbnet.engine.optim_wrapper import Bfloat16OptimWrapper
from dbnet.errors import UserError
from dbnet.models.backbones.resnet import ModulatedDeformConv2d
from dbnet.models.losses.db_loss import sum_of_largest
from dbnet.registry import MODELS
from tests.datasets.test_device_path import MIXED, SWITCH, assert_maps_agree, losses, make_mixed
from tests.models.test_models import targets
from tests.scenes import write_config, write_scenes

ON_CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.cuda,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    ],
)


@pytest.fixture(params=["cpu", ON_CUDA])
def device(request):
    return torch.device(request.param)


def make_loader(dataset, pin_memory=False):
    sampler = EpochKeySampler(dataset, seed=3)
    return DataLoader(
        dataset, 7, sampler=sampler, num_workers=1, collate_fn=collate_plans, pin_memory=pin_memory
    )


def test_batches_of_scenes_and_files_through_workers_and_pinned_memory(tmp_path, device):
    # The scenes' processes and the workers are forked after the device has been used.
    assert torch.ones(3, device=device).sum().item() == 3
    dataset = make_mixed(write_scenes(tmp_path, count=8))
    made = []
    for where in (torch.device("cpu"), device):
        planned, maker = plan_dataset(dataset, where, None, logging.getLogger())
        loader = make_loader(planned, pin_memory=where.type == "cuda")
        made.append([maker(batch) for batch in loader])
    for expected, batch in zip(*made, strict=True):
        assert batch["inputs"].device.type == device.type
        difference = batch["inputs"].cpu().int() - expected["inputs"].int()
        assert difference.abs().max() <= 1  # rounded in another order
        maps = {name: map_.cpu() for name, map_ in batch["targets"].items()}
        assert_maps_agree(maps, expected["targets"])


def test_deterministic_algorithms_make_batches_and_losses(tmp_path, device, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    planned, maker = plan_dataset(
        make_mixed(write_scenes(tmp_path, count=8)), device, None, logging.getLogger()
    )
    plans = next(iter(make_loader(planned)))
    values = torch.rand(5000, device=device, requires_grad=True)
    torch.use_deterministic_algorithms(True)
    try:
        batches = [maker(plans) for _ in range(2)]
        sum_of_largest(values, torch.tensor(70, device=device)).backward()
    finally:
        torch.use_deterministic_algorithms(False)
    for name, map_ in batches[0]["targets"].items():
        assert torch.equal(map_, batches[1]["targets"][name])
    assert values.grad.sum() == pytest.approx(70)


def test_deformable_convolution_computes_in_float32_under_autocast(device):
    torch.manual_seed(0)
    layer = ModulatedDeformConv2d(8, 8).to(device)
    torch.nn.init.normal_(layer.conv_offset.weight, std=0.1)
    x = torch.randn(2, 8, 24, 24, device=device, requires_grad=True)
    with torch.autocast(device.type, torch.bfloat16):
        result = layer(x)
        result.sum().backward()
    assert result.dtype == torch.float32
    assert torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0
    torch.testing.assert_close(result, layer(x), atol=0.1, rtol=0.1)


def test_half_precision_of_tests_is_bfloat16(device, monkeypatch):
    monkeypatch.setattr(evaluation_loops, "get_device", lambda: device.type)
    layer = torch.nn.Conv2d(3, 4, 3).to(device)
    with evaluation_loops.half_precision(True):
        assert layer(torch.ones(1, 3, 8, 8, device=device)).dtype == torch.bfloat16
    with evaluation_loops.half_precision(False):
        assert layer(torch.ones(1, 3, 8, 8, device=device)).dtype == torch.float32


def test_compiled_steps_give_the_losses_of_plain_ones(device):
    # Compiled code on a GPU alone, with CUDA graphs; a CPU may lack a compiler.
    how = dict(backend="eager") if device.type == "cpu" else dict(mode="reduce-overhead")
    config = load_config("dbnet_r18_fpnc_100e_icdar2015_scratch").model
    batch = dict(
        inputs=torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8),
        targets=targets((2, 64, 64)),
        metas=[{}, {}],
    )
    logged = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = MODELS.build(config).to(device).train()
        if compiled:
            model.forward = torch.compile(model.forward, **how)
        wrapper = Bfloat16OptimWrapper(torch.optim.AdamW(model.parameters(), 1e-4, fused=True))
        steps = [model.train_step(batch, wrapper) for _ in range(3)]
        # Read after all steps, as the log does.
        logged.append([step["loss"].item() for step in steps])
    assert logged[1] == pytest.approx(logged[0], rel=0.03)


def test_lack_of_memory_is_one_line(device, capsys):
    assert one_line_errors(lambda: torch.empty(10**15, device=device)) == 1
    error = capsys.readouterr().err
    assert "out of memory" in error and "train_dataloader.batch_size" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["cuda:99", "cuda:-2"])
def test_a_gpu_that_is_not_there_is_one_line(name):
    with pytest.raises(UserError, match=rf"^device {name}: cannot be used \(.+\); try cpu$"):
        check_device(name)


@pytest.mark.slow
def test_one_process_of_a_launcher_trains_on_scenes_and_files(tmp_path, device):
    root = write_scenes(tmp_path, count=8)
    config = write_config(root, "one", epochs=2, extra=MIXED.format(root=root))
    tool = Path(__file__).parents[1] / "tools" / "train.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1"]
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device.type == "cpu" else {}
    done = subprocess.run(
        [*launch, str(tool), config, "--launcher", "pytorch", "--work-dir", str(tmp_path)]
        + ["--cfg-options", SWITCH],
        env={**os.environ, "OMP_NUM_THREADS": "1", **hidden},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(losses(tmp_path)) == 8  # 16 images in batches of 4, twice
