"""Time how long commands take to start, as shares of `import torch`.

    python benchmarks/startup.py [--runs N] [--commands NAME ...]

Each is run in a process of its own, in turns, and its median is printed. The goal: help and
mistakes in arguments below 0.33, `dbnet infer` of a photo of 300x120 pixels below 1.6.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from dbnet.cli.main import COMMANDS

DBNET = [sys.executable, "-c", "import sys; from dbnet.cli.main import main; sys.exit(main())"]
MISTAKES = {
    "train": ["x.py", "--seed", "-1"],
    "test": ["x.py"],
    "infer": ["photo.jpg"],
    "check": ["a.json", "--test-size", "5"],
    "convert": ["a.pth", "b.pth", "--from", "nowhere"],
}


def seconds(command: list[str], status: int = 0) -> float:
    """Time a process, which must end with `status`."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != status:
        raise SystemExit(f"{command}: status {done.returncode}\n{done.stderr}")
    return time.perf_counter() - start


def infer(photo: Path) -> float:
    with tempfile.TemporaryDirectory() as out:
        return seconds([*DBNET, "infer", str(photo), "--out", f"{out}/found", "--device", "cpu"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), help="for --help")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        cv2.imwrite(str(photo), np.full((120, 300, 3), 128, np.uint8))
        jobs = {"import torch": lambda: seconds([sys.executable, "-c", "import torch"])}
        for name in args.commands:
            jobs[f"{name} --help"] = lambda name=name: seconds([*DBNET, name, "--help"])
        for name, words in MISTAKES.items():
            mistake = [*DBNET, name, *words]
            jobs[f"{name}, a mistake"] = lambda mistake=mistake: seconds(mistake, status=2)
        jobs["infer of a photo"] = lambda: infer(photo)
        times = [{name: job() for name, job in jobs.items()} for _ in range(args.runs + 1)]
    medians = {name: statistics.median(run[name] for run in times[1:]) for name in jobs}
    for name, median in medians.items():
        print(f"{name:20} {median:6.2f} s {median / medians['import torch']:6.2f}")


if __name__ == "__main__":
    main()
