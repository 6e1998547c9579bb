"""Time the training data path on the CPU, beside MMOCR 1.0.1's on the same images.

    python benchmarks/data_path.py --data-root data/icdar2015 --out data_path.json

needs the prepared training set. MMOCR's columns need MMOCR 1.0.1 and mmdet importable; without
them only ours is timed. Each side runs the pipeline of its own ICDAR2015 config, from the file to
the batch with its target maps; MMOCR draws those in its loss, so its `get_targets` is timed too.

Each side has a process of its own. They take turns within every round, so that whatever else the
machine does hits all of them; without workers all are bound to the same core. Printed are images
per second of wall time, and per second of a core: of the processor time that the process and its
workers took. All are medians over the rounds, and the factors medians of each round's.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from peers import importable
from torch.utils.data import DataLoader

from dbnet.config.load import load_config
from dbnet.datasets import EpochKeySampler, TextDetDataset, collate_text_det

OURS = "dbnet_r18_fpnc_1200e_icdar2015"
MMOCR = ".mim/configs/textdet/dbnet/dbnet_resnet18_fpnc_1200e_icdar2015.py"
MODULES = ("mmocr", "mmocr.datasets", "mmocr.models", "mmocr.registry", "mmocr.utils")
BATCH = 16  # of both configs
WARM_UP = 1  # epochs

Epoch = Callable[[int], object]


def ours(args: argparse.Namespace, workers: int, cache: str | None) -> Epoch:
    """Build our loader; the result iterates over one epoch."""
    DefaultScope.get_instance("ours", scope_name="dbnet")
    dataset = TextDetDataset(
        ann_file="textdet_train.json",
        data_root=args.data_root,
        pipeline=load_config(OURS).train_dataloader.dataset.pipeline,
        indices=args.images,
        cache=cache,
    )
    sampler = EpochKeySampler(dataset, seed=0)
    loader = make_loader(dataset, workers, sampler=sampler, collate_fn=collate_text_det)

    def epoch(number: int) -> None:
        sampler.set_epoch(number)
        exhaust(loader)

    return epoch


def mmocr(args: argparse.Namespace, workers: int) -> Epoch:
    """Build MMOCR's loader and loss; the result iterates over one epoch and draws its targets."""
    from mmengine.dataset import pseudo_collate
    from mmocr.registry import DATASETS, MODELS
    from mmocr.utils import register_all_modules

    register_all_modules()
    DefaultScope.get_instance("theirs", scope_name="mmocr")
    spec = importlib.util.find_spec("mmocr")
    assert spec and spec.origin  # it has just been imported
    config = Config.fromfile(Path(spec.origin).parent / MMOCR)
    dataset = DATASETS.build(
        dict(
            type="OCRDataset",
            data_root=args.data_root,
            ann_file="textdet_train.json",
            pipeline=config.train_pipeline,
            indices=args.images,
        )
    )
    loss = MODELS.build(dict(type="DBModuleLoss"))
    loader = make_loader(dataset, workers, shuffle=True, collate_fn=pseudo_collate)
    return lambda number: exhaust(loss.get_targets(batch["data_samples"]) for batch in loader)


def make_loader(dataset: torch.utils.data.Dataset, workers: int, **kwargs: Any) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=BATCH,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=single_threaded,
        **kwargs,
    )


def exhaust(iterable: Iterable) -> None:
    for _ in iterable:
        pass


def single_threaded(worker: int = 0) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def serve(link: Connection, core: int | None, build: Callable, arguments: tuple) -> None:
    """Build a side in this process, then time one epoch for every number that comes in."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    single_threaded()
    epoch = build(*arguments)
    for number in iter(link.recv, None):
        wall, core_time = time.perf_counter(), cpu_seconds()
        epoch(number)
        link.send((time.perf_counter() - wall, cpu_seconds() - core_time))


def cpu_seconds() -> float:
    """Give the processor time of this process and its workers."""
    pids = [os.getpid(), *(child.pid or 0 for child in multiprocessing.active_children())]
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)  # clock_getcpuclockid(3)


Seconds = dict[str, list[tuple[float, float]]]  # wall and processor time, by side


def measure(args: argparse.Namespace, workers: int, beside_mmocr: bool) -> Seconds:
    """Time each side in each round, after an epoch that starts workers and fills caches."""
    builds: dict[str, tuple[Callable, tuple]] = {
        "decoding": (ours, (args, workers, None)),
        "cache": (ours, (args, workers, "ram")),
    }
    if beside_mmocr:
        builds["mmocr"] = mmocr, (args, workers)
    core = min(os.sched_getaffinity(0)) if workers == 0 else None
    context = multiprocessing.get_context("fork")
    sides = {}
    seconds: Seconds = {name: [] for name in builds}
    for name, (build, arguments) in builds.items():
        link, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, core, build, arguments))
        process.start()
        sides[name] = link, process
    for number in range(WARM_UP + args.rounds):
        for name, (link, process) in sides.items():
            link.send(number)
            while not link.poll(timeout=1):
                if not process.is_alive():
                    for _, other in sides.values():
                        other.terminate()  # it would wait for its next number for ever
                    raise SystemExit(f"{name}: its process has died")
            seconds[name].append(link.recv())
    for link, process in sides.values():
        link.send(None)
        process.join()
    return {name: values[WARM_UP:] for name, values in seconds.items()}


def summarise(seconds: Seconds, images: int) -> dict[str, dict[str, float]]:
    """Give images per second and per second of a core, and the factors over MMOCR."""
    result: dict[str, dict[str, float]] = {}
    for name, values in seconds.items():
        row = result[name] = {}
        for i, kind in enumerate(("wall", "core")):
            row[kind] = images / statistics.median(value[i] for value in values)
            if "mmocr" in seconds:
                factors = [theirs[i] / own[i] for theirs, own in zip(seconds["mmocr"], values)]
                row[f"{kind}_factor"] = statistics.median(factors)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the training data path.")
    parser.add_argument("--data-root", default="data/icdar2015", help="folder")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, help="JSON file")
    args = parser.parse_args()
    beside_mmocr = importable(*MODULES)
    rows: dict[int, dict] = {}
    print("workers  side      images/s  per core  factors over mmocr")
    for workers in args.workers:
        rows[workers] = summarise(measure(args, workers, beside_mmocr), args.images)
        for name, row in rows[workers].items():
            factors = [f"{row[key]:5.1f}" for key in ("wall_factor", "core_factor") if key in row]
            rates = f"{row['wall']:8.1f}  {row['core']:8.1f}"
            print(f"{workers:7}  {name:9} {rates}  {' '.join(factors)}")
    if args.out:
        content = dict(images=args.images, rounds=args.rounds, torch=torch.__version__)
        args.out.write_text(json.dumps({**content, "opencv": cv2.__version__, "workers": rows}))


if __name__ == "__main__":
    main()
