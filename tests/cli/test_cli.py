import os
import re
import subprocess
import sys
from argparse import Namespace

import cv2
import numpy as np
import pytest
import torch

from dbnet.cli import main as console
from dbnet.cli import test as test_tool
from dbnet.cli import train as train_tool
from dbnet.cli.console import one_line_errors
from dbnet.errors import UserError
from tests.scenes import write_config, write_scenes

R18 = "dbnet_r18_fpnc_1200e_icdar2015"
SCRATCH = "dbnet_r18_fpnc_100e_icdar2015_scratch"


def one_line(capsys):
    """The one line that a tool has printed to standard error, after mmengine's log."""
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dbnet_r18_fpnc_1200e_icdar2051"], f"nearest: {R18}"),
        ([R18, "--cfg-options", "traincfg.max_epochs=3"], "nearest: train_cfg.max_epochs"),
        ([SCRATCH, "--data-root", "nowhere"], r"nowhere/textdet_train\.json not found"),
        ([R18, "--resume", "missing.pth"], r"missing\.pth"),
        ([SCRATCH, "--launcher", "pytorch"], "start with `torchrun"),
        ([SCRATCH, "--cfg-options", "model.backbone.style=foo"], "style must be .* got .foo"),
    ],
)
def test_mistakes_in_training_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    assert train_tool.main([*arguments, "--work-dir", str(tmp_path / "work")]) == 1
    assert re.search(message, one_line(capsys))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("optim_wrapper.optimizer.lr=-1", "learning rate"),
        ("train_dataloader.batch_size=0", "batch_size"),
        ("train_dataloader.num_workers=-1", "num_workers"),
        ("train_dataloader.dataset.indices=99999999,3", "index"),
        ("train_dataloader.dataset.indices=0", "dataset.indices=0 leaves no image"),
        ("train_cfg.val_interval=0", "train_cfg.val_interval=0: give 1 or more"),
        ("param_scheduler.0.begin=50", "param_scheduler.0.begin=50.*such as --cfg-options"),
        ("train_dataloader.dataset.pipeline.1.size=100,100", "crops of 100x100 pixels"),
        ("train_dataloader.dataset.pipeline=[3]", "TextDetDataset.*transform must be"),
        ("train_dataloader.dataset.ann_file=empty.json", "empty.json: data_list is empty"),
        ("train_dataloader.dataset.data_root={root}/train.json", "--data-root is the folder"),
    ],
)
def test_values_that_parts_refuse_are_one_line(tmp_path, capsys, option, message):
    root = write_scenes(tmp_path, count=2)
    (root / "empty.json").write_text('{"metainfo": {}, "data_list": []}')
    config = write_config(root, "refused", epochs=1)
    words = [config, "--work-dir", str(tmp_path / "work"), "--cfg-options"]
    assert train_tool.main([*words, option.format(root=root)]) == 1
    assert re.search(message, one_line(capsys), re.IGNORECASE)


def test_mistakes_in_testing_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = "dbnet_r50dcnv2_fpnc_100k_synthtext"
    assert test_tool.main([name, "x.pth", "--work-dir", "work"]) == 1
    assert "no test_dataloader" in one_line(capsys)


@pytest.mark.parametrize(
    "arguments", [[], ["x.py", "--launcher", "mpi"], ["x.py", "--seed", "a"], ["x", "--seed", "-1"]]
)
def test_unreadable_arguments_exit_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        train_tool.main(arguments)
    assert stop.value.code == 2
    capsys.readouterr()


def test_ctrl_c_is_one_line(capsys):
    def main():
        raise KeyboardInterrupt

    assert one_line_errors(main) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_workers_exception_is_shortened_to_its_message(capsys):
    def main():
        raise UserError(
            "Caught UserError in DataLoader worker process 0.\nOriginal Traceback (most recent "
            'call last):\n  File "x.py", line 1\ndbnet.errors.UserError: image a.jpg: damaged\n'
        )

    assert one_line_errors(main) == 1
    assert one_line(capsys) == "error: image a.jpg: damaged"


def allocate_on_the_cpu():
    torch.empty(1 << 60, dtype=torch.uint8)


def allocate_an_array():
    np.empty(1 << 60, dtype=np.uint8)


def allocate_an_image():
    cv2.resize(np.zeros((1, 1), np.float64), (1 << 30, 1 << 30))


def allocate_on_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 ...")


@pytest.mark.parametrize(
    ("allocate", "reason"),
    [
        (allocate_on_a_gpu, "CUDA out of memory"),
        (allocate_on_the_cpu, f"out of memory: tried to allocate {1 << 60} bytes"),
        (allocate_an_array, "out of memory: Unable to allocate 1.00 EiB"),
        (allocate_an_image, "out of memory: Failed to allocate"),
    ],
)
def test_out_of_memory_gives_a_hint(capsys, allocate, reason):
    assert one_line_errors(allocate) == 1
    line = one_line(capsys)
    assert line.startswith(f"error: {reason}")
    assert "; lower train_dataloader.batch_size" in line


def test_other_errors_of_libraries_pass():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        one_line_errors(lambda: torch.ones(2, 3) @ torch.ones(2, 3))


@pytest.mark.parametrize(("words", "status"), [([], 0), (["--help"], 0), (["trian"], 2)])
def test_console_script_lists_its_commands(monkeypatch, capsys, words, status):
    monkeypatch.setattr(sys, "argv", ["dbnet", *words])
    assert console.main() == status
    output = capsys.readouterr().out
    assert all(command in output for command in ("train", "test", "evaluate", "prepare"))


def test_console_script_hands_arguments_on(monkeypatch):
    given = Namespace()
    monkeypatch.setattr(sys, "argv", ["dbnet", "train", R18, "--amp"])
    monkeypatch.setattr(train_tool, "main", lambda args: setattr(given, "args", args) or 7)
    assert console.main() == 7
    assert (given.args.config, given.args.amp) == (R18, True)


FIFOS = [
    ("infer fifo --out out", "image fifo: is a FIFO, not a file"),
    ("infer /dev/zero --out out2", "image /dev/zero: is a device or socket, not a file"),
    (f"infer a.png --config {R18} --checkpoint fifo --out out3", "fifo: is a FIFO or device"),
    ("infer a.png --config fifo --checkpoint a --out out4", "fifo: is a FIFO or device"),
    ("check fifo", "fifo: is a FIFO"),
    ("evaluate --pred fifo --gt fifo", "fifo: is a FIFO"),
    ("evaluate --pred fifo.json --gt fifo.json", "fifo.json: is a FIFO"),
    ("evaluate --pred fifo.zip --gt fifo.zip", "fifo.zip: is a FIFO"),
    ("convert fifo new.pth", "fifo: is a FIFO"),
    ("convert fifo.onnx new.pth", "fifo.onnx: is a FIFO"),
    (f"test {R18} a.pth --submit fifo.zip", "fifo.zip is there already"),
    (f"test {R18} a.pth --out fifo.json", "fifo.json is there already"),
    ("prepare labelme --raw fifo --out out5", "fifo"),
    ("plot-log fifo --out curves.png", "fifo"),
]
RUN_ALL = """
import sys
from dbnet.cli.main import run
for line in sys.stdin.read().splitlines():
    assert run(line.split()[0], line.split()[1:]) == 1, line
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_no_command_waits_for_a_fifo_or_device(tmp_path):
    for name in ("fifo", "fifo.json", "fifo.zip", "fifo.onnx"):
        os.mkfifo(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input="\n".join(command for command, _ in FIFOS),
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(FIFOS)
    for error, (command, message) in zip(errors, FIFOS):
        assert message in error, command


@pytest.mark.parametrize(
    "message",
    [
        "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)",
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that "
        "dataloader's workers are out of shared memory.",
    ],
)
def test_a_small_dev_shm_is_one_line(capsys, message):
    def work():
        raise RuntimeError(message)

    assert one_line_errors(work) == 1
    assert "--shm-size=2g" in one_line(capsys)


def test_a_missing_libgl_is_one_line(capsys):
    def work():
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    assert one_line_errors(work) == 1
    error = one_line(capsys)
    assert error.startswith("error: OpenCV: libGL.so.1 is missing; install it")
    assert "libgl1" in error and "opencv-python-headless" in error
