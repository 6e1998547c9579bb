"""The stages of `gpu.py` that run commands: tests, training, and a check of what it gave."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
from gpu_rates import machine, step, test

from dbnet.checkpoints.publish import publish
from dbnet.config.load import load_config
from dbnet.datasets.synthetic_text_dataset import SyntheticTextDataset
from dbnet.utils.parallel import num_cores

ROOT = Path(__file__).resolve().parent.parent
PART = 15 * 2**20  # bytes


def tests(job: Any) -> None:
    words = [
        "tests/test_cuda.py",
        "tests/test_devices.py",
        "-m",
        "cuda",
        "-n",
        "0",
        "-q",
        "-rA",
        "-p",
        "no:cacheprovider",
    ]
    words += ["-x", "-k", "mining"] if job.dry else []
    output = run(job, "pytest", [sys.executable, "-m", "pytest", *words])
    lines = output.splitlines()
    for line in lines:
        if line.startswith(("FAILED", "ERROR")):
            job.report("tests", line.split(" - ")[0], failed=line.partition(" - ")[2])
    job.report("tests", "all", result=lines[-1].strip("= ") if lines else "no output")


def train(job: Any) -> None:
    work_dir = job.work / "logs" / "train"
    words = [job.config, "--amp", "--work-dir", str(work_dir), "--data-root", job.data_root]
    minutes = max(job.left() - 15, 1) / 60  # its weights are packed in the rest
    words += ["--cfg-options"] if job.dry else ["--max-minutes", f"{minutes:.3f}", "--cfg-options"]
    words += ["val_dataloader=None", "val_cfg=None", "val_evaluator=None"]
    words += [f"train_dataloader.num_workers={1 if job.dry else num_cores() // 2}"]
    if job.dry:
        parts = "train_dataloader.dataset.datasets"
        words += [f"{parts}.0.pipeline.1.size=96,96", f"{parts}.1.pipeline.0.size=96,96"]
        words += [f"{parts}.0.indices=4", f"{parts}.1.length=4", "train_dataloader.batch_size=2"]
        words += ["default_hooks.logger.interval=1", "train_cfg.max_iters=4"]
        words += ["param_scheduler.0.end=1", "param_scheduler.1.begin=1"]
    try:
        run(job, "train", dbnet_command("train", *words))
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        if not (work_dir / "last_checkpoint").exists():
            raise
        job.report("train", "last checkpoint is taken", failed=str(error))
    checkpoint = Path((work_dir / "last_checkpoint").read_text())
    scalars = next(work_dir.rglob("scalars.json")).read_text().splitlines()
    last = [row for row in map(json.loads, scalars) if "loss" in row][-1]
    job.report("train", job.config, steps=last["step"], loss=last["loss"])
    config = load_config(job.config)
    weights, _ = publish(str(checkpoint), config, "weights", job.work, half=True)
    job.report("train", "weights", join=split(weights, job.out))


def split(weights: Path, out: Path) -> str:
    """Write a file in parts, and its sha256; return the command that joins and checks them."""
    content = weights.read_bytes()
    for number, first in enumerate(range(0, len(content), PART)):
        (out / f"{weights.name}.part{number}").write_bytes(content[first : first + PART])
    digest = hashlib.sha256(content).hexdigest()
    (out / "sha256.txt").write_text(f"{digest}  {weights.name}\n")
    return f"cat {weights.name}.part? > {weights.name} && sha256sum -c sha256.txt"


def check(job: Any) -> None:
    weights = sorted(job.work.glob("weights*.pth"))
    if not weights:
        raise RuntimeError("there are no weights, as nothing was trained")
    words = [job.config, str(weights[0]), "--work-dir", str(job.work / "logs" / "check")]
    words += ["--data-root", job.data_root, "--amp", "--cfg-options"]
    words += ["test_dataloader.dataset.ann_file=textdet_val.json"]
    words += ["test_dataloader.num_workers=1"] if job.dry else []
    if job.dry:
        words += ["test_dataloader.dataset.indices=1"]
        words += ["test_dataloader.dataset.pipeline.1.scale=160,96"]
    output = run(job, "check", dbnet_command("test", *words))
    for line in output.splitlines():
        if found := re.match(r"(icdar|official): precision (\S+) recall (\S+) hmean (\S+)", line):
            keys = ("precision", "recall", "hmean")
            job.report("check", found[1], **dict(zip(keys, map(float, found.groups()[1:]))))


STAGES = dict(machine=machine, tests=tests, step=step, test=test, train=train, check=check)


def dbnet_command(command: str, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / "tools" / f"{command}.py"), *words]


def run(job: Any, name: str, words: list[str]) -> str:
    """Run a command, keep what it prints beside the other logs, and return that."""
    path = job.work / "logs" / f"{name}.txt"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with path.open("w") as file:
        process = subprocess.Popen(words, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT)
        try:
            process.wait(max(job.left() - 8, 1))
        except subprocess.TimeoutExpired:
            process.terminate()  # a training saves its state
            process.wait(6)
    output = path.read_text()
    if process.returncode and name != "pytest":
        lines = output.strip().splitlines() or ["no output"]
        raise RuntimeError(f"{name} ended with {process.returncode}: {lines[-1]}")
    return output


def make_data(folder: Path, dry: bool) -> Path:
    """Write generated pictures in place of photos, with the annotation files of ICDAR2015."""
    folder.mkdir(parents=True)
    size, count = ((320, 200), 4) if dry else ((1280, 720), 64)
    scenes, entries = SyntheticTextDataset(size, count, num_words=(3, 8), difficulty=0.5), []
    for index in range(count):
        scene, name = scenes.scene(index), scenes.image_name(index)
        cv2.imwrite(str(folder / name), scene.image)
        words = zip(scene.polygons, scene.ignored)
        texts = [dict(polygon=p.ravel().tolist(), ignore=bool(i)) for p, i in words]
        entries.append(dict(img_path=name, height=size[1], width=size[0], instances=texts))
    for part in ("train", "val", "test"):
        content = json.dumps(dict(metainfo={}, data_list=entries))
        (folder / f"textdet_{part}.json").write_text(content)
    return folder
