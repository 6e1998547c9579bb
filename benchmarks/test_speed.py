"""Time testing end to end, and part by part; measure the peak memory of a large, dense image.

    python benchmarks/test_speed.py CONFIG CHECKPOINT [--data-root D] [--num-images 40]
    python benchmarks/test_speed.py CONFIG --memory

The loops run in turn on the same images: mmengine's `TestLoop` and `OverlappedTestLoop`. The parts
are timed one after the other, without data workers.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from mmengine.runner import Runner
from postprocess import draw_page

from dbnet.checkpoints.read import load_weights
from dbnet.config.load import load_config
from dbnet.engine.evaluation_loops import OverlappedTestLoop
from dbnet.evaluation.matching import match_image
from dbnet.models.batch_norm_folding import fold_batch_norms

LOOPS = ("TestLoop", "OverlappedTestLoop")


def build(args: argparse.Namespace, loop: str, work_dir: str) -> Runner:
    options = {
        "test_cfg.type": loop,
        "test_dataloader.dataset.indices": args.num_images,
        "test_dataloader.num_workers": args.num_workers,
        "test_dataloader.persistent_workers": args.num_workers > 0,
        "model.backbone.init_cfg": None,
        "work_dir": work_dir,
        "log_level": "ERROR",
        "visualizer": dict(type="Visualizer"),
    }
    runner = Runner.from_cfg(load_config(args.config, options, args.data_root))
    if args.checkpoint:
        load_weights(runner.model, args.checkpoint)
    runner.model.eval()
    return runner


def wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@torch.no_grad()
def time_parts(runner: Runner) -> dict[str, float]:
    """Median milliseconds per image of each part of testing."""
    model, metric = runner.model, runner.test_evaluator.metrics[0]
    folded = fold_batch_norms(model)
    dataset, collate = runner.test_dataloader.dataset, runner.test_dataloader.collate_fn
    times: dict[str, list[float]] = defaultdict(list)

    def timed(name: str, function, *arguments, **settings):
        wait_for_device()
        start = time.perf_counter()
        result = function(*arguments, **settings)
        wait_for_device()
        times[name].append((time.perf_counter() - start) * 1e3)
        return result

    for index in range(len(dataset)):
        batch = collate([timed("load", dataset.__getitem__, index)])
        data = timed("preprocess", model.data_preprocessor, batch)
        prob_map = timed("forward", model, data["inputs"], mode="tensor")
        timed("forward, folded", folded, data["inputs"], mode="tensor")
        outputs = timed("postprocess", model.postprocessor, prob_map, data["metas"])
        timed("metric", metric.process, batch, outputs)
    return {name: statistics.median(values) for name, values in times.items()}


def time_loops(args: argparse.Namespace, runners: dict[str, Runner]) -> dict[str, float]:
    """Milliseconds per image of each loop, the fastest of some rounds, and their median ratio."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    metrics = {}
    for repeat in range(args.repeats + 1):
        for name, runner in runners.items():
            start = time.perf_counter()
            metrics[name] = runner.test()
            if repeat:  # the first one starts the workers and chooses algorithms
                times[name].append((time.perf_counter() - start) / args.num_images * 1e3)
    print("metrics of both loops:", *(f"{m['icdar/hmean']:.4f}" for m in metrics.values()))
    plain, overlapped = (times[name] for name in LOOPS)
    ratio = statistics.median(a / b for a, b in zip(plain, overlapped))
    return {**{name: min(values) for name, values in times.items()}, "ratio": ratio}


@torch.no_grad()
def peak_memory(runner: Runner, size: int = 4096, num_words: int = 2000) -> dict[str, float]:
    """Highest resident memory in GB after each stage of testing one image of `num_words` words.

    The map that the postprocessor gets is drawn, as the weights may not find any words.
    """

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9

    page = torch.from_numpy(draw_page(num_words, size, size))[None]
    model = fold_batch_norms(runner.model)
    peaks = {"before": peak()}
    (found,) = model.postprocessor(page, [dict(scale_factor=(1.0, 1.0))])
    peaks["postprocess"] = peak()
    words = [polygon + np.float32(1) for polygon in found["polygons"]]
    match_image(words, [False] * len(words), found["polygons"])
    peaks["metric"] = peak()
    image = torch.randint(256, (1, 3, size, size), dtype=torch.uint8)
    model(model.data_preprocessor(dict(inputs=image))["inputs"], mode="tensor")
    peaks["forward"] = peak()
    return {"words": len(words), **peaks}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time testing.")
    parser.add_argument("config")
    parser.add_argument("checkpoint", nargs="?")
    parser.add_argument("--data-root")
    parser.add_argument("--num-images", type=int, default=40)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="the peak memory instead of times")
    parser.add_argument("--out", type=Path, help="JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work_dir:
        runners = {name: build(args, name, work_dir) for name in LOOPS}
        assert isinstance(runners[LOOPS[1]].test_loop, OverlappedTestLoop)
        if args.memory:
            tables = {"peak memory, GB": peak_memory(runners[LOOPS[1]])}
        else:
            tables = {
                "part, ms": time_parts(runners[LOOPS[1]]),
                "loop, ms per image": time_loops(args, runners),
            }
    for title, table in tables.items():
        print(title)
        for name, value in table.items():
            print(f"  {name:20} {value:8.2f}")
    if args.out:
        args.out.write_text(json.dumps(tables, indent=2))


if __name__ == "__main__":
    main()
