"""The clients of docs/deployment.md, as printed there, on exported files of the bright detector."""

import contextlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from dbnet.cli import export as export_tool
from tests.bright import PATCH_POLYGON, corners, draw_patch, write_bright

PAGE = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()


def client(name):
    [code] = re.findall(rf"<!-- client: {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    return code


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    root = tmp_path_factory.mktemp("bright")
    model = write_bright(root)
    assert export_tool.main([*model, "--out", str(root / "model.onnx")]) == 0
    cv = ["--layout", "opencv", "--size", "128,128"]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert export_tool.main([*model, "--out", str(root / "cv.onnx"), *cv]) == 0
    lines = printed.getvalue().split("next:\n")[1].splitlines()
    (root / "printed.py").write_text("\n".join(["import cv2", *map(str.strip, lines)]))
    return root


@pytest.fixture
def place(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "photo.jpg"), draw_patch(), [cv2.IMWRITE_JPEG_QUALITY, 100])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(code):
    names: dict = {}
    exec(compile(code, "client", "exec"), names)
    return names


def test_onnx_runtime_alone(bright, place):
    shutil.copy(bright / "model.onnx", place)
    code = client("onnxruntime")
    lines = [line for line in code.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) <= 24
    [quad] = run(code)["quads"]
    np.testing.assert_allclose(corners(quad), corners(PATCH_POLYGON), atol=1)


def test_rapidocr(bright, place):
    pytest.importorskip("rapidocr")
    shutil.copy(bright / "model.onnx", place)
    # As a program of its own: RapidOCR changes loggers.
    program = client("rapidocr") + "\nassert len(result.boxes) == 1\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    numbers = re.findall(r"\d+", done.stdout.split("(")[0])
    quad = np.float32(numbers[:8]).reshape(4, 2)
    np.testing.assert_allclose(corners(quad), corners(PATCH_POLYGON), atol=2)


@pytest.mark.parametrize("source", ["page", "printed"])
def test_opencv(bright, place, source):
    shutil.copy(bright / "cv.onnx", place / "model.onnx")
    code = client("opencv").replace("(1312, 736)", "(128, 128)")
    found = run(code if source == "page" else (bright / "printed.py").read_text())
    [quad] = found["quads"]
    np.testing.assert_allclose(corners(np.float32(quad)), corners(PATCH_POLYGON), atol=2)
    assert 0.8 < found["scores"][0] < 0.9
