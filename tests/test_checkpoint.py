import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from dbnet.checkpoint import load_weights, read_checkpoint, rename_key
from dbnet.errors import UserError


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


def test_checkpoint_of_mmocr_0x_with_leftovers(tmp_path):
    source, target = Detector(), Detector()
    state = {k.replace("det_head.", "bbox_head."): v for k, v in source.state_dict().items()}
    history = HistoryBuffer()
    history.update(1.5)
    leftovers = dict(
        meta=dict(seed=3, epoch=np.int64(4)),
        optimizer=dict(state={}),
        message_hub=dict(loss=history),
    )
    torch.save(dict(state_dict=state, **leftovers), tmp_path / "old.pth")
    load_weights(target, str(tmp_path / "old.pth"))
    for name, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[name], value)


def test_bare_state_dict(tmp_path):
    source, target = Detector(), Detector()
    torch.save(source.state_dict(), tmp_path / "bare.pth")
    load_weights(target, str(tmp_path / "bare.pth"))
    torch.testing.assert_close(target.backbone.weight, source.backbone.weight)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile_was_here",)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "no|not"),
        (lambda path: path.write_bytes(b"nonsense"), "checkpoint"),
        (lambda path: path.write_bytes(pickle.dumps(Hostile())), "refused"),
        (lambda path: torch.save(dict(state_dict=Hostile()), path), "refused"),
        (lambda path: torch.save([1, 2], path), "holds a list"),
        (lambda path: torch.save({"other.weight": torch.zeros(1)}, path), "4 keys of the model"),
        (
            lambda path: torch.save({**Detector().state_dict(), "x": torch.zeros(1)}, path),
            "1 of its keys",
        ),
        (
            lambda path: torch.save(
                {**Detector().state_dict(), "det_head.weight": torch.zeros(5, 2)}, path
            ),
            r"does not fit the config: .*det_head\.weight",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, write, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "file.pth"
    write(path)
    with pytest.raises(UserError, match=message) as caught:
        load_weights(Detector(), str(path))
    assert "file.pth" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "hostile_was_here").exists()


def test_truncated_file(tmp_path):
    path = tmp_path / "file.pth"
    torch.save(Detector().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"file\.pth"):
        read_checkpoint(str(path))


def test_fine_tuning_takes_what_fits(tmp_path):
    source, target = Detector(), Detector()
    backbone = {k: v for k, v in source.state_dict().items() if k.startswith("backbone")}
    torch.save(backbone, tmp_path / "backbone.pth")
    load_weights(target, str(tmp_path / "backbone.pth"), strict=False)
    torch.testing.assert_close(target.backbone.weight, source.backbone.weight)
    torch.save({"other.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="another config"):
        load_weights(target, str(tmp_path / "other.pth"), strict=False)
