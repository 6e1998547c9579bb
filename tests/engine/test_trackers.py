"""A run logs to Weights & Biases and to MLflow without network, by a line of the config each."""

import json
import sys
from pathlib import Path

import pytest

from dbnet.cli import train
from tests.scenes import write_config, write_scenes

EVALUATOR = 'val_evaluator = dict(type="HmeanIOUMetric", bootstrap=200)\n'
BACKENDS = "visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), {}])\n"
INTERVAL = {"icdar/hmean", "icdar/hmean_low", "icdar/hmean_high"}


def run(tmp_path, backend):
    root = write_scenes(tmp_path, count=4)
    config = write_config(root, "logged", epochs=1, extra=EVALUATOR + BACKENDS.format(backend))
    assert train.main([config, "--work-dir", str(tmp_path / "work")]) == 0
    (log,) = (tmp_path / "work").glob("*/vis_data/scalars.json")
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logged = []
    log = wandb.sdk.wandb_run.Run.log

    def note(self, data, *args, **kwargs):
        logged.append(data)
        return log(self, data, *args, **kwargs)

    monkeypatch.setattr(wandb.sdk.wandb_run.Run, "log", note)
    written = run(tmp_path, "dict(type='WandbVisBackend', init_kwargs=dict(project='words'))")
    names = set().union(*logged)
    assert names >= {"loss_prob", "lr", *INTERVAL}
    (figures,) = [data for data in logged if "icdar/hmean" in data]
    assert figures["icdar/hmean_low"] <= figures["icdar/hmean"] <= figures["icdar/hmean_high"]
    assert figures["icdar/hmean"] == written[-1]["icdar/hmean"]
    (file,) = Path(tmp_path / "work").glob("*/vis_data/wandb/offline-run-*/run-*.wandb")
    assert file.stat().st_size > 0


def test_mlflow_in_a_folder(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    written = run(tmp_path, "dict(type='MLflowVisBackend', exp_name='words')")
    (folder,) = (tmp_path / "work").glob("*/vis_data")
    mlflow.set_tracking_uri(f"file://{folder}")
    (entry,) = mlflow.search_runs(experiment_names=["words"], output_format="list")
    metrics = entry.data.metrics
    assert metrics.keys() >= {"loss_prob", "lr", *INTERVAL}
    assert metrics["icdar/hmean_low"] <= metrics["icdar/hmean"] <= metrics["icdar/hmean_high"]
    assert metrics["icdar/hmean"] == pytest.approx(written[-1]["icdar/hmean"])


def test_a_package_that_is_missing_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    root = write_scenes(tmp_path, count=4)
    extra = BACKENDS.format("dict(type='WandbVisBackend')")
    config = write_config(root, "logged", epochs=1, extra=extra)
    assert train.main([config, "--work-dir", str(tmp_path / "work")]) == 1
    expected = 'error: Please run "pip install wandb" to install wandb'
    assert capsys.readouterr().err.splitlines()[-1] == expected
