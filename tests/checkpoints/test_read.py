import hashlib
import logging
import os
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from benchmarks.make_mmocr_reference import formula_weights
from dbnet.checkpoints import conventions, index
from dbnet.checkpoints.conventions import conventions_of, find_mismatch
from dbnet.checkpoints.names import rename_key
from dbnet.checkpoints.read import load_weights, match, read_checkpoint
from dbnet.config.load import load_config
from dbnet.errors import UserError
from dbnet.models import (
    FPNC,
    DBHead,
    DBLoss,
    DBNet,
    DBPostprocessor,
    ResNet,
    TextDetDataPreprocessor,
)
from dbnet.registry import MODELS


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 2)
        self.det_head = nn.Linear(2, 1)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("bbox_head.binarize.0.weight", "det_head.binarize.0.weight"),
        ("module.bbox_head.threshold.6.bias", "det_head.threshold.6.bias"),
        ("backbone.conv1.weight", "backbone.conv1.weight"),
        ("det_head.binarize.0.weight", "det_head.binarize.0.weight"),
    ],
)
def test_names_of_mmocr_0x(key, expected):
    assert rename_key(key) == expected


# ---- what is read


def build_r18():
    return DBNet(
        backbone=dict(type=ResNet, depth=18),
        neck=dict(type=FPNC),
        det_head=dict(type=DBHead),
        loss=dict(type=DBLoss),
        postprocessor=dict(type=DBPostprocessor),
    ).eval()


def leftovers():
    """Everything beside the weights in a checkpoint of a training run."""
    history = HistoryBuffer()
    history.update(1.5)
    scalar, moments = np.float64(0.007), torch.ones(2)
    return dict(
        meta=dict(epoch=np.int64(4), iter=7, seed=3, time="20220825", cfg="model = dict()"),
        optimizer=dict(state={0: dict(momentum_buffer=moments)}, param_groups=[dict(lr=scalar)]),
        param_schedulers=[dict(last_step=4, _global_step=np.float32(5))],
        message_hub=dict(
            log_scalars={"train/loss": history},
            runtime_info=dict(epoch=4, loop_stage="train"),
            resumed_keys={"train/loss": True},
        ),
    )


@pytest.mark.parametrize("head", ["det_head.", "bbox_head.", "module.det_head."])
def test_0x_and_1x_files_with_leftovers_give_equal_maps(tmp_path, head):
    source, target = build_r18(), build_r18()
    source.load_state_dict(
        formula_weights({key: value.shape for key, value in source.state_dict().items()})
    )
    prefix = "module." if head.startswith("module.") else ""
    state = {
        prefix + key.replace("det_head.", head.removeprefix("module.")): value
        for key, value in source.state_dict().items()
    }
    torch.save(dict(state_dict=state, **leftovers()), tmp_path / "old.pth")
    load_weights(target, (tmp_path / "old.pth").as_uri())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(source(image), target(image))


@pytest.mark.parametrize("zipped", [True, False])  # PyTorch's format since 1.6, and before
def test_bare_state_dict(tmp_path, zipped):
    source, target = Detector(), Detector()
    path = tmp_path / "bare.pth"
    torch.save(source.state_dict(), path, _use_new_zipfile_serialization=zipped)
    load_weights(target, str(path))
    assert torch.equal(target.backbone.weight, source.backbone.weight)


def test_model_wrapped_for_several_devices(tmp_path):
    source, target = Detector(), Detector()
    torch.save(source.state_dict(), tmp_path / "bare.pth")
    load_weights(nn.DataParallel(target), str(tmp_path / "bare.pth"))
    assert torch.equal(target.det_head.weight, source.det_head.weight)


def test_counters_of_batches_may_be_missing(tmp_path):
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.BatchNorm1d(2)

    source = Normed()
    source.backbone.running_var.fill_(3)
    state = {k: v for k, v in source.state_dict().items() if "num_batches" not in k}
    torch.save(state, tmp_path / "old.pth")
    load_weights(target := Normed(), str(tmp_path / "old.pth"))
    assert target.backbone.running_var.tolist() == [3, 3]


# ---- what is told


def test_table_counts_every_outcome_by_part():
    own = Detector().state_dict()
    state = {
        "backbone.weight": torch.zeros(2, 2),
        "backbone.bias": torch.zeros(3),  # the model's has 2
        "bbox_head.weight": torch.zeros(1, 2),
        "bbox_head.old": torch.zeros(1),
        "fc.weight": torch.zeros(1),
    }
    fit = match(state, own)
    assert set(fit.loaded) == {"backbone.weight", "det_head.weight"}
    assert fit.renamed == {"bbox_head.weight": "det_head.weight"}
    assert fit.missing == ["det_head.bias"]
    assert fit.unexpected == ["det_head.old", "fc.weight"]
    assert fit.wrong_shape == ["backbone.bias"]
    assert [line.split() for line in fit.table().splitlines()] == [
        ["all", "backbone", "det_head", "other", "first"],
        ["loaded", "2", "1", "1", "0", "backbone.weight"],
        ["renamed", "1", "0", "1", "0", "det_head.weight"],
        ["missing", "1", "0", "1", "0", "det_head.bias"],
        ["unexpected", "2", "0", "1", "1", "det_head.old"],
        ["wrong", "shape", "1", "1", "0", "0", "backbone.bias"],
    ]


@pytest.fixture
def logged(monkeypatch):
    """Collect (level, message) of what loading logs."""
    lines = []
    monkeypatch.setattr(
        "dbnet.checkpoints.read.log",
        lambda message, level=logging.INFO: lines.append((level, message)),
    )
    return lines


def test_table_is_logged(tmp_path, logged):
    torch.save(Detector().state_dict(), tmp_path / "file.pth")
    load_weights(Detector(), str(tmp_path / "file.pth"))
    ((level, message),) = logged
    assert level == logging.INFO
    assert "file.pth" in message
    assert "loaded           4           2           2           0  backbone.weight" in message


# ---- what is refused


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile_was_here",)


class Evaluating:
    def __reduce__(self):
        return eval, ("open('hostile_was_here', 'w')",)


class Reaching:
    """Goes for an attribute through the stand-in for `getattr`."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, "__init__")


def save(**changes):
    """Write a `Detector`'s state dict with changed entries; None removes one."""
    state = {**Detector().state_dict(), **changes}
    return lambda path: torch.save({k: v for k, v in state.items() if v is not None}, path)


@pytest.mark.filterwarnings("error")  # such as torch's "Detected pickle protocol"
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "damaged or no checkpoint"),
        (lambda path: path.write_bytes(b"nonsense"), "checkpoint"),
        (lambda path: path.write_bytes(pickle.dumps(Hostile(), 2)), r"refused.*posix\.system"),
        (lambda path: path.write_bytes(pickle.dumps(Hostile())), "refused"),
        (lambda path: torch.save(dict(state_dict=Hostile()), path), r"refused.*posix\.system"),
        (lambda path: torch.save(dict(state_dict={}, meta=Evaluating()), path), "refused.*eval"),
        (lambda path: torch.save(dict(meta=Reaching()), path), "refused.*__init__"),
        (lambda path: torch.save([1, 2], path), "holds a list"),
        (lambda path: torch.save(dict(state_dict=[1]), path), "state_dict is none"),
        (lambda path: torch.save({}, path), "0 of 2 in backbone, 0 of 2 in det_head;"),
        (lambda path: torch.save({"other.weight": torch.zeros(1)}, path), "0 of 2 in det_head"),
        (
            save(**{"det_head.weight": None, "det_head.bias": torch.zeros(7)}),
            "too little of it fits the model, 0 of 2 in det_head; it is for another config",
        ),
        (lambda path: path.write_bytes(b"\x80\x05K\x01."), "damaged|refused|holds a int"),
        (save(x=torch.zeros(1)), r"1 of its keys are unknown \(first: x\)"),
        (save(**{"det_head.bias": None}), r"1 keys of the model are missing .*det_head\.bias"),
        (save(**{"det_head.bias": torch.zeros(5)}), r"1 have another shape .*det_head\.bias"),
        (save(**{"det_head.bias": 3}), r"1 have another shape .*det_head\.bias"),
    ],
)
def test_mistakes_are_one_line_and_leave_the_model(tmp_path, monkeypatch, write, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.pth"
    write(path)
    model = Detector()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match=message) as caught:
        load_weights(model, str(path))
    assert "file.pth" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "hostile_was_here").exists()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_truncated_file_at_any_length(tmp_path):
    path = tmp_path / "file.pth"
    torch.save(dict(state_dict=Detector().state_dict(), **leftovers()), path)
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"file\.pth") as caught:
            read_checkpoint(str(path))
        assert "\n" not in str(caught.value)


def test_wrong_hash(tmp_path):
    torch.save(Detector().state_dict(), tmp_path / "file-00000000.pth")
    with pytest.raises(UserError, match="SHA-256"):
        load_weights(Detector(), str(tmp_path / "file-00000000.pth"))


def test_fine_tuning_takes_what_fits(tmp_path):
    source, target = Detector(), Detector()
    state = {**source.state_dict(), "det_head.bias": torch.zeros(5), "x": torch.zeros(1)}
    bias = target.det_head.bias.clone()
    torch.save(state, tmp_path / "partly.pth")
    load_weights(target, str(tmp_path / "partly.pth"), strict=False)
    assert torch.equal(target.backbone.weight, source.backbone.weight)
    assert torch.equal(target.det_head.weight, source.det_head.weight)
    assert torch.equal(target.det_head.bias, bias)


def test_fine_tuning_warns_of_what_starts_afresh(tmp_path, logged):
    state = {**Detector().state_dict(), "backbone.weight": torch.zeros(3, 3)}
    del state["det_head.bias"]
    torch.save(state, tmp_path / "partly.pth")
    load_weights(Detector(), str(tmp_path / "partly.pth"), strict=False)
    assert logged[1:] == [
        (
            logging.WARNING,
            f"checkpoint {tmp_path / 'partly.pth'}: 1 keys of the model are missing in it (first: "
            "det_head.bias), 1 have another shape (first: backbone.weight); what the model does "
            "not get from it starts afresh",
        )
    ]


def test_another_resnet_is_no_start(tmp_path):
    shallow, deep = nn.ModuleDict(), nn.ModuleDict()
    shallow["backbone"], deep["backbone"] = ResNet(18, init_cfg=None), ResNet(50, init_cfg=None)
    torch.save(shallow.state_dict(), tmp_path / "r18.pth")
    with pytest.raises(UserError, match=r"too little of it fits the model, \d+ of 318 in backbone"):
        load_weights(deep, str(tmp_path / "r18.pth"), strict=False)


def test_fine_tuning_wants_something_for_every_part(tmp_path):
    backbone = {k: v for k, v in Detector().state_dict().items() if k.startswith("backbone")}
    torch.save(backbone, tmp_path / "backbone.pth")
    with pytest.raises(UserError, match="0 of 2 in det_head"):
        load_weights(Detector(), str(tmp_path / "backbone.pth"), strict=False)


# ---- released files that need another config

CAFFE_MEAN = [122.67891434, 116.66876762, 104.00698793]


@pytest.mark.parametrize("prefix", ["91cef9af", "aa96e477"])
@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ("dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03", None),
        ("dbnet_r50dcnv2_fpnc_1200e_icdar2015", "style caffe .*mean .*std .*bgr_to_rgb False"),
        ("dbnet_r50dcnv2_fpnc_100k_synthtext", "style caffe"),
    ],
)
def test_files_of_mmocr_03_know_their_config(prefix, config, wrong):
    model = load_config(config).model
    model.backbone.init_cfg = None
    mismatch = find_mismatch(MODELS.build(model), prefix + "0" * 56, from_mhliao=False)
    if wrong is None:
        assert mismatch is None
    else:
        assert mismatch is not None
        assert prefix in mismatch
        assert re.search(wrong, mismatch)
        assert mismatch.endswith("use the config dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03")


class Styled(nn.Module):
    """As little of a detector as conventions can be read from."""

    def __init__(self, style="caffe", mean=CAFFE_MEAN, std=(255, 255, 255), bgr_to_rgb=False):
        super().__init__()
        block = nn.Module()
        strides = (2, 1) if style == "caffe" else (1, 2)
        block.conv3 = nn.Identity()  # a bottleneck
        block.conv1, block.conv2 = (nn.Conv2d(1, 1, 1, stride) for stride in strides)
        self.backbone = nn.Module()
        self.backbone.layer2 = nn.Sequential(block)
        self.data_preprocessor = TextDetDataPreprocessor(mean, std, bgr_to_rgb)


def test_conventions_are_read_off_the_layers():
    found = conventions_of(Styled("pytorch", (1, 2, 3), (4, 5, 6), True))
    assert found == dict(style="pytorch", mean=(1, 2, 3), std=(4, 5, 6), bgr_to_rgb=True)


@pytest.mark.parametrize(
    "changed",
    [
        dict(style="pytorch"),
        dict(mean=[123.675, 116.28, 103.53]),
        dict(std=[58.395, 57.12, 57.375]),
        dict(bgr_to_rgb=True),
    ],
)
def test_released_file_in_another_config_is_an_error_or_a_warning(
    tmp_path, monkeypatch, logged, changed
):
    path = tmp_path / "released.pth"
    torch.save(Styled().state_dict(), path)
    prefix = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    known = index.find_by_hash("91cef9af")
    monkeypatch.setattr(conventions, "find_by_hash", lambda _: replace(known, sha256=prefix))
    load_weights(Styled(), str(path))
    (key,) = changed
    with pytest.raises(UserError, match=f"released.pth: MMOCR's {prefix} needs {key}") as caught:
        load_weights(Styled(**changed), str(path))
    assert "\n" not in str(caught.value)
    target = Styled(**changed)
    load_weights(target, str(path), strict=False)
    level, message = logged[-1]
    assert level == logging.WARNING and f"needs {key}" in message
    assert torch.equal(
        target.backbone.layer2[0].conv1.weight,
        torch.load(path)["backbone.layer2.0.conv1.weight"],
    )
