"""Every config is read strictly, built, and run forward."""

import numpy as np
import pytest
import torch

from dbnet.config.find import config_folder
from dbnet.config.load import load_config
from dbnet.datasets import SampleKey
from dbnet.datasets.device import pipeline_parts
from dbnet.registry import DATASETS, MODELS
from tests.onnx_graphs import detector, write
from tests.scenes import write_scenes

CONFIGS = sorted(p.stem for p in (config_folder() / "textdet").rglob("*.py"))

# Of training samples, by a part of the name.
SAMPLE_SIDES = {"quickstart": 256, "ppocr": 448, "finetune": 448}


def test_configs_are_found():
    assert {
        "dbnet_r18_fpnc_1200e_icdar2015",
        "dbnet_r50dcnv2_fpnc_1200e_icdar2015",
        "dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03",
        "dbnet_r50dcnv2_fpnc_100k_synthtext",
    } <= set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_config_builds_and_runs(name, tmp_path):
    config = load_config(name)
    backbone = {key: value for key, value in config.model.backbone.items() if key != "init_cfg"}
    if backbone.get("file", "") is None:
        backbone["file"] = write(detector(), tmp_path / "det.onnx")
    model = MODELS.build({**config.model, "backbone": backbone}).eval()
    image = torch.randint(0, 255, (1, 3, 60, 90), dtype=torch.uint8)
    inputs = model.data_preprocessor(dict(inputs=image))["inputs"]
    with torch.no_grad():
        assert model(inputs).shape == (1, 64, 96)
        features = model.neck(model.backbone(inputs))
        targets = dict.fromkeys(
            ("shrink_map", "shrink_mask", "thresh_map", "thresh_mask"), torch.ones(1, 64, 96)
        )
        losses = model.loss_module(model.det_head(features), targets)
        (found,) = model(inputs, metas=[dict(scale_factor=(1.0, 1.0))], mode="predict")
    assert len(found["polygons"]) == len(found["scores"])
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_pipelines_run(name, tmp_path):
    root = write_scenes(tmp_path, count=1)
    content = (root / "train.json").read_text()
    config = load_config(name)
    if config.train_dataloader.dataset.type != "SyntheticTextDataset":
        config = load_config(name, data_root=str(root))
    for loader, has_targets in (("train_dataloader", True), ("val_dataloader", False)):
        if config.get(loader) is None:
            continue
        dataset = config[loader].dataset
        for part in dataset.get("datasets", [dataset]):
            if "ann_file" in part:
                (root / part.ann_file).write_text(content)
        sample = DATASETS.build(dataset)[SampleKey(0, 0, 0)]
        assert ("targets" in sample) == has_targets
        if has_targets:
            side = next((side for part, side in SAMPLE_SIDES.items() if part in name), 640)
            assert tuple(sample["inputs"].shape) == (3, side, side)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # the published table: test size of a 1280x720 photo, epochs, warm-up, batch, learning rate
        ("dbnet_r18_fpnc_1200e_icdar2015", (1308, 736, 1200, 0, 16, 0.007)),
        ("dbnet_r18_fpnc_1200e_totaltext", (1308, 736, 1200, 0, 16, 0.007)),
        ("dbnet_r50_fpnc_1200e_icdar2015", (1820, 1024, 1200, 100, 16, 0.002)),
        ("dbnet_r50dcnv2_fpnc_1200e_icdar2015", (1820, 1024, 1200, 0, 16, 0.007)),
        ("dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03", (1820, 1024, 1200, 0, 8, 0.007)),
        ("dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr04", (1820, 1024, 1200, 0, 8, 0.007)),
        ("dbnet_r50-oclip_fpnc_1200e_icdar2015", (1820, 1024, 1200, 100, 16, 0.002)),
        ("dbnetpp_r50_fpnc_1200e_icdar2015", (1820, 1024, 1200, 200, 16, 0.003)),
        ("dbnetpp_r50dcnv2_fpnc_1200e_icdar2015", (1820, 1024, 1200, 0, 16, 0.007)),
        ("dbnetpp_r50dcnv2_fpnc_1200e_icdar2015_mmocr04", (1820, 1024, 1200, 0, 32, 0.007)),
        ("dbnetpp_r50-oclip_fpnc_1200e_icdar2015", (1820, 1024, 1200, 200, 16, 0.002)),
    ],
)
def test_recipes_of_the_published_table(name, expected):
    width, height, epochs, warmup, batch, learning_rate = expected
    config = load_config(name)
    resize = next(t for t in config.test_dataloader.dataset.pipeline if t.type == "Resize")
    scale = min(max(resize.scale) / 1280, min(resize.scale) / 720)
    assert (int(1280 * scale + 0.5), int(720 * scale + 0.5)) == (width, height)
    assert config.train_cfg.max_epochs == epochs and config.train_cfg.val_interval == 20
    assert config.train_dataloader.batch_size == batch
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (
        ("SGD", learning_rate, 0.9, 1e-4)
    )
    *warmups, decay = config.param_scheduler
    assert [(w.type, w.begin, w.end, w.start_factor) for w in warmups] == (
        [("LinearLR", 0, warmup, 0.001)] if warmup else []
    )
    assert (decay.type, decay.get("begin", 0), decay.power) == ("PolyLR", warmup, 0.9)
    assert decay.eta_min == 1e-7 and "end" not in decay  # the run's last epoch
    assert all(scheduler.by_epoch for scheduler in config.param_scheduler)
    assert config.train_dataloader.dataset.ann_file == "textdet_train.json"
    assert "save_best" not in config.default_hooks.checkpoint


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.endswith("_100k_synthtext")])
def test_recipe_of_the_pretrainings(name):
    config = load_config(name)
    assert config.train_cfg == dict(by_epoch=False, max_iters=100_000)
    assert config.optim_wrapper.optimizer.lr == 0.007
    (decay,) = config.param_scheduler
    assert (decay.type, decay.power, decay.eta_min, decay.by_epoch) == ("PolyLR", 0.9, 1e-7, False)
    assert config.train_dataloader.batch_size == 16
    assert config.train_dataloader.dataset.data_root == "data/synthtext"


@pytest.mark.parametrize("name", [name for name in CONFIGS if "_100e_" not in name])
def test_parts_of_mmocrs_models(name):
    if not name.startswith(("dbnet_r18_", "dbnet_r50", "dbnetpp")):
        pytest.skip("not of MMOCR")
    model = load_config(name).model
    is_plus = name.startswith("dbnetpp")
    assert ("attention" in model.neck) == is_plus
    assert model.postprocessor.get("epsilon_ratio", 0.01) == (0.002 if is_plus else 0.01)
    kind = "poly" if name.endswith("totaltext") else "quad"
    assert model.postprocessor.text_repr_type == kind
    assert model.backbone.get("norm_eval", False) == ("_r50_" in name or "_r50-oclip_" in name)
    assert (model.backbone.type == "CLIPResNet") == ("oclip" in name)
    assert ("stage_with_dcn" in model.backbone) == ("dcnv2" in name)


def test_mmocr03_conventions():
    config = load_config("dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03")
    assert config.model.backbone.style == "caffe"
    preprocessor = MODELS.build(config.model.data_preprocessor)
    pixel = torch.tensor([130, 120, 110], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    # RGB means on BGR values, divided by 255
    expected = (np.array([130, 120, 110]) - [122.67891434, 116.66876762, 104.00698793]) / 255
    output = preprocessor(dict(inputs=pixel))["inputs"][0, :, 0, 0]
    np.testing.assert_allclose(output.numpy(), expected, atol=1e-6)


def test_parameters_and_state_dict_names():
    model = load_config("dbnet_r18_fpnc_1200e_icdar2015").model
    model = MODELS.build({**model, "backbone": {**model.backbone, "init_cfg": None}})
    # MMOCR's documentation: 12.341 M
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(12.341e6, abs=500)
    keys = set(model.state_dict())
    assert {
        "backbone.layer4.1.conv2.weight",
        "backbone.layer2.0.downsample.0.weight",
        "neck.lateral_convs.0.conv.weight",
        "neck.smooth_convs.3.conv.weight",
        "det_head.binarize.0.weight",
        "det_head.threshold.6.bias",
    } <= keys
    assert not [key for key in keys if key.startswith(("data_preprocessor", "loss", "post"))]


@pytest.mark.parametrize("name", [name for name in CONFIGS if "_gpu_" in name])
def test_configs_for_minutes_on_a_gpu(name):
    config = load_config(name)
    assert config.default_hooks.device_data.type == "DeviceDataHook"
    assert "EMAHook" in [hook.type for hook in config.custom_hooks]
    batch = config.train_dataloader.batch_size
    reference = 2e-4 if "ppocr" in name else 6e-4  # at batch 8
    assert config.optim_wrapper.optimizer.lr == pytest.approx(reference * (batch / 8) ** 0.5, 0.01)
    photos, scenes = config.train_dataloader.dataset.datasets
    assert (photos.ann_file, scenes.type) == ("textdet_train.json", "SyntheticTextDataset")
    pipeline_parts(DATASETS.build({**scenes, "length": 1}).pipeline.transforms)
    assert not config.train_cfg.by_epoch and batch >= 16
    warmup, decay = config.param_scheduler
    assert warmup.end == decay.begin == config.train_cfg.max_iters // 20
