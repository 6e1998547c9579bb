"""From an ONNX file of another project to a fine-tuned detector, by the commands a user types."""

import json

import pytest
import torch

import dbnet
from dbnet.checkpoints.read import read_checkpoint
from dbnet.cli.main import run
from tests.onnx_graphs import detector, write
from tests.scenes import write_scenes

CONFIG = "dbnet_ppocr_finetune_icdar2015"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = write_scenes(tmp_path_factory.mktemp("foreign"), count=4)
    write(detector(opset=14, norms=True, identities=True), folder / "det.onnx")
    return folder


def options(root, iters):
    loaders = [
        f"{split}_dataloader.{key}"
        for split in ("train", "val", "test")
        for key in ("num_workers=0", f"dataset.data_root={root}", "dataset.ann_file=train.json")
    ]
    return [
        *loaders,
        "train_dataloader.batch_size=2",
        "train_dataloader.dataset.pipeline.1.size=(64,64)",
        f"train_cfg.max_iters={iters}",
        f"train_cfg.val_interval={iters}",
        "param_scheduler.0.end=2",
        "param_scheduler.1.begin=2",
        "default_hooks.checkpoint.interval=2",
        "default_hooks.logger.interval=1",
    ]


def overrides(root, iters, **more):
    pairs = [pair.split("=", 1) for pair in options(root, iters)]
    numbers = {k: int(v) if v.isdecimal() else v for k, v in pairs}
    numbers["train_dataloader.dataset.pipeline.1.size"] = (64, 64)
    return {**numbers, **more}


def test_trained_stopped_and_resumed_without_the_file(root, tmp_path):
    file = tmp_path / "moved.onnx"
    file.write_bytes((root / "det.onnx").read_bytes())
    work_dir = tmp_path / "work"
    first = overrides(root, 4, **{"model.backbone.file": str(file)})
    dbnet.train(CONFIG, work_dir=work_dir, cfg_options=first)
    file.unlink()
    whole = read_checkpoint(str(work_dir / "iter_4.pth"))["state_dict"]
    (work_dir / "iter_4.pth").unlink()  # as if the run had been killed after step 3
    (work_dir / "last_checkpoint").write_text(str(work_dir / "iter_2.pth"))

    dbnet.train(CONFIG, work_dir=work_dir, resume="auto", cfg_options=overrides(root, 4))
    resumed = read_checkpoint(str(work_dir / "iter_4.pth"))["state_dict"]
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())
    found = dbnet.TextDetInferencer(CONFIG, work_dir / "iter_4.pth")(str(root / "img_0.png"))
    assert set(found[0]) == {"polygons", "scores"}

    further = overrides(root, 3, load_from=str(work_dir / "iter_4.pth"))
    dbnet.train(CONFIG, work_dir=tmp_path / "further", cfg_options=further)
    assert (tmp_path / "further" / "iter_3.pth").is_file()


def test_commands_take_the_file_as_it_comes(root, tmp_path, capsys):
    file, out = str(root / "det.onnx"), tmp_path / "found"
    assert run("infer", [str(root / "img_0.png"), "--checkpoint", file, "--out", str(out)]) == 0
    assert len(json.loads((out / "results.json").read_text())["images"]) == 1
    assert run("model-info", [file, "--size", "64,64", "--json", "--device", "cpu"]) == 0
    info = json.loads(capsys.readouterr().out.split("image: ")[-1].partition("\n")[2])
    assert info["config"] == "det"
    # The file's, as in tests/models/test_onnx_graph.py, and a threshold branch: 20-5 3x3, 5-5, 5-1.
    assert info["parameters"]["total"] == 2512 + 50 + 905 + 105 + 21
    results = tmp_path / "results.json"
    arguments = [CONFIG, file, "--work-dir", str(tmp_path / "test"), "--out", str(results)]
    assert run("test", [*arguments, "--cfg-options", *options(root, 4)]) == 0
    assert "icdar/hmean" in json.loads(results.read_text())["metrics"]


def test_a_published_checkpoint_needs_no_file(root, tmp_path):
    net = dbnet.init_detector(CONFIG, root / "det.onnx")
    torch.save({"state_dict": net.state_dict()}, tmp_path / "trained.pth")
    assert (
        run("publish", [CONFIG, str(tmp_path / "trained.pth"), "--out", str(tmp_path / "p")]) == 0
    )
    [weights] = (tmp_path / "p").glob("*.pth")
    again = dbnet.init_detector(CONFIG, weights)
    assert torch.equal(again.backbone.graph_bytes, net.backbone.graph_bytes)


def test_mistakes_are_one_line(root, tmp_path, capsys):
    (root / "broken.onnx").write_bytes(b"\x00\x01")
    for arguments in (
        ("model-info", [str(root / "broken.onnx")]),
        ("model-info", [CONFIG]),
        ("test", ["dbnet_r18_fpnc_1200e_icdar2015", str(root / "det.onnx")]),
        ("infer", [str(root / "img_0.png"), "--checkpoint", "no.onnx", "--out", str(tmp_path)]),
    ):
        assert run(*arguments) == 1, arguments
        *_, last = capsys.readouterr().err.strip().splitlines()
        assert last.startswith("error: ")
