"""What the recipe for fine-tuning hands to the optimizer, and the page's examples as printed."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS as MMENGINE_MODELS
from torch import nn

from dbnet.cli import main as console
from dbnet.cli.train import main as train
from dbnet.config.find import config_folder, find_config
from dbnet.config.load import load_config
from dbnet.registry import MODELS
from tests.scenes import write_scenes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "fine_tuning.md"
CONFIG = "dbnet_r18_fpnc_finetune_icdar2015"
RECIPE = config_folder() / "_base_/schedules/finetune_adamw_100e.py"
SMALL = "train_dataloader.dataset.pipeline.1.size=64,64"  # crops


def blocks(language):
    """Code blocks of the page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def build(**options):
    """Build the config's detector and its optimizer, with options as the page prints them."""
    options = {key.replace("__", "."): value for key, value in options.items()}
    config = load_config(CONFIG, {"model.backbone.init_cfg": None, **options})
    model = MODELS.build(config.model)
    return model, build_optim_wrapper(model, config.optim_wrapper)


def make_batch():
    image = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    shrink_map = torch.zeros(2, 64, 64)
    shrink_map[:, 20:40, 10:50] = 1
    names = ("shrink_mask", "thresh_map", "thresh_mask")
    targets = {"shrink_map": shrink_map, **{name: torch.ones(2, 64, 64) for name in names}}
    return dict(inputs=image, targets=targets, metas=[{}, {}])


def changed(model, optim_wrapper):
    """Take one training step, and name the entries of the state dict that it changes."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    model.train()
    model.train_step(make_batch(), optim_wrapper)
    after = model.state_dict()
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


def is_statistic(key):
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))


@pytest.mark.parametrize("multiplier", [0.1, 1.0])
def test_multipliers_reach_the_optimizer(multiplier):
    key = "optim_wrapper__paramwise_cfg__custom_keys__backbone__lr_mult"
    model, optim_wrapper = build(**{key: multiplier})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {
        names[id(parameter)]: group["lr"]
        for group in optim_wrapper.optimizer.param_groups
        for parameter in group["params"]
    }
    assert set(rates) == set(names.values())
    by_part = {"backbone": multiplier * 2e-4, "neck": 2e-4, "det_head": 2e-4}
    assert rates == {name: pytest.approx(by_part[name.partition(".")[0]]) for name in rates}


def test_frozen_stages_stay_as_they_are():
    model, optim_wrapper = build(model__backbone__frozen_stages=1)
    frozen = tuple(f"backbone.{part}." for part in ("conv1", "bn1", "layer1"))
    held = {id(p) for group in optim_wrapper.optimizer.param_groups for p in group["params"]}
    assert {name for name, p in model.named_parameters() if id(p) not in held} == {
        name for name, _ in model.named_parameters() if name.startswith(frozen)
    }
    moved = changed(model, optim_wrapper)
    assert not [key for key in moved if key.startswith(frozen)]
    assert moved == {key for key in model.state_dict() if not key.startswith(frozen)}


def test_norm_eval_keeps_the_backbones_statistics_alone():
    moved = changed(*build(model__backbone__norm_eval=True))
    assert not [key for key in moved if key.startswith("backbone") and is_statistic(key)]
    assert {key for key in moved if is_statistic(key)}  # the head's
    assert "backbone.bn1.weight" in moved


def test_nothing_is_fixed_by_default():
    model, optim_wrapper = build()
    assert changed(model, optim_wrapper) == set(model.state_dict())


def test_the_mean_of_the_weights_forgets_where_the_run_began():
    hook = load_config(CONFIG).custom_hooks[-1]
    arguments = {key: hook[key] for key in ("gamma", "momentum")}
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(1e6)  # before the first step
    mean = MMENGINE_MODELS.build(dict(type=hook.ema_type, model=layer, **arguments))
    for weight in (3.0, 5.0, 8.0):
        layer.weight.data.fill_(weight)
        mean.update_parameters(layer)
    # max(0.002, 10 / (10 + s)) of the new weight at step s = 0, 1, 2; at 0 it is 1
    second = 3 + 10 / 11 * (5 - 3)
    assert mean.module.weight.item() == pytest.approx(second + 10 / 12 * (8 - second))


def test_without_a_checkpoint_one_line_says_so(tmp_path, capsys):
    root = write_scenes(tmp_path, count=1)
    (root / "textdet_train.json").symlink_to(root / "train.json")
    (root / "textdet_test.json").symlink_to(root / "train.json")
    arguments = ["--data-root", str(root), "--work-dir", str(tmp_path / "run")]
    assert train([CONFIG, *arguments]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: checkpoint (none given, so this would be training from scratch: "
        "--cfg-options load_from=FILE): no such file"
    )


@pytest.fixture(scope="module")
def recipe():
    return load_config(CONFIG)


NAMES = sorted(path.stem for path in (config_folder() / "textdet").rglob("*.py"))


@pytest.mark.parametrize("name", [name for name in NAMES if "_1200e_" in name or "_100e_" in name])
def test_recipe_on_top_of_another_config(name, recipe, tmp_path):
    (printed,) = blocks("python")
    bases = f'_base_ = ["{find_config(name)}", "{RECIPE}"]\n'
    text = re.sub(r"^_base_ = \[.*?^\]\n", bases, printed, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "mine.py").write_text(text)
    own, config = load_config(name), load_config(str(tmp_path / "mine.py"))
    for key in ("optim_wrapper", "train_cfg", "param_scheduler", "custom_hooks"):
        assert config[key] == recipe[key]  # nothing of the other schedule is left
    for key in ("model", "train_dataloader", "test_dataloader"):
        assert config[key] == own[key]


SHORT_LOADER = "train_dataloader.num_workers=0 val_dataloader.num_workers=0"
# Two steps on generated pictures, a test of these weights, then an epoch of two steps on scenes.
SHORTER = (
    f"train_cfg.max_iters=2 train_cfg.val_interval=2 train_dataloader.batch_size=2 {SHORT_LOADER} "
    "val_dataloader.dataset.length=2 param_scheduler.0.end=1 param_scheduler.1.begin=1 "
    "default_hooks.checkpoint.interval=1",
    "test_dataloader.num_workers=0 test_dataloader.dataset.indices=1",
    f"train_cfg.max_epochs=1 train_dataloader.batch_size=4 {SHORT_LOADER} {SMALL} "
    "param_scheduler.0.end=1 default_hooks.checkpoint.interval=1 default_hooks.logger.interval=1 "
    "val_dataloader.dataset.indices=1 "
    "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0.1",
)


@pytest.mark.slow
def test_printed_example(tmp_path, monkeypatch, capsys):
    root = tmp_path / "data" / "icdar2015"
    root.mkdir(parents=True)
    scenes = (write_scenes(root, count=8) / "train.json").read_text()
    for part in ("trainpart", "val"):
        (root / f"textdet_{part}.json").write_text(scenes)
    monkeypatch.chdir(tmp_path)
    commands = blocks("bash")[0].replace("\\\n", "").replace("iter_250", "iter_2").splitlines()
    assert len(commands) == len(SHORTER)
    for command, options in zip(commands, SHORTER):
        words = [*shlex.split(command), *([] if "--cfg-options" in command else ["--cfg-options"])]
        monkeypatch.setattr(sys, "argv", [*words, *options.split()])
        assert console.main() == 0
    output = capsys.readouterr().out
    assert output.count("official: precision") == 3
    log = next((tmp_path / "work_dirs/mine").glob("*/vis_data/scalars.json")).read_text()
    steps = [line for line in map(json.loads, log.splitlines()) if "loss" in line]
    assert len(steps) == 2
    # Warm-up and decay scale all parts alike.
    assert [step["lr"] / step["base_lr"] for step in steps] == pytest.approx([0.1, 0.1])
    weights = torch.load(tmp_path / "work_dirs/mine/epoch_1.pth", weights_only=False)
    assert set(weights["ema_state_dict"]) >= {"steps"}
