"""`dbnet.train`, and what the library prints: nothing."""

import threading

import numpy as np
import pytest

import dbnet
from dbnet.errors import UserError
from tests.scenes import write_config, write_scenes


@pytest.fixture
def config(tmp_path):
    return write_config(write_scenes(tmp_path, count=4), "tiny", epochs=2)


def test_training_returns_the_metrics_and_is_never_repeated_over_a_run(config, tmp_path):
    metrics = dbnet.train(config, work_dir=tmp_path / "run", seed=3)
    assert 0 <= metrics["icdar/official_hmean"] <= 1
    assert (tmp_path / "run" / "epoch_2.pth").exists()
    with pytest.raises(UserError, match="holds checkpoints already"):
        dbnet.train(config, work_dir=tmp_path / "run")
    with pytest.raises(UserError, match="has seed 3"):
        dbnet.train(config, work_dir=tmp_path / "run", resume="auto", seed=4)
    options = {"train_cfg.max_epochs": 3}
    dbnet.train(config, work_dir=tmp_path / "run", resume="auto", cfg_options=options)
    assert (tmp_path / "run" / "epoch_3.pth").exists()


def test_training_in_another_thread(config, tmp_path):
    """As in some notebooks, where signals cannot be caught."""
    metrics = {}
    arguments = dict(config=config, work_dir=tmp_path / "run")
    thread = threading.Thread(target=lambda: metrics.update(dbnet.train(**arguments)))
    thread.start()
    thread.join()
    assert "icdar/official_hmean" in metrics


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(data_root="nowhere"), "nowhere"),
        (dict(cfg_options={"model.neck.lateral": 3}), r"nearest: model\.neck.lateral_channels"),
        (dict(cfg_options={"optim_wrapper.optimizer.lr": -1.0}), "learning rate"),
        (dict(resume="missing.pth"), r"missing\.pth"),
    ],
)
def test_mistakes_are_user_errors(config, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        dbnet.train(config, work_dir=tmp_path / "run", **arguments)


def test_inference_prints_nothing(capfd):
    dbnet.TextDetInferencer()(np.zeros((64, 64, 3), np.uint8))
    assert capfd.readouterr().out == ""
