"""What commands must not import, as it takes long. No time is measured."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dbnet.cli.main import COMMANDS

HEAVY = ("torch", "numpy", "cv2", "mmengine", "yaml", "mmcv", "torchvision", "matplotlib", "scipy")
NOT_TO_INFER = (
    *("matplotlib", "mmcv.cnn", "mmengine.runner", "scipy", "sympy", "tensorboard", "torchvision"),
    *("dbnet.data_check", "dbnet.engine", "dbnet.labels", "dbnet.synthetic"),
)
PROGRAM = """
import sys
from dbnet.cli.main import main
sys.argv[0] = "dbnet"
try:
    status = main()
except SystemExit as stop:
    status = stop.code
print(status, *sys.modules, file=open({path!r}, "w"))
"""


def run(tmp_path, *arguments):
    """Exit status, and the names of the imported modules."""
    path = tmp_path / "modules.txt"
    program = PROGRAM.format(path=str(path))
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        check=True,
    )
    status, *modules = path.read_text().split()
    return int(status), set(modules)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(tmp_path, command):
    status, modules = run(tmp_path, command, "--help")
    assert status == 0
    assert modules.isdisjoint({*HEAVY} - {"yaml"})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "x.py", "--seed", "-1"], 2),
        (["train", "dbnet_r81"], 1),
        (["infer", "x.jpg"], 2),
        (["test", "x.py", "x.pth", "--cfg-options", "a"], 2),
        (["check", "a.json", "--test-size", "5"], 2),
    ],
)
def test_mistakes_in_arguments_import_nothing_heavy(tmp_path, arguments, expected):
    status, modules = run(tmp_path, *arguments)
    assert status == expected
    assert modules.isdisjoint({*HEAVY} - {"yaml"})


def test_infer_imports_what_it_needs_only(tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((120, 300, 3), 128, np.uint8))
    status, modules = run(tmp_path, "infer", "photo.png", "--out", "found")
    assert status == 0 and (tmp_path / "found" / "results.json").exists()
    assert modules.isdisjoint(NOT_TO_INFER)
    assert "torch" in modules
