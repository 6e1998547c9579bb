"""Benchmarks beside a peer that is installed, yet cannot be imported."""

import ast
import hashlib
import importlib
import json
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


@pytest.mark.slow
def test_gpu_in_miniature(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/gpu.py"), "--out", str(out), "--dry-run"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert not [row for row in rows if "failed" in row or "skipped" in row]
    assert len((out / "table.txt").read_text().splitlines()) == len(rows)
    found = {row["stage"]: row for row in rows}
    assert list(found) == ["machine", "tests", "step", "test", "train", "check"]
    host = next(row for row in rows if row["what"].endswith(", host"))
    assert host["images_per_s"] == pytest.approx(2 / host["ms"] * 1e3)
    # Of the rate that the first stage found, however fast this machine was then.
    peak = next(row for row in rows if row["what"] == "product bfloat16")["flops_per_s"]
    tested = found["test"]  # the last one, of 2 images
    rate = tested["flops"] / (2 * tested["network_ms"] / 1e3)
    assert tested["share_of_products"] == pytest.approx(rate / peak)
    # Convolutions are counted as dbnet model-info does; forward and backward take 3 times forward.
    network = next(row for row in rows if row["what"].endswith(", network"))
    assert network["flops"] == pytest.approx(3 * 2 * 58.1e9 * (96 / 640) ** 2, rel=0.1)
    # The parts are joined by what the table says.
    parts = sorted(out.glob("weights*.part*"))
    digest, name = (out / "sha256.txt").read_text().split()
    assert hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest() == digest
    subprocess.run(found["train"]["join"], shell=True, cwd=out, check=True)
    assert (out / name).is_file() and len(list(out.iterdir())) <= 8 + 1


def test_a_failing_stage_is_reported_and_passed_over(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu

    def fail(job: gpu.Job) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setitem(gpu.gpu_stages.STAGES, "step", fail)
    monkeypatch.setitem(gpu.gpu_stages.STAGES, "test", lambda job: os._exit(7))
    monkeypatch.setitem(gpu.gpu_stages.STAGES, "check", lambda job: job.report("check", "all"))
    job = gpu.Job(tmp_path, tmp_path, "", "", False, gpu.time.monotonic(), gpu.time.monotonic() + 9)
    for name in ("step", "test", "check"):
        gpu.run_stage(name, job)
    step, test, check = map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())
    assert step["failed"] == "CUDA error: an illegal memory access was encountered"
    assert "in fail" in step["traceback"] and test["failed"] == "its process ended with 7"
    assert check["what"] == "all" and "failed" not in check


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_what_benchmarks_take_of_the_package_is_there(path: Path, monkeypatch) -> None:
    """Also inside functions; to run them all would take minutes."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    try:
        importlib.import_module(path.stem)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("dbnet"):
            raise  # a peer may be missing
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dbnet"):
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
