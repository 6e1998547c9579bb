"""How fast is this GPU, and what does a training on it give? Everything in minutes, by one command.

    python benchmarks/gpu.py --out DIR [--minutes 9] [--data-root D] [--stages machine,step,...]
    python benchmarks/gpu.py --out DIR --dry-run        # all of it in miniature, on a CPU

Stages, each in a process of its own and with its own share of the time, in this order:

machine   what it is; the rates of a large copy and of large products, which the others are held
          against
tests     the tests that need a GPU
step      training steps of DBNet_r18 and r50dcnv2 at 640x640 in bfloat16: the network alone, then
          from images on the host, from images on the device, and with torch.compile
test      the network with post-processing, one image and eight, float32 and bfloat16
train     `dbnet train --max-minutes` with what time is left, and its weights in parts below 16 MiB
check     these weights on the validation images, which a training on all images has seen

Every figure is a line of DIR/results.jsonl and of DIR/table.txt as soon as it is there; what fails
or takes too long is such a line as well, with its traceback, and the next stage begins. Logs are in
DIR/logs.tar.gz. Without --data-root, generated pictures stand for the photos.
"""

import argparse
import json
import multiprocessing
import os
import signal
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gpu_stages

# Seconds of 540; `train` gets what is left before `check`.
SHARES = dict(machine=15, tests=75, step=75, test=40, train=300, check=35)
TRAINED = "dbnet_ppocrv6-small_gpu_icdar2015"


@dataclass
class Job:
    """What a stage needs to know.

    Attributes:
        out: Folder of the results.
        work: Folder of what is not kept.
        data_root: Of the annotation files.
        config: What is trained.
        dry: In miniature.
        start: `time.monotonic()` at the start.
        end: When all must be over.
        deadline: When this stage must be.
    """

    out: Path
    work: Path
    data_root: str
    config: str
    dry: bool
    start: float
    end: float
    deadline: float = 0.0

    def left(self) -> float:
        """Seconds of this stage that are left."""
        return self.deadline - time.monotonic()

    def report(self, stage: str, what: str, **figures: Any) -> None:
        """Add a line to both files, and print it."""
        row = dict(stage=stage, what=what, at=round(time.monotonic() - self.start, 1), **figures)
        with (self.out / "results.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        line = format_row(row)
        with (self.out / "table.txt").open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)

    def rows(self, stage: str) -> list[dict]:
        """Read what a stage has reported, in whichever process."""
        path = self.out / "results.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [row for row in map(json.loads, lines) if row["stage"] == stage]

    def attempt(self, stage: str, what: str, function: Callable[[], dict]) -> None:
        """Report the figures of a function, or its traceback."""
        if self.left() <= 0:
            self.report(stage, what, skipped="no time left")
            return
        try:
            self.report(stage, what, **function())
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self.report(stage, what, failed=reason[0], traceback=traceback.format_exc())


def format_row(row: dict) -> str:
    """Write a row as a line of the table.

    >>> format_row(dict(stage="test", what="r18", at=3.0, images_per_s=412.0, share=0.25))
    '    3 s  test     r18                                       images_per_s 412, share 0.25'
    """
    hidden = ("stage", "what", "at", "traceback")
    shown = [f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
             if k not in hidden]  # fmt: skip
    return f"{row['at']:5.0f} s  {row['stage']:8} {row['what']:40}  {', '.join(shown)}"


def run_stage(name: str, job: Job) -> None:
    """Run a stage in a process, which is stopped with all that it started when its time is over."""
    if not job.dry:
        share = SHARES[name] / sum(SHARES.values()) * (job.end - job.start)
        after = SHARES["check"] / sum(SHARES.values()) * (job.end - job.start)
        last = job.end - after if name == "train" else job.end
        job.deadline = last if name in ("train", "check") else min(time.monotonic() + share, last)
    else:
        job.deadline = time.monotonic() + 60
    # Forked before anything here touches the GPU: what a failed kernel leaves behind ends with it.
    process = multiprocessing.get_context("fork").Process(target=_in_group, args=(name, job))
    process.start()
    process.join(max(job.left(), 0) + 10)
    if process.is_alive():
        os.killpg(process.pid or 0, signal.SIGKILL)
        job.report(name, "the stage", failed="took longer than its share of the time; stopped")
    elif process.exitcode:
        job.report(name, "the stage", failed=f"its process ended with {process.exitcode}")
    process.join()


def _in_group(name: str, job: Job) -> None:
    os.setsid()
    try:
        gpu_stages.STAGES[name](job)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        job.report(name, "the stage", failed=first, traceback=traceback.format_exc())


def keep_logs(job: Job) -> None:
    """Put the logs and curves of `work` into one file: few and small files come back easily."""
    kinds = (".log", ".txt", ".json", ".png", ".py")
    with tarfile.open(job.out / "logs.tar.gz", "w:gz") as archive:
        for path in sorted((job.work / "logs").rglob("*")):
            if path.suffix in kinds and path.stat().st_size < 4 * 2**20:
                archive.add(path, path.relative_to(job.work / "logs"))


def stage_names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(SHARES):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the stages are {','.join(SHARES)}")
    return [name for name in SHARES if name in names]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure a GPU, and train on it.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results, new")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything (default: 9)")
    parser.add_argument("--data-root", help="folder of ICDAR2015's annotation files")
    parser.add_argument("--stages", type=stage_names, default=list(SHARES), metavar="A,B,...")
    parser.add_argument("--train", default=TRAINED, metavar="CONFIG", help="what is trained")
    parser.add_argument("--dry-run", action="store_true", help="everything in miniature")
    args = parser.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        parser.error(f"--out {args.out}: is not empty, choose another folder")
    if args.data_root and not Path(args.data_root, "textdet_train.json").is_file():
        parser.error(f"--data-root {args.data_root}: has no textdet_train.json; see dbnet prepare")
    return args


def main() -> None:
    start = time.monotonic()
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "logs").mkdir()
        given = args.data_root and Path(args.data_root).resolve()
        data_root = str(given or gpu_stages.make_data(Path(work) / "data", args.dry_run))
        end = start + 60 * args.minutes
        job = Job(args.out, Path(work), data_root, args.train, args.dry_run, start, end)
        for name in args.stages:
            run_stage(name, job)
        keep_logs(job)


if __name__ == "__main__":
    main()
