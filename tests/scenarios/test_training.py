"""The tools from config to metric, on pictures that the test makes."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModule

from dbnet.cli import test as test_tool
from dbnet.cli import train as train_tool
from dbnet.models import FPNC
from dbnet.registry import HOOKS, MODELS
from dbnet.visualization.curves import read_scalars
from tests.scenes import write_config, write_scenes


@HOOKS.register_module(force=True)
class StopAfterEpoch(Hook):
    def __init__(self, epoch):
        self.epoch = epoch

    def after_train_epoch(self, runner):
        if runner.epoch + 1 == self.epoch:
            runner.train_loop.stop_training = True


def losses(work_dir):
    train, _ = read_scalars(Path(work_dir))
    return [(record["step"], record["loss"], record["lr"]) for record in train]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), count=8)


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """Work directory of 30 epochs, 60 steps, on 8 pictures."""
    work_dir = tmp_path_factory.mktemp("work") / "run"
    config = write_config(scenes, "trained", epochs=30, save_every=30, tiny=False)
    assert train_tool.main([config, "--work-dir", str(work_dir), "--seed", "1"]) == 0
    return work_dir, config


@pytest.mark.slow
def test_training_learns_to_find_the_words(trained):
    work_dir, _ = trained
    train, evaluation = read_scalars(work_dir)
    first, last = train[0], train[-1]
    # The head starts at P = 0.25 with a threshold of 0.5, where the losses are known: 5 x 0.562
    # and a little more for what the features add; 1 - Dice near 1.
    assert first["loss_prob"] == pytest.approx(5 * 0.5623, rel=0.1)
    assert first["loss_db"] == pytest.approx(1, abs=0.01)
    # Seen: 2.91 -> 0.90, 1.19 -> 0.43, 1.00 -> 0.09.
    assert last["loss_prob"] < 1.3
    assert last["loss_thr"] < 0.6
    assert last["loss_db"] < 0.2
    assert evaluation[-1]["icdar/hmean"] >= 0.9
    assert (work_dir / "curves.png").stat().st_size > 10_000
    assert list(work_dir.glob("*/vis_data/events.out.tfevents.*"))


@pytest.mark.slow
def test_test_tool_gives_the_metrics_of_training(trained, tmp_path, capsys):
    work_dir, config = trained
    out, show = tmp_path / "out" / "results.json", tmp_path / "shown"
    checkpoint = str(work_dir / "epoch_30.pth")
    arguments = [config, checkpoint, "--out", str(out), "--show-dir", str(show)]
    assert test_tool.main([*arguments, "--work-dir", str(tmp_path / "work")]) == 0
    lines = capsys.readouterr().out.splitlines()
    results = json.loads(out.read_text())
    _, evaluation = read_scalars(work_dir)
    for key in ("precision", "recall", "hmean", "official_hmean", "max_hmean"):
        assert results["metrics"][f"icdar/{key}"] == pytest.approx(evaluation[-1][f"icdar/{key}"])
    hmean = results["metrics"]["icdar/hmean"]
    assert lines[-2].startswith("icdar: precision") and f"hmean {hmean:.4f} (score" in lines[-2]
    assert lines[-1].startswith("official: precision")
    assert len(results["images"]) == 8
    for image in results["images"]:
        assert len(image["polygons"]) == len(image["scores"])
        assert all(len(polygon) == 8 for polygon in image["polygons"])
    shown = sorted(path.name for path in show.iterdir())
    assert shown == [*(f"img_{i}.jpg" for i in range(8)), "worst.jpg"]


@pytest.mark.slow
def test_training_is_reproducible_and_another_seed_differs(scenes, tmp_path):
    runs = []
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        config = write_config(scenes, name, epochs=1)
        train_tool.main([config, "--work-dir", str(tmp_path / name), "--seed", str(seed)])
        runs.append(losses(tmp_path / name))
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_run_gives_the_very_losses_of_the_uninterrupted_one(scenes, tmp_path, workers):
    whole = write_config(scenes, f"whole{workers}", epochs=3, workers=workers)
    stopped = write_config(
        scenes,
        f"stopped{workers}",
        epochs=3,
        workers=workers,
        extra='custom_hooks = [dict(type="StopAfterEpoch", epoch=1)]',
    )
    train_tool.main([whole, "--work-dir", str(tmp_path / "whole"), "--seed", "5"])
    train_tool.main([stopped, "--work-dir", str(tmp_path / "part"), "--seed", "5"])
    assert [step for step, *_ in losses(tmp_path / "part")] == [1, 2]
    # No --seed: the checkpoint's counts.
    assert train_tool.main([whole, "--work-dir", str(tmp_path / "part"), "--resume"]) == 0
    assert losses(tmp_path / "part") == losses(tmp_path / "whole")
    final = [torch.load(tmp_path / d / "epoch_3.pth", weights_only=True) for d in ("part", "whole")]
    for name, value in final[0]["state_dict"].items():
        torch.testing.assert_close(value, final[1]["state_dict"][name], rtol=0, atol=0)


@pytest.mark.slow
def test_mistakes_around_a_work_directory(trained, tmp_path, capsys):
    work_dir, config = trained
    before = sorted(path.name for path in work_dir.iterdir())
    assert train_tool.main([config, "--work-dir", str(work_dir)]) == 1
    assert "holds checkpoints already" in capsys.readouterr().err
    arguments = [config, "--work-dir", str(work_dir), "--resume", "--seed", "2"]
    assert train_tool.main(arguments) == 1
    assert "has seed 1" in capsys.readouterr().err
    assert sorted(path.name for path in work_dir.iterdir()) == before


@pytest.mark.slow
def test_a_checkpoint_of_another_model_is_not_resumed(trained, scenes, tmp_path, capsys):
    checkpoint = trained[0] / "epoch_30.pth"
    other = write_config(scenes, "other", 31, extra="model = dict(det_head=dict(norm=False))")
    arguments = [other, "--work-dir", str(tmp_path), "--resume", str(checkpoint)]
    assert train_tool.main(arguments) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    # Each branch lacks two batch norms of five entries, and its first convolution has a bias.
    assert error.startswith(f"error: checkpoint {checkpoint}: is of another model, 22 of its ")


@pytest.mark.slow
def test_images_without_text_train(scenes, tmp_path):
    content = json.loads((scenes / "train.json").read_text())
    for entry in content["data_list"]:
        entry["instances"] = []
    (scenes / "empty.json").write_text(json.dumps(content))
    # Without the hook that stops a run in which nothing counts.
    config = write_config(scenes, "empty", epochs=1, extra="custom_hooks = []")
    options = [
        "train_dataloader.dataset.ann_file=empty.json",
        "val_dataloader.dataset.ann_file=empty.json",
    ]
    assert train_tool.main([config, "--work-dir", str(tmp_path), "--cfg-options", *options]) == 0
    assert [loss for _, loss, _ in losses(tmp_path)] == pytest.approx([1, 1], abs=0.01)  # Dice


@pytest.mark.slow
@pytest.mark.parametrize("native", [True, False])
def test_amp_on_a_cpu(scenes, tmp_path, monkeypatch, native):
    monkeypatch.setattr("dbnet.engine.start.has_fast_bfloat16", lambda: native)
    config = write_config(scenes, f"amp{native}", epochs=1)
    assert train_tool.main([config, "--work-dir", str(tmp_path), "--amp"]) == 0
    written = (tmp_path / f"amp{native}.py").read_text()
    assert ("Bfloat16OptimWrapper" in written) == native
    assert all(loss < 10 for _, loss, _ in losses(tmp_path))


@MODELS.register_module(force=True)
class InitialisedNeck(FPNC, BaseModule):
    """A user's part with an `init_cfg`, which mmengine applies before it loads weights."""

    def __init__(self, in_channels):
        BaseModule.__init__(self, init_cfg=dict(type="Constant", layer="Conv2d", val=0.0))
        neck = FPNC(in_channels)
        self.lateral_convs, self.smooth_convs = neck.lateral_convs, neck.smooth_convs
        self.asf_attn, self.out_channels = neck.asf_attn, neck.out_channels


@pytest.mark.slow
def test_loaded_weights_outlive_a_parts_own_initialisation(trained, scenes, tmp_path):
    work_dir, _ = trained
    config = write_config(
        scenes, "ownneck", 1, extra='model = dict(neck=dict(type="InitialisedNeck", _delete_=True))'
    )
    weights = work_dir / "epoch_30.pth"
    options = [f"load_from={weights}", "optim_wrapper.optimizer.lr=0.0"]
    assert train_tool.main([config, "--work-dir", str(tmp_path), "--cfg-options", *options]) == 0
    key = "neck.lateral_convs.0.conv.weight"
    before, after = (
        torch.load(path, weights_only=True)["state_dict"][key]
        for path in (weights, tmp_path / "epoch_1.pth")
    )
    torch.testing.assert_close(after, before)


@pytest.mark.slow
def test_fine_tuning_starts_from_the_weights(trained, scenes, tmp_path):
    work_dir, _ = trained
    config = write_config(scenes, "finetune", epochs=1, tiny=False)
    options = [f"load_from={work_dir / 'epoch_30.pth'}", "optim_wrapper.optimizer.lr=1e-5"]
    assert train_tool.main([config, "--work-dir", str(tmp_path), "--cfg-options", *options]) == 0
    _, first, _ = losses(tmp_path)[0]
    trained_losses = [loss for _, loss, _ in losses(work_dir)]
    assert first < 0.5 * trained_losses[0]
