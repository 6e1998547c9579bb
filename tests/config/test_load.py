import argparse
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, DictAction
from mmengine.hooks import CheckpointHook, ParamSchedulerHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

import dbnet
from dbnet.cli.options.values import parse_size
from dbnet.config.check import RUNNER_KEYS, constructor_parameters
from dbnet.config.find import find_config
from dbnet.config.load import load_config
from dbnet.errors import UserError
from dbnet.registry import DATASETS, MODELS, TRANSFORMS


@MODELS.register_module()
class ConfigTestHead(nn.Module):
    def __init__(self, in_channels: int = 4, k: int = 50) -> None:
        super().__init__()
        self.k = k


@MODELS.register_module()
class ConfigTestWideHead(ConfigTestHead):
    def __init__(self, width: int = 1, **kwargs: int) -> None:
        super().__init__(**kwargs)


@MODELS.register_module()
class ConfigTestAny(nn.Module):
    def __init__(self, **kwargs: int) -> None:
        super().__init__()


@MODELS.register_module()
class ConfigTestModel(BaseModel):
    def __init__(self, head: dict | None = None, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: list[Tensor], mode: str = "tensor") -> dict[str, Tensor]:
        return {"loss": (self.weight - torch.stack(inputs)).square().mean()}


@DATASETS.register_module()
class ConfigTestDataset(Dataset):
    def __init__(self, data_root: str = "", pipeline: list | tuple = ()) -> None:
        self.data_root = data_root

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"inputs": torch.ones(1)}


@DATASETS.register_module()
class ConfigTestDrawnDataset(ConfigTestDataset):
    def __init__(self, length: int = 2) -> None:
        super().__init__()


@TRANSFORMS.register_module()
class ConfigTestCrop:
    def __init__(self, max_ratio: float = 1.0) -> None:
        self.max_ratio = max_ratio


BASE = """
_max_epochs = 7
data_root = "data/base"
train_pipeline = [dict(type="LoadImageFromFile"), dict(type="ConfigTestCrop", max_ratio=0.5)]
test_pipeline = [dict(type="mmengine.Resize", scale=(64, 32)), dict(type="ConfigTestCrop")]
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="pseudo_collate"),
    dataset=dict(type="ConfigTestDataset", data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="ConfigTestDataset", data_root=data_root, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
train_cfg = dict(by_epoch=True, max_epochs=_max_epochs)
optim_wrapper = dict(
    type="AmpOptimWrapper",
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9),
    paramwise_cfg=dict(bias_lr_mult=2),
    clip_grad=dict(max_norm=1),
)
param_scheduler = [dict(type="PolyLR", power=0.9, end=_max_epochs, convert_to_iter_based=True)]
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=5, priority="LOW"),
    checkpoint=dict(type="CheckpointHook", interval=1, save_optimizer=False),
    timer=None,
)
env_cfg = dict(cudnn_benchmark=True, whatever=1)
model_wrapper_cfg = dict(broadcast_buffers=False)
"""
LEAF = """_base_ = ["base.py"]
model = dict(type="ConfigTestModel", head=dict(type="ConfigTestHead", in_channels=8))
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a config over BASE; return its path."""

    def write_config(leaf: str = LEAF, base: str = BASE) -> str:
        (tmp_path / "base.py").write_text(base)
        (tmp_path / "leaf.py").write_text(leaf)
        return str(tmp_path / "leaf.py")

    return write_config


def message(*args: object, **kwargs: object) -> str:
    """Return the one line of the `UserError` that `load_config` raises."""
    with pytest.raises(UserError) as caught:
        load_config(*args, **kwargs)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    return text


# constructor_parameters


class Plain:
    def __init__(self, a: int, *args: int, b: int = 0) -> None: ...


class Inheriting(Plain): ...


class Forwarding(Inheriting):
    def __init__(self, c: int, **kwargs: int) -> None: ...


class Swallowing:
    def __init__(self, a: int, **kwargs: int) -> None: ...


class SwallowingModule(nn.Module):
    def __init__(self, a: int, **kwargs: int) -> None: ...


class MadeByNew:
    def __new__(cls, a: int) -> "MadeByNew": ...


def function(a: int, b: int = 0) -> None: ...


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Plain, {"a", "b"}),
        (Inheriting, {"a", "b"}),
        (Forwarding, {"a", "b", "c"}),
        (Swallowing, None),
        (SwallowingModule, None),
        (MadeByNew, None),
        (function, {"a", "b"}),
        (ParamSchedulerHook, set()),  # without a constructor of its own
        (ConfigTestWideHead, {"width", "in_channels", "k"}),
    ],
)
def test_constructor_parameters(cls: Callable, expected: set[str] | None) -> None:
    assert constructor_parameters(cls) == expected


def test_checkpoint_hook_keeps_its_kwargs_for_the_runner() -> None:
    names = constructor_parameters(CheckpointHook)
    assert names is not None
    assert {"interval", "save_best", "save_param_scheduler"} <= names


# what loads


def test_valid_config_loads_with_base(write: Callable[..., str]) -> None:
    path = write()
    loaded = load_config(path)
    assert loaded.model.head == dict(type="ConfigTestHead", in_channels=8)
    assert loaded.train_cfg.max_epochs == 7
    assert loaded.train_dataloader.dataset.pipeline[1].max_ratio == 0.5
    assert loaded.filename == path
    assert "ConfigTestHead" in loaded.text


def test_helpers_are_left_out_and_scope_is_set(write: Callable[..., str]) -> None:
    loaded = load_config(write(LEAF + "_head = model['head']\nimport math\n"))
    assert not {"_head", "math", "train_pipeline", "data_root", "_max_epochs"} & set(loaded)
    assert loaded.default_scope == "dbnet"


def test_runner_runs_it_and_its_dump_loads_again(write: Callable[..., str], tmp_path: Path) -> None:
    path = write(
        LEAF + "work_dir = '{{ fileDirname }}/work'\n"
        "val_dataloader = test_dataloader = None\n"
        "train_cfg = dict(max_epochs=1)\n"
        "optim_wrapper = dict(_delete_=True, optimizer=dict(type='SGD', lr=0.1))\n"
    )
    loaded = load_config(path)
    runner = Runner.from_cfg(loaded)
    runner.train()
    # w = 0, loss (w - 1)^2 over one batch of both samples: w := 0 + 0.1 * 2
    assert runner.model.weight.item() == pytest.approx(0.2)
    dumped = load_config(str(tmp_path / "work" / "leaf.py"))
    assert dumped.to_dict() == loaded.to_dict()
    assert dumped.pretty_text == loaded.pretty_text


@pytest.mark.parametrize(
    "line",
    [
        "_helper = 3",
        "work_dir = 'x'",
        "custom_imports = dict(imports=['json'])",
        "find_unused_parameters = True",
        "train_pipeline = []\ntrain_dataloader = dict(dataset=dict(pipeline=train_pipeline))",
        "train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))",
        "resume = [each for each in [True]][0]",
        "def _double(x):\n    y = 2 * x\n    return y",
        "model['head'] = dict(_scope_='mmengine', type='dbnet.ConfigTestHead', k=1)",
        "val_evaluator = dict(metrics=[], type='Evaluator')",
        "val_evaluator = dict(metrics=dict(type='DumpResults', out_file_path='x.pkl'))",
        "optim_wrapper = dict(_delete_=True, constructor='Mine', generator=dict(x=1))",
        "visualizer = dict(_delete_=True, type='Visualizer', vis_backends=[])",
        "train_cfg = dict(by_epoch=False, max_iters=3, _delete_=True)",
        "param_scheduler = dict(_delete_=True, type='ConstantLR', convert_to_iter_based=True)",
        "custom_hooks = [dict(type='EMAHook', priority='LOW')]",
        "model['head']['type'] = __import__('torch').nn.Identity\nmodel['head'].pop('in_channels')",
        "model['head'].update(type='ConfigTestAny', whatever=3)",
        "val_dataloader = dict(num_batch_per_epoch=1, persistent_workers=False)",
    ],
)
def test_legal_leaf(write: Callable[..., str], line: str) -> None:
    load_config(write(LEAF + line))


def test_scope_holds_for_what_is_below_it(write: Callable[..., str]) -> None:
    parts = "type='ConfigTestModel', head=dict(type='ConfigTestHead'))"
    load_config(write(f"default_scope = 'mmengine'\nmodel = dict(_scope_='dbnet', {parts}"))
    path = write(f"default_scope = 'mmengine'\nmodel = dict({parts}")
    assert message(path).startswith(f"{path}: model.type: nothing is registered as 'ConfigTestM")


def test_leftover_delete_key_goes(write: Callable[..., str]) -> None:
    loaded = load_config(write(LEAF + "visualizer = dict(_delete_=True, type='Visualizer')"))
    assert loaded.visualizer == dict(type="Visualizer")


# mistakes in the files


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "traincfg = dict(max_epochs=3)",
            "{leaf}:3: traincfg: unknown key; nearest: train_cfg"
            " (the name of a helper variable starts with an underscore)",
        ),
        ("x = 1\ntrain_cfg = dict(max_epochs=x)", "{leaf}:3: x: unknown key"),
        (
            "train_pipeline = []",
            "{leaf}:3: train_pipeline: has no effect, because the _base_ file that defines it has"
            " already used it; set the keys that it was copied to",
        ),
        ("_max_epochs = 5", "{leaf}:3: _max_epochs: has no effect"),
        (
            "model['head']['in_chanels'] = 3",
            "{leaf}: model.head.in_chanels: ConfigTestHead has no such argument;"
            " nearest: in_channels",
        ),
        (
            "model['head']['type'] = 'ConfigTestHaed'",
            "{leaf}: model.head.type: nothing is registered as 'ConfigTestHaed';"
            " nearest: ConfigTestHead",
        ),
        ("model['head']['type'] = 3", "{leaf}: model.head.type: nothing is registered as 3"),
        (
            "model['head']['type'] = 'nowhere.ConfigTestHead'",
            "{leaf}: model.head.type: nothing is registered as 'nowhere.ConfigTestHead';"
            " nearest: ConfigTestHead",
        ),
        (
            # registered with the scope `dbnet` alone
            "default_scope = 'mmengine'",
            "{leaf}: train_dataloader.dataset.type: nothing is registered as 'ConfigTestDataset'",
        ),
        (
            "train_cfg = dict(max_epoch=3)",
            "{leaf}: train_cfg.max_epoch: EpochBasedTrainLoop has no such argument;"
            " nearest: max_epochs",
        ),
        (
            "train_cfg = dict(by_epoch=False)",
            "{leaf}: train_cfg.max_epochs: IterBasedTrainLoop has no such argument",
        ),
        (
            "train_cfg = dict(type='EpochBasedTrainLoop')",
            "{leaf}: train_cfg.by_epoch: EpochBasedTrainLoop has no such argument",
        ),
        ("val_cfg = dict(fp=1)", "{leaf}: val_cfg.fp: ValLoop has no such argument; nearest: fp16"),
        ("test_cfg = dict(fp=1)", "{leaf}: test_cfg.fp: TestLoop has no such argument"),
        (
            "optim_wrapper = dict(optimizer=dict(momentun=1))",
            "{leaf}: optim_wrapper.optimizer.momentun: SGD has no such argument; nearest: momentum",
        ),
        (
            "optim_wrapper = dict(_delete_=True, optimizer=dict(type='SGD'), clip=1)",
            "{leaf}: optim_wrapper.clip: OptimWrapper has no such argument; nearest: clip_grad",
        ),
        (
            "param_scheduler = [dict(type='PolyLR', powr=1)]",
            "{leaf}: param_scheduler.0.powr: PolyLR has no such argument; nearest: power",
        ),
        (
            "train_dataloader = dict(batchsize=1)",
            "{leaf}: train_dataloader.batchsize: DataLoader has no such argument;"
            " nearest: batch_size",
        ),
        (
            "train_dataloader = dict(collate_fn=dict(stack=1))",
            "{leaf}: train_dataloader.collate_fn.stack: pseudo_collate has no such argument",
        ),
        (
            "train_dataloader = dict(dataset=dict(pipeline=(dict(type='ConfigTestCrop', a=1),)))",
            "{leaf}: train_dataloader.dataset.pipeline.0.a: ConfigTestCrop has no such argument;"
            " nearest: max_ratio",
        ),
        (
            "default_hooks = dict(checkpoint=dict(intervall=3))",
            "{leaf}: default_hooks.checkpoint.intervall: CheckpointHook has no such argument;"
            " nearest: interval",
        ),
        ("randomness = dict(sed=3)", "{leaf}: randomness.sed: set_randomness has no such argument"),
        (
            "auto_scale_lr = dict(enabel=True)",
            "{leaf}: auto_scale_lr.enabel: Runner has no such argument; nearest: enable",
        ),
        (
            "val_evaluator = dict(metrics=[], metric=1)",
            "{leaf}: val_evaluator.metric: Evaluator has no such argument; nearest: metrics",
        ),
        (
            "custom_imports = dict(imports=['no_such_module'])",
            "{leaf}: custom_imports: No module named 'no_such_module'",
        ),
        (
            "custom_imports = dict(import_='json')",
            "{leaf}: custom_imports.import_: import_modules_from_strings has no such argument;"
            " nearest: imports",
        ),
        ("train_cfg = dict(", "{leaf}:3: syntax error: '(' was never closed"),
        ("load_from = 'x'\nresume = rezume", "{leaf}:4: NameError: name 'rezume' is not defined"),
        (
            "model['head'] = _base_.haed",
            "{leaf}:3: AttributeError: 'ConfigDict' object has no attribute 'haed'",
        ),
        ("resume = 1 / 0", "{leaf}:3: ZeroDivisionError: division by zero"),
        ("def f():\n    return 1 / 0\nresume = f()", "{leaf}:4: ZeroDivisionError"),
        ("train_cfg = dict(max_epochs=dict(a=1))", "{leaf}: TypeError: max_epochs={{'a': 1}} in"),
        ("filename = 'x'", "{leaf}: KeyError: 'filename is reserved for config file'"),
    ],
)
def test_mistake_in_leaf(write: Callable[..., str], lines: str, expected: str) -> None:
    path = write(LEAF + lines)
    assert message(path).startswith(expected.format(leaf=path))


def test_mistakes_in_and_of_base_files(write: Callable[..., str], tmp_path: Path) -> None:
    path, base = write(base=BASE + "y = z"), tmp_path / "base.py"
    line = len(BASE.splitlines()) + 1
    assert message(path) == f"{base}:{line}: NameError: name 'z' is not defined"
    write(base="\n)")
    assert message(path) == f"{base}:2: syntax error: unmatched ')'"
    write("\n_base_ = 'bse.py'")
    assert message(path) == f"{path}:2: _base_ {tmp_path / 'bse.py'}: no such file"
    write("_base_ = [\n'base.py',\n'sub/../gone.py']")
    assert message(path) == f"{path}:3: _base_ {tmp_path / 'gone.py'}: no such file"
    write(base="_base_ = './leaf.py'")
    assert message(path) == f"{base}:1: _base_ {tmp_path / 'leaf.py'}: leads back to itself"
    write("_base_ = ['base.py'] + []")
    assert message(path) == f"{path}:1: _base_ must be a list of file names"


def test_only_python_text_is_a_config(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("x: 1")
    assert message(str(tmp_path / "a.yaml")) == f"{tmp_path / 'a.yaml'}: a config is a .py file"
    (tmp_path / "b.py").write_bytes(b"x = '\xff'")
    assert message(str(tmp_path / "b.py")) == f"{tmp_path / 'b.py'}: not a text file in UTF-8"


def test_custom_imports_register_parts(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "config_test_custom.py").write_text(
        "from dbnet.registry import MODELS\n"
        "@MODELS.register_module()\n"
        "class ConfigTestCustom:\n"
        "    def __init__(self, in_channels, special): ...\n"
    )
    imports = "custom_imports = dict(imports='config_test_custom')\n"
    path = write(LEAF + imports + "model['head'].update(type='ConfigTestCustom', special=1)")
    assert load_config(path).model.head.special == 1


# --cfg-options


def parsed(*options: str) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    return parser.parse_args(["--cfg-options", *options]).cfg_options


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        ("train_cfg.max_epochs=3", "train_cfg.max_epochs", 3),
        ("param_scheduler.0.power=0.5", "param_scheduler.0.power", 0.5),
        ("param_scheduler.0.eta_min=1", "param_scheduler.0.eta_min", 1),  # an argument only
        (
            "train_dataloader.dataset.pipeline.1.max_ratio=2",
            "train_dataloader.dataset.pipeline.1.max_ratio",
            2,
        ),
        (
            "val_dataloader.dataset.pipeline.0.scale=(8,4)",
            "val_dataloader.dataset.pipeline.0.scale",
            (8, 4),
        ),
        (  # a tuple stays one: mmcv's Resize refuses lists
            "val_dataloader.dataset.pipeline.0.scale=8,4",
            "val_dataloader.dataset.pipeline.0.scale",
            (8, 4),
        ),
        ("val_dataloader.dataset.pipeline=[]", "val_dataloader.dataset.pipeline", []),
        ("model.head.k=3", "model.head.k", 3),
        ("load_from=x.pth", "load_from", "x.pth"),
        ("randomness.seed=3", "randomness.seed", 3),
        ("auto_scale_lr.enable=True", "auto_scale_lr.enable", True),
        ("env_cfg.whatever=2", "env_cfg.whatever", 2),
        ("default_hooks.checkpoint.by_epoch=False", "default_hooks.checkpoint.by_epoch", False),
        ("default_hooks.timer=None", "default_hooks.timer", None),
        ("optim_wrapper.optimizer.lr=1e-3", "optim_wrapper.optimizer.lr", 1e-3),
        # an argument of the function that clips, and what the constructor of optimizers reads
        ("optim_wrapper.clip_grad.norm_type=1", "optim_wrapper.clip_grad.norm_type", 1),
        ("optim_wrapper.paramwise_cfg.norm_decay_mult=0", "optim_wrapper.paramwise_cfg."
         "norm_decay_mult", 0),
    ],
)  # fmt: skip
def test_option_is_set(write: Callable[..., str], option: str, path: str, value: object) -> None:
    node = load_config(write(), parsed(option))
    for key in path.split("."):
        node = node[int(key) if key.isdecimal() else key]
    assert node == value


def test_option_touches_its_own_place_only(write: Callable[..., str]) -> None:
    option = "val_dataloader.dataset.pipeline.1.max_ratio=9"
    loaded = load_config(write(), parsed(option))
    assert loaded.val_dataloader.dataset.pipeline[1].max_ratio == 9
    assert "max_ratio" not in loaded.test_dataloader.dataset.pipeline[1]  # `= val_dataloader`


def test_options_change_a_type_and_its_arguments(write: Callable[..., str]) -> None:
    options = parsed("model.head.width=3", "model.head.type=ConfigTestWideHead")
    assert load_config(write(), options).model.head.width == 3
    nested = {"model": {"head": {"_delete_": True, "type": "ConfigTestWideHead", "width": 3}}}
    head = load_config(write(), nested).model.head
    assert head == dict(type="ConfigTestWideHead", width=3)
    dotted = parsed("model.head.type=ConfigTestHead", "model.head._delete_=True")
    assert load_config(write(), dotted).model.head == dict(type="ConfigTestHead")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("traincfg.max_epochs=1", "traincfg.max_epochs: no such key; nearest: "
         "train_cfg.max_epochs"),
        ("max_epochs=1", "max_epochs: no such key; nearest: train_cfg.max_epochs"),
        ("lr=1", "lr: no such key; nearest: optim_wrapper.optimizer.lr"),
        ("worksdir=1", "worksdir: no such key; nearest: work_dir"),
        ("model.head.in_chanels=1", "model.head.in_chanels: no such key; nearest: "
         "model.head.in_channels"),
        ("model.haed.k=1", "model.haed.k: no such key; nearest: model.head.k"),
        ("model.haed.type=ConfigTestHead", "model.haed: ConfigTestModel has no such argument;"
         " nearest: head"),
        ("model.head.a.b.c=1", "model.head.a.b.c: no such key; nearest: model.head.k"),
        ("foo.type=ConfigTestHead", "foo.type: no such key; nearest: model.type"),
        ("env_cfg.cudnn=1", "env_cfg.cudnn: no such key; nearest: env_cfg.cudnn_benchmark"),
        ("randomness.sed=1", "randomness.sed: no such key; nearest: randomness.seed"),
        ("model.haed=[1,2]", "model.haed: no such key; nearest: model.head"),
        ("param_scheduler.1.power=1", "param_scheduler.1.power: no such key; nearest: "
         "param_scheduler.0.power"),
        ("param_scheduler.power=1", "param_scheduler.power: no such key; nearest: "
         "param_scheduler.0.power"),
        ("custom_hooks.0.type=EMAHook", "custom_hooks.0.type: no such key; nearest: "
         "default_hooks.logger.type"),
        ("train_dataloader.batch_size.x=1", "train_dataloader.batch_size.x: no such key; nearest: "
         "train_dataloader.batch_size"),
        # a tuple has no addressable items
        ("val_dataloader.dataset.pipeline.0.scale.0=1", "val_dataloader.dataset.pipeline.0.scale.0:"
         " no such key; nearest: val_dataloader.dataset.pipeline.0.scale"),
        ("model.head.type=ConfigTestHaed", "model.head.type: nothing is registered as"
         " 'ConfigTestHaed'; nearest: ConfigTestHead"),
        # what is left of the old type is checked as well
        ("train_dataloader.dataset.type=ConfigTestDrawnDataset", "train_dataloader.dataset."
         "data_root: ConfigTestDrawnDataset has no such argument; nearest: length"),
        ("custom_imports.imports=nowhere", "custom_imports: No module named 'nowhere'"),
        # helper variables
        ("train_pipeline.1.max_ratio=2", "train_pipeline.1.max_ratio: train_pipeline is a helper"
         " variable and has already been copied; override"
         " train_dataloader.dataset.pipeline.1.max_ratio"),
        ("train_pipeline=[]", "train_pipeline: train_pipeline is a helper variable and has already"
         " been copied; override train_dataloader.dataset.pipeline"),
        ("test_pipeline.0.scale=(1,2)", "test_pipeline.0.scale: test_pipeline is a helper variable"
         " and has already been copied; override val_dataloader.dataset.pipeline.0.scale,"
         " test_dataloader.dataset.pipeline.0.scale"),
        ("_max_epochs=2", "_max_epochs: _max_epochs is a helper variable and has already been"
         " copied; override train_cfg.max_epochs, param_scheduler.0.end"),
        ("unused.a=2", "unused.a: has no effect, because unused is a helper variable of the config"
         " files"),
        ("flag=2", "flag: has no effect, because flag is a helper variable of the config files"),
        ("loader.batch_size=3", "loader.batch_size: loader is a helper variable and has already"
         " been copied; override val_dataloader.batch_size"),
        ("parts.0.max_ratio=3", "parts.0.max_ratio: parts is a helper variable and has already"
         " been copied; override test_dataloader.dataset.pipeline.2.max_ratio"),
    ],
)  # fmt: skip
def test_mistaken_option(write: Callable[..., str], option: str, expected: str) -> None:
    helpers = (
        "unused = dict(a=1)\nflag = True\nloader = dict(batch_size=11)\n"
        "parts = [dict(type='ConfigTestCrop', max_ratio=0.25)]\n"
        "val_dataloader = dict(loader, sampler=val_dataloader['sampler'],\n"
        "    dataset=val_dataloader['dataset'])\n"
        "test_dataloader = dict(dataset=dict(test_dataloader['dataset'],\n"
        "    pipeline=test_pipeline + parts))\n"
    )
    if not option.startswith(("unused", "flag", "loader", "parts")):
        helpers = ""
    assert message(write(base=BASE + helpers), parsed(option)) == f"--cfg-options {expected}"


WITHOUT_CLIPPING = LEAF + "optim_wrapper = dict(_delete_=True, optimizer=dict(type='SGD', lr=1))\n"


@pytest.mark.parametrize("leaf", [
    WITHOUT_CLIPPING,
    LEAF + "optim_wrapper = dict(clip_grad=None, paramwise_cfg=None)\n",
])  # fmt: skip
def test_clipping_and_learning_rates_of_parts_need_nothing_in_the_config(
    write: Callable[..., str], leaf: str
) -> None:
    wrapper = "optim_wrapper"
    options = parsed(
        f"{wrapper}.clip_grad.max_norm=5",
        f"{wrapper}.paramwise_cfg.custom_keys.backbone.lr_mult=0.1",
        f"{wrapper}.paramwise_cfg.custom_keys.head.momentum=0",  # goes into the parameter group
    )
    loaded = load_config(write(leaf), options).optim_wrapper
    assert loaded.clip_grad == dict(max_norm=5)
    keys = dict(backbone=dict(lr_mult=0.1), head=dict(momentum=0))
    assert loaded.paramwise_cfg == dict(custom_keys=keys)
    by_value = parsed(f"{wrapper}.clip_grad.type=value", f"{wrapper}.clip_grad.clip_value=1")
    clipping = load_config(write(WITHOUT_CLIPPING), by_value).optim_wrapper.clip_grad
    assert clipping == dict(type="value", clip_value=1)


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("clip_gard.max_norm=5", "clip_grad"),
        ("clip_grad.max_nrom=5", "clip_grad.max_norm"),
        ("clip_grad.clip_value=5", None),  # of the other type
        ("clip_grad.parameters=5", None),  # given by the wrapper
        ("paramwise.custom_keys.backbone.lr_mult=1", None),
        ("paramwise_cfg.norm_decay=0", "paramwise_cfg.norm_decay_mult"),
        ("paramwise_cfg.custom_kyes.backbone.lr_mult=1", "paramwise_cfg.custom_keys"),
        ("paramwise_cfg.custom_keys.backbone.lr_mlt=1", "paramwise_cfg.custom_keys.backbone.lr_m"),
    ],
)
def test_misspelt_keys_of_new_dicts(
    write: Callable[..., str], option: str, nearest: str | None
) -> None:
    told = message(write(WITHOUT_CLIPPING), parsed(f"optim_wrapper.{option}"))
    key = option.split("=")[0]
    assert told.startswith(f"--cfg-options optim_wrapper.{key}: no such key; nearest: ")
    assert nearest is None or f"nearest: optim_wrapper.{nearest}" in told


def test_another_constructor_of_optimizers_may_read_other_keys(write: Callable[..., str]) -> None:
    keys = "paramwise_cfg=dict(num_layers=12)"
    path = write(LEAF + f"optim_wrapper = dict({keys})")
    assert "paramwise_cfg.num_layers: DefaultOptimWrapperConstructor has no such" in message(path)
    load_config(write(LEAF + f"optim_wrapper = dict(constructor='Mine', {keys})"))


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("optim_wrapper.optimizer.lr=abc", "SGD takes a number, got 'abc'"),
        ("optim_wrapper.clip_grad=5", "AmpOptimWrapper takes a dict, got 5"),
        ("optim_wrapper.clip_grad.max_norm=x", "clip_grad_norm_ takes a number, got 'x'"),
        ("optim_wrapper.clip_grad.type=x", "must be one of norm, value, got 'x'"),
        ("train_dataloader.batch_size=2.5", "DataLoader takes a whole number, got 2.5"),
        ("train_dataloader.dataset.data_root=5", "ConfigTestDataset takes a text, got 5"),
        ("train_dataloader.dataset.pipeline.1.max_ratio=x", "ConfigTestCrop takes a number, got "),
        ("train_cfg=3", "Runner takes a dict, got 3"),
        ("train_cfg.val_interval=often", "EpochBasedTrainLoop takes a whole number, got 'often'"),
        ("param_scheduler.0.end=x", "PolyLR takes a whole number, got 'x'"),
        ("model.head.k=[1,2]", "ConfigTestHead takes a whole number, got [1, 2]"),
        ("default_hooks.checkpoint.interval=x", "CheckpointHook takes a whole number, got 'x'"),
        ("randomness.seed=-1", "must be a whole number from 0 to 2^32 - 1, got -1"),
    ],
)
def test_a_value_of_another_kind_is_refused(
    write: Callable[..., str], option: str, expected: str
) -> None:
    key = option.split("=")[0]
    assert message(write(), parsed(option)).startswith(f"--cfg-options {key}: {expected}")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("train_dataloader.dataset.pipeline.1.size=640", "[whole number, whole number], got 640"),
        ("train_dataloader.dataset.max_damaged=x", "a number, got 'x'"),
        ("test_dataloader.dataset.indices=abc", "a whole number or [whole number, ...], got 'abc'"),
        ("model.data_preprocessor.mean=0", "[number, ...], got 0"),
        ("model.postprocessor.box_thresh=high", "a number, got 'high'"),
    ],
)
@pytest.mark.parametrize(
    "name", ["dbnet_r18_fpnc_1200e_icdar2015", "dbnet_r18_fpnc_finetune_icdar2015"]
)
def test_values_of_another_kind_for_parts_of_this_package(
    name: str, option: str, expected: str
) -> None:
    key = option.split("=")[0]
    told = message(name, parsed(option))
    assert told.startswith(f"--cfg-options {key}: ") and told.endswith(f" takes {expected}")


def test_nearest_key_is_one_of_the_new_type(write: Callable[..., str]) -> None:
    options = parsed("model.head.type=ConfigTestWideHead", "model.head.widht=3")
    expected = "--cfg-options model.head.widht: no such key; nearest: model.head.width"
    assert message(write(), options) == expected


# --data-root, --test-size


def test_data_root_reaches_every_dataset(write: Callable[..., str]) -> None:
    wrapped = """
train_dataloader = dict(dataset=dict(_delete_=True, type="ConcatDataset", datasets=[
    dict(type="ConfigTestDataset"),
    dict(type="RepeatDataset", times=2, dataset=dict(type="ConfigTestDataset", data_root="a")),
    dict(type="ConfigTestDrawnDataset"),
]))
test_dataloader = None
"""
    loaded = load_config(write(LEAF + wrapped), data_root="new")
    plain, repeated, drawn = loaded.train_dataloader.dataset.datasets
    assert plain.data_root == repeated.dataset.data_root == "new"
    assert loaded.val_dataloader.dataset.data_root == "new"
    assert "data_root" not in {*loaded.train_dataloader.dataset, *repeated, *drawn}


def test_test_size_reaches_every_test_resize(write: Callable[..., str]) -> None:
    train = """
train_dataloader = dict(dataset=dict(pipeline=[dict(type="Resize", scale=(1, 1))]))
test_dataloader = dict(dataset=dict(pipeline=[
    dict(type="RandomApply", transforms=[dict(type="Resize", scale_factor=2)]),
]))
"""
    loaded = load_config(write(LEAF + train), test_size=(1333, 736))
    assert loaded.val_dataloader.dataset.pipeline[0].scale == (1333, 736)
    assert loaded.test_dataloader.dataset.pipeline[0].transforms[0].scale == (1333, 736)
    assert loaded.train_dataloader.dataset.pipeline[0].scale == (1, 1)


def test_switches_need_something_to_set(write: Callable[..., str]) -> None:
    path = write("model = dict(type='ConfigTestModel')")
    assert message(path, data_root="x") == "--data-root: no dataset of the config has a data_root"
    assert (
        message(path, test_size=(1, 2))
        == "--test-size: no val or test pipeline of the config has a Resize"
    )


def test_parse_size() -> None:
    assert parse_size("1333,736") == (1333, 736)
    for text in ("1333", "1333,736,3", "1333x736", "0,736", "-1,5", "1.5,2", ","):
        with pytest.raises(argparse.ArgumentTypeError, match="expected W,H in pixels"):
            parse_size(text)


def test_runner_keys_are_the_arguments_of_the_runner() -> None:
    looked_up = {
        *("activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval"),
        *("find_unused_parameters", "model_wrapper_cfg", "sync_bn"),
    }
    assert set(inspect.signature(Runner).parameters) - {"cfg"} == RUNNER_KEYS - looked_up


def test_parts_alone_are_checked(write: Callable[..., str]) -> None:
    mistaken = write("optim_wrapper = dict(optimizer=dict(type='SGD', rate=1))")
    load_config(mistaken, parts=("model",))
    with pytest.raises(UserError, match=r"model\.typo: "):
        load_config(mistaken, {"model.typo": 1}, parts=("model",))
    with pytest.raises(UserError, match=r"optimizer\.rate"):
        load_config(mistaken)


# find_config


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a checkout with three configs and a part, in the place of the installed package."""
    folder = tmp_path / "configs"
    for name in ("a/b/net_r18.py", "a/b/net_r50.py", "c/other.py", "_base_/models/part.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (tmp_path / "dbnet").mkdir()
    monkeypatch.setattr(dbnet, "__file__", str(tmp_path / "dbnet" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    return folder


def test_config_is_found_by_name(configs: Path) -> None:
    assert find_config("net_r18") == configs / "a/b/net_r18.py"
    assert find_config("net_r50.py") == configs / "a/b/net_r50.py"


def test_existing_path_wins(configs: Path) -> None:
    Path("net_r18.py").touch()
    assert find_config("net_r18.py") == Path("net_r18.py")
    assert find_config("configs/_base_/models/part.py") == Path("configs/_base_/models/part.py")
    Path("net_r50").mkdir()  # a folder is no config
    assert find_config("net_r50") == configs / "a/b/net_r50.py"


def test_package_data_comes_before_the_checkout(configs: Path) -> None:
    packaged = configs.parent / "dbnet" / "configs" / "new.py"
    packaged.parent.mkdir()
    packaged.touch()
    assert find_config("new") == packaged
    with pytest.raises(UserError):
        find_config("net_r18")


@pytest.mark.parametrize("name", ["part", "net_r19", "wrong/net_r18.py"])
def test_unknown_config_names_the_nearest(configs: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        find_config(name)
    start, _, matches = str(caught.value).partition("; nearest: ")
    assert start == f"{name}: no such file, and no config of this name below {configs}"
    assert set(matches.split(", ")) == {"net_r18", "net_r50", "other"}
    if name != "part":
        assert matches.startswith("net_r18")


def test_result_is_a_config(write: Callable[..., str]) -> None:
    assert isinstance(load_config(write()), Config)
