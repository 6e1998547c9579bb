"""Benchmarks beside a peer that is installed, yet cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenes import write_scenes

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "arguments",
    [
        "data_path.py --images 2 --rounds 1 --workers 0 --data-root {}",
        "targets.py --images 2 --rounds 1 --length 300 --data-root {}",
    ],
    ids=lambda arguments: arguments.split()[0],
)
def test_a_peer_that_cannot_be_imported(tmp_path: Path, arguments: str) -> None:
    write_scenes(tmp_path, 2)
    (tmp_path / "train.json").rename(tmp_path / "textdet_train.json")
    (tmp_path / "site" / "mmocr").mkdir(parents=True)
    (tmp_path / "site" / "mmocr" / "__init__.py").write_text("assert False, 'MMCV==2.2 is used'")
    script, *options = arguments.format(tmp_path).split()
    run = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *options],
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    lines = run.stdout.splitlines()
    reason = "mmocr cannot be imported: AssertionError: MMCV==2.2 is used"
    assert lines[0] == f"only ours is measured, {reason}"
    assert any(line.split()[:1] in (["0"], ["ours"]) for line in lines[1:])
