"""What must hold on a GPU; skipped where there is none."""

import copy
import json

import pytest
import torch

from dbnet.cli import test as test_tool
from dbnet.cli import train as train_tool
from dbnet.config.load import load_config
from dbnet.engine.optim_wrapper import Bfloat16OptimWrapper
from dbnet.models.losses.db_loss import sum_of_largest
from dbnet.registry import MODELS
from dbnet.visualization.curves import read_scalars
from tests.models.test_models import targets
from tests.scenes import write_config, write_scenes

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
CONFIGS = ["dbnet_r18_fpnc_1200e_icdar2015", "dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03"]


def build(name):
    model = load_config(name).model
    return MODELS.build({**model, "backbone": {**model.backbone, "init_cfg": None}})


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("name", CONFIGS)
def test_gpu_gives_the_cpus_maps_and_losses(name):
    on_cpu = build(name).eval()
    on_gpu = copy.deepcopy(on_cpu).cuda()
    batch = dict(
        inputs=torch.randint(0, 255, (2, 3, 96, 128), dtype=torch.uint8),
        targets=targets((2, 96, 128)),
    )
    results = []
    for model in (on_cpu, on_gpu):
        data = model.data_preprocessor(batch)
        with torch.no_grad():
            maps = model.det_head(model.neck(model.backbone(data["inputs"])))
            losses = model.loss_module(maps, data["targets"])
        results.append({name: value.cpu() for name, value in {**maps, **losses}.items()})
    for name_, value in results[0].items():
        tolerance = 5e-2 if name_ == "binary_map" else 1e-3  # k = 50
        torch.testing.assert_close(results[1][name_], value, atol=tolerance, rtol=1e-3)


@pytest.mark.parametrize("name", CONFIGS)
def test_training_steps_with_bfloat16_lower_the_loss(name):
    torch.manual_seed(0)
    model = build(name).cuda().train()
    wrapper = Bfloat16OptimWrapper(torch.optim.AdamW(model.parameters(), lr=5e-4))
    batch = dict(
        inputs=torch.randint(0, 255, (2, 3, 96, 96), dtype=torch.uint8),
        targets=targets((2, 96, 96)),
        metas=[{}, {}],
    )
    losses = [model.train_step(batch, wrapper)["loss"].item() for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
def test_tools_train_on_the_gpu(tmp_path):
    root = write_scenes(tmp_path, count=8)
    config = write_config(root, "gpu", epochs=2, workers=2)
    assert train_tool.main([config, "--work-dir", str(tmp_path / "run"), "--amp"]) == 0
    assert train_tool.main([config, "--work-dir", str(tmp_path / "run"), "--resume"]) == 0


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_mining_on_the_gpu_gives_the_sum_and_gradient_of_topk(share):
    values = torch.rand(2, 160, 160, device="cuda", requires_grad=True)
    count = int(share * values.numel())
    total = sum_of_largest(values, torch.tensor(count, device="cuda"))
    (gradient,) = torch.autograd.grad(total, values)
    expected = values.flatten().topk(count).values.sum()
    (expected_gradient,) = torch.autograd.grad(expected, values)
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, expected_gradient)


@pytest.mark.slow
def test_training_from_images_on_the_gpu(tmp_path):
    root = write_scenes(tmp_path, count=8)
    config = write_config(root, "device", epochs=2, workers=2)
    losses = []
    for name, option in (
        ("host", []),
        ("device", ["default_hooks.device_data.type=DeviceDataHook"]),
    ):
        work_dir = tmp_path / name
        options = ["--cfg-options", "train_cfg.val_interval=2", *option]
        assert train_tool.main([config, "--work-dir", str(work_dir), *options]) == 0
        train, _ = read_scalars(work_dir)
        losses.append([record["loss"] for record in train])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.slow
def test_overlapped_testing_on_the_gpu_finds_the_same(tmp_path):
    root = write_scenes(tmp_path, count=8)
    config = write_config(root, "overlap", epochs=8)
    assert train_tool.main([config, "--work-dir", str(tmp_path / "run")]) == 0
    images = []
    for loop in ("TestLoop", "OverlappedTestLoop"):
        out = tmp_path / f"{loop}.json"
        words = [config, str(tmp_path / "run" / "epoch_8.pth"), "--out", str(out)]
        words += ["--work-dir", str(tmp_path / loop), "--cfg-options", f"test_cfg.type={loop}"]
        assert test_tool.main(words) == 0
        images.append(json.loads(out.read_text())["images"])
    for plain, overlapped in zip(*images):
        assert overlapped["img_path"] == plain["img_path"]
        assert len(overlapped["polygons"]) == len(plain["polygons"])
        assert overlapped["scores"] == pytest.approx(plain["scores"], abs=1e-3)
