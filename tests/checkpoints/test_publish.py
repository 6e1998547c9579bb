"""Publishing a checkpoint: weights alone, named by their hash, with a card."""

import hashlib
import json

import pytest
import torch

from dbnet.checkpoints.read import load_weights
from dbnet.cli.publish import main
from dbnet.registry import MODELS

NAME = "dbnet_ppocrv6-small_3k_icdar2015"


@pytest.fixture(scope="module")
def model():
    from dbnet.config.load import load_config

    torch.manual_seed(0)
    return MODELS.build(load_config(NAME).model)


@pytest.fixture
def checkpoint(model, tmp_path):
    """Write what a run with an average of the weights writes, as mmengine lays it out."""
    path = tmp_path / "iter_7.pth"
    state = {**model.state_dict(), "det_head.counter": torch.tensor(3)}
    raw = {f"module.{key}": value + 1 for key, value in model.state_dict().items()}
    meta = dict(iter=7, epoch=0, seed=0)
    torch.save(
        dict(meta=meta, state_dict=state, ema_state_dict=raw, optimizer=dict(state={})), path
    )
    return path


def published(folder):
    (weights,), (card,) = folder.glob("*.pth"), folder.glob("*.md")
    return weights, card


def test_weights_are_named_by_their_hash_and_nothing_else_is_in_them(checkpoint, tmp_path, model):
    assert main([NAME, str(checkpoint), "--out", str(tmp_path / "out")]) == 0
    weights, card = published(tmp_path / "out")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert weights.name == f"{NAME}-{digest[:8]}.pth" and card.stem == weights.stem
    content = torch.load(weights, weights_only=True)
    assert set(content) == {"state_dict", "meta"} and set(content["meta"]) == {"config"}
    own = model.state_dict()
    assert all(torch.equal(content["state_dict"][key], own[key]) for key in own)


def test_float16_is_loaded_as_float32(model, tmp_path):
    torch.save(model.state_dict(), tmp_path / "a.pth")
    assert main([NAME, str(tmp_path / "a.pth"), "--out", str(tmp_path / "out"), "--fp16"]) == 0
    weights, card = published(tmp_path / "out")
    assert weights.stat().st_size < 0.55 * (tmp_path / "a.pth").stat().st_size
    other = MODELS.build(dict(_model_config()))
    load_weights(other, str(weights))
    for key, value in other.state_dict().items():
        assert value.dtype == (torch.int32 if key.endswith("graph_bytes") else torch.float32)
        # 11 significant bits; below 6e-5 the step is 6e-8
        torch.testing.assert_close(value, model.state_dict()[key], rtol=2**-11, atol=3e-8)
    assert "float16" in card.read_text()


def _model_config():
    from dbnet.config.load import load_config

    return load_config(NAME).model


def test_card_states_where_it_comes_from(checkpoint, tmp_path):
    metrics = {"icdar/hmean": 0.81234, "icdar/precision": 0.9}
    (tmp_path / "results.json").write_text(json.dumps(dict(metrics=metrics, images=[])))
    options = ["--results", str(tmp_path / "results.json"), "--data", "Street signs, CC BY 4.0"]
    assert main([NAME, str(checkpoint), "--out", str(tmp_path / "out"), *options]) == 0
    weights, card = published(tmp_path / "out")
    text = card.read_text()
    for line in (
        f"| config | `{NAME}` |",
        "| trained for | 7 steps |",
        "| averaged (EMA) | yes |",
        "| trained on | Street signs, CC BY 4.0 |",
        "| `icdar/hmean` | 0.8123 |",
        f"load_from={weights.name}",
        hashlib.sha256(weights.read_bytes()).hexdigest(),
    ):
        assert line in text
    # 2,453,353 of the published network and 23,185 of the threshold branch, and the counter
    assert "| parameters | 2.48 M |" in text


def test_data_of_the_config_where_none_is_named(checkpoint, tmp_path):
    assert main([NAME, str(checkpoint), "--out", str(tmp_path / "out")]) == 0
    text = published(tmp_path / "out")[1].read_text()
    assert "| trained on | `data/icdar2015/textdet_train.json` |" in text
    assert "None were given" in text


def test_same_weights_give_the_same_file_which_is_not_written_twice(checkpoint, tmp_path, capsys):
    arguments = [NAME, str(checkpoint), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    files = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert main(arguments) == 1
    assert "is there already" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == files and len(files) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), ("[]", 'no "metrics"'), ("{", 'no "metrics"')],
)
def test_wrong_results(checkpoint, tmp_path, capsys, content, message):
    path = tmp_path / "results.json"
    if content is not None:
        path.write_text(content)
    options = ["--out", str(tmp_path / "out"), "--results", str(path)]
    assert main([NAME, str(checkpoint), *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_checkpoint_without_weights(tmp_path, capsys):
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    assert main([NAME, str(tmp_path / "a.pth"), "--out", str(tmp_path / "out")]) == 1
    assert "holds no weights" in capsys.readouterr().err


def test_what_float16_cannot_hold_stays_float32(model, tmp_path):
    key = "det_head.threshold.0.bias"
    state = {**model.state_dict(), key: torch.full_like(model.state_dict()[key], 70_000.0)}
    torch.save(state, tmp_path / "a.pth")
    assert main([NAME, str(tmp_path / "a.pth"), "--out", str(tmp_path / "out"), "--fp16"]) == 0
    written = torch.load(published(tmp_path / "out")[0], weights_only=True)["state_dict"]
    assert torch.equal(written[key], state[key])
    others = [v.dtype for k, v in written.items() if k not in (key, "backbone.graph_bytes")]
    assert set(others) == {torch.float16}


def test_checkpoint_of_another_config(checkpoint, tmp_path, capsys):
    config = "dbnet_r18_fpnc_1200e_icdar2015"
    assert main([config, str(checkpoint), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert f"iter_7.pth does not fit the config {config}: " in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_files_of_other_names_stay(checkpoint, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{NAME}.pth").write_text("mine")
    assert main([NAME, str(checkpoint), "--out", str(out)]) == 0
    assert (out / f"{NAME}.pth").read_text() == "mine"
    assert len(list(out.iterdir())) == 3


def test_folder_that_cannot_be_written_to(checkpoint, tmp_path, capsys, monkeypatch):
    def refuse(path, content):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(tmp_path), "write_bytes", refuse)
    assert main([NAME, str(checkpoint), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.endswith(": Permission denied\n") and error.count("\n") == 1


def test_the_mean_of_two_checkpoints(model, tmp_path, capsys):
    state = model.state_dict()
    torch.save(state, tmp_path / "tuned.pth")
    start = {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}
    torch.save(dict(state_dict=start), tmp_path / "start.pth")
    command = [NAME, str(tmp_path / "tuned.pth"), "--out", str(tmp_path / "out")]
    command += ["--average", str(tmp_path / "start.pth"), "--share"]
    assert main([*command, "0.25"]) == 0
    weights, card = published(tmp_path / "out")
    written = torch.load(weights, weights_only=True)["state_dict"]
    for key, value in state.items():
        expected = value + 0.25 if value.is_floating_point() else value
        torch.testing.assert_close(written[key], expected, rtol=0, atol=1e-6)
    assert "| averaged with | `start.pth`, 0.25 of it |" in card.read_text()
    with pytest.raises(SystemExit):
        main([*command, "1.5"])
    torch.save({k: v[:1] if v.ndim else v for k, v in state.items()}, tmp_path / "start.pth")
    assert main([*command, "0.5"]) == 1
    assert "start.pth: has other weights than" in capsys.readouterr().err
