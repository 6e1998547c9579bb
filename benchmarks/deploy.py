"""Time exported models, PyTorch and RapidOCR's detector side by side, from files to polygons.

    python benchmarks/deploy.py --images DIR --models DIR [--count 100] [--threads 2]
        [--sizes 736 1024] [--rapidocr PYTHON] [--json deploy.json]

Each side is a process of its own, with the threads given, that waits while others work. They take
turns on blocks of ten images, so that a machine that slows down does so for all: the last two
columns, medians of the blocks' quotients, say more than the seconds. On a machine that others use,
trust processor time at one thread: threads that wait for each other cost what the others take.
DIR of --models holds files of `dbnet export`, named after their precision: fp32.onnx, int8.onnx,
fp32.xml, bf16.xml, int8.xml; those that are not there are left out. RapidOCR is measured if PYTHON,
by default this one, can import `rapidocr`; its detector runs alone, on images whose short side it
makes as long as ours.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

BLOCK = 10  # images
RATIO = 2.0  # of the long side's limit to the short one's; more than any photo has
REFERENCE = "RapidOCR"
FILES = ("fp32.onnx", "int8.onnx", "fp32.xml", "bf16.xml", "int8.xml")

Detect = Callable[[Sequence[str]], int]


def ours(size: int, model: str, amp: bool) -> Detect:
    """Detector of this project: an exported file, or the package's model in PyTorch."""
    from dbnet import TextDetInferencer

    limits = (round(size * RATIO), size)
    if model:
        from dbnet.deploy.exported_network import ExportedNetwork

        inferencer = TextDetInferencer.of(ExportedNetwork(model, test_size=limits))
    else:
        import dbnet.cli.lean_mmengine  # noqa: F401  # as `dbnet infer` does
        from dbnet.config.load import load_config
        from dbnet.weights import shipped_model

        name, checkpoint = shipped_model()
        config = load_config(name, test_size=limits)
        inferencer = TextDetInferencer(config, checkpoint, amp=amp)
    return lambda paths: sum(len(texts["scores"]) for texts in inferencer.stream(paths))


def rapidocr(size: int, model: str, amp: bool) -> Detect:
    """RapidOCR's detector alone, in ONNX Runtime."""
    from rapidocr import RapidOCR

    threads = int(os.environ["OMP_NUM_THREADS"])
    settings = {
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "Det.limit_type": "min",
        "Det.limit_side_len": size,
        "Global.log_level": "error",
    }
    engine = RapidOCR(params=settings)

    def detect(paths: Sequence[str]) -> int:
        found = [engine(p, use_det=True, use_cls=False, use_rec=False) for p in paths]
        return sum(0 if one.boxes is None else len(one.boxes) for one in found)

    return detect


def work(kind: str, size: int, model: str, amp: bool) -> None:
    """Answer each line of paths by seconds and texts; the first answer says that all is loaded."""
    detect = {"ours": ours, "rapidocr": rapidocr}[kind](size, model, amp)
    print("ready", flush=True)
    for line in sys.stdin:
        start, begin = time.perf_counter(), time.process_time()
        texts = detect(json.loads(line))
        seconds = time.perf_counter() - start, time.process_time() - begin
        print(json.dumps([*seconds, texts]), flush=True)


class Side:
    """A process that detects when it is asked to."""

    def __init__(self, arguments: Sequence[str], python: str, threads: int) -> None:
        command = [python, __file__, "--work", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout
        self.seconds: list[float] = []
        self.processor: list[float] = []
        self.texts = 0
        self.works = any(line.strip() == "ready" for line in iter(self.output.readline, ""))

    def detect(self, paths: Sequence[str], count: bool = True) -> None:
        print(json.dumps(list(paths)), file=self.input, flush=True)
        seconds, processor, texts = json.loads(self.output.readline())
        if count:
            self.seconds.append(seconds)
            self.processor.append(processor)
            self.texts += texts


def measure(size: int, paths: Sequence[str], args: argparse.Namespace) -> list[dict]:
    """Let all sides detect the texts of all images, at one size; a row for each."""
    wanted = {
        REFERENCE: (["rapidocr", str(size), "", ""], args.rapidocr),
        "PyTorch float32": (["ours", str(size), "", ""], sys.executable),
        "PyTorch bfloat16 (as dbnet infer)": (["ours", str(size), "", "amp"], sys.executable),
    }
    for name in FILES:
        if (file := args.models / name).exists():
            wanted[name] = (["ours", str(size), str(file), ""], sys.executable)
    sides = {name: Side(*one, args.threads) for name, one in wanted.items()}
    for name, side in sides.items():
        if not side.works:
            print(f"{name}: not measured, it does not start")
    sides = {name: side for name, side in sides.items() if side.works}
    blocks = [paths[i : i + BLOCK] for i in range(0, len(paths), BLOCK)]
    for side in sides.values():
        side.detect(paths[:2], count=False)
    for block in blocks:
        for side in sides.values():
            side.detect(block)
    for side in sides.values():
        side.input.close()
        side.process.wait()
    return [row(name, side, sides.get(REFERENCE), size, len(paths)) for name, side in sides.items()]


def row(name: str, side: Side, reference: Side | None, size: int, count: int) -> dict:
    """Summarise a side; `speed` and `thrift` are quotients of time and of processor time."""

    def quotient(own: Sequence[float], other: Sequence[float]) -> float:
        return statistics.median(b / a for a, b in zip(own, other)) if other else float("nan")

    return dict(
        side=name,
        size=size,
        seconds=sum(side.seconds) / count,
        processor=sum(side.processor) / count,
        texts=side.texts,
        speed=quotient(side.seconds, reference.seconds if reference else []),
        thrift=quotient(side.processor, reference.processor if reference else []),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", type=int, nargs="+", default=[736, 1024])
    parser.add_argument("--rapidocr", default=sys.executable, help="a Python that has it")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    from dbnet.images import find_images

    paths = find_images([args.images])[: args.count]
    rows = []
    print("| side | short side | texts | s | CPU s | RapidOCR's s / own | RapidOCR's CPU s / own |")
    print("|---|---|---|---|---|---|---|")
    for size in args.sizes:
        for one in measure(size, paths, args):
            rows.append(one)
            print(
                f"| {one['side']} | {size} | {one['texts']} | {one['seconds']:.3f} "
                f"| {one['processor']:.3f} | {one['speed']:.2f} | {one['thrift']:.2f} |",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        _, _, kind, size, model, amp = sys.argv
        work(kind, int(size), model, bool(amp))
    else:
        main()
