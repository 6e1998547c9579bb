"""Where the time of a training step goes, in float32 and in bfloat16, and what the log costs.

    python benchmarks/train_step.py --size 640 --batch 4 --steps 4

One runner per precision, as `tools/train.py` builds it, on fixed pictures from memory; the two take
turns in one process. Printed, and written with `--json`, are medians per step in milliseconds:

data       waiting for the batch, collated in this process
forward    data preprocessor, backbone, neck and head
loss       the three losses and their gradient at the maps
backward   from the maps to the weights
optimizer  clipping, step, zeroing the gradients
runner     what is left of the step: hooks, log, loop

`--count` gives, for one step with bfloat16 and no log line, what a GPU would have to do: how many
operations, how many bytes they read and write at least, how often the host would wait for a value;
and how long an H100 would take for each (data sheet: 989 TFLOP/s, 3.35 TB/s).
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from torch import nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from dbnet.config.load import load_config
from dbnet.datasets.transforms import GenerateDBTargets, PackTextDetInputs
from dbnet.engine.runner import SafeRunner
from dbnet.models.losses import db_loss
from dbnet.registry import DATASETS

PARTS = ("data", "forward", "loss", "backward", "optimizer", "runner")
LAUNCH = 5e-6  # seconds of the host for one operation
WRAPPERS = dict(float32="OptimWrapper", bfloat16="Bfloat16OptimWrapper")


@DATASETS.register_module()
class DrawnScenes(Dataset):
    """Pictures of noise with eight words each, about 9 % of the pixels, made once.

    Args:
        side: Of the square images, pixels.
        count: Images of an epoch.
    """

    def __init__(self, side: int, count: int) -> None:
        self.samples = [self._draw(np.random.default_rng(i), side) for i in range(8)]
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: int | tuple[int, int]) -> dict:
        index = key[1] if isinstance(key, tuple) else key
        return self.samples[index % len(self.samples)]

    @staticmethod
    def _draw(rng: np.random.Generator, side: int) -> dict:
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (side * 0.21, side * 0.055)
        origins = [((i % 2) * 0.5 + 0.1, (i // 2) * 0.25 + 0.08) for i in range(8)]
        sample = dict(
            img=rng.integers(0, 255, (side, side, 3), dtype=np.uint8),
            img_path="noise.png",
            ori_shape=(side, side),
            img_shape=(side, side),
            polygons=[(corners + np.array(o) * side).astype(np.float32) for o in origins],
            ignored=[False] * 8,
        )
        return PackTextDetInputs()(GenerateDBTargets()(sample))


class Stopwatch:
    """Adds up the time that passes between marks, under the name of the part that ends there."""

    def __init__(self, device: torch.device, clock: Callable[[], float]) -> None:
        self.device = device
        self.clock = clock
        self.seconds: Counter[str] = Counter()
        self.last = clock()

    def mark(self, part: str) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = self.clock()
        self.seconds[part] += now - self.last
        self.last = now


class StepTimes(Hook):
    """Put marks between the parts of every step.

    Args:
        warmup: Steps that are not counted.
        clock: Gives seconds.
    """

    priority = "LOWEST"

    def __init__(self, warmup: int, clock: Callable[[], float]) -> None:
        self.warmup = warmup
        self.clock = clock
        self.steps: list[dict[str, float]] = []

    def before_train(self, runner: SafeRunner) -> None:
        model, wrapper = runner.model, runner.optim_wrapper
        self.watch = watch = Stopwatch(next(model.parameters()).device, self.clock)
        model.det_head.register_forward_hook(self._mark_maps)
        model.loss_module.register_forward_hook(lambda *_: watch.mark("loss"))
        wrapper.backward = marked(wrapper.backward, watch, "runner", "backward")
        wrapper.step = marked(wrapper.step, watch, "runner", "optimizer")
        wrapper.zero_grad = marked(wrapper.zero_grad, watch, "runner", "optimizer")

    def _mark_maps(self, module: nn.Module, inputs: tuple, maps: dict) -> None:
        self.watch.mark("forward")
        # What was computed last is differentiated first: the losses, then the binary map.
        maps["binary_map"].register_hook(lambda _: self.watch.mark("loss"))

    def before_train_iter(self, runner: SafeRunner, batch_idx: int, data_batch: dict) -> None:
        self.watch.mark("data")

    def after_train_iter(self, runner: SafeRunner, batch_idx: int, **_: object) -> None:
        self.watch.mark("runner")
        if batch_idx >= self.warmup:
            self.steps.append(dict(self.watch.seconds))
        self.watch.seconds.clear()


class Work(TorchDispatchMode):
    """Count the operations on tensors, views apart, and the bytes and products that they take."""

    READS = ("aten._local_scalar_dense.default", "aten.nonzero.default")

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = self.reads = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.reads += str(func) in self.READS
        made = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if made and not func.is_view and "empty" not in str(func) and "detach" not in str(func):
            used = [leaf for leaf in pytree.tree_leaves(args) if isinstance(leaf, torch.Tensor)]
            self.operations += 1
            self.bytes += sum(tensor.nbytes for tensor in {id(t): t for t in made + used}.values())
        return result


class CountWork(Hook):
    """Count the work of the second step; the first allocates the optimizer's state."""

    priority = "LOWEST"

    def before_train_iter(self, runner: SafeRunner, batch_idx: int, data_batch: dict) -> None:
        if batch_idx == 1:
            self.work = Work()
            self.flops = FlopCounterMode(display=False)
            self.flops.__enter__()
            self.work.__enter__()

    def after_train_iter(self, runner: SafeRunner, batch_idx: int, **_: object) -> None:
        if batch_idx == 1:
            self.work.__exit__(None, None, None)
            self.flops.__exit__(None, None, None)


def count(args: argparse.Namespace) -> None:
    db_loss._kth_largest_on_cpu = db_loss._kth_largest  # as on a GPU
    with tempfile.TemporaryDirectory() as work_dir:
        config = build_config(args, "bfloat16", work_dir)
        runner = SafeRunner.from_cfg(config)
        runner.register_hook(hook := CountWork())
        runner.train()
    work, flops = hook.work, hook.flops.get_total_flops()
    print(f"batch {args.batch} of {args.size}x{args.size}, bfloat16, one step without a log line:")
    print(f"{work.operations} operations, {work.bytes / 1e9:.1f} GB, {flops / 1e12:.2f} TFLOP")
    print(f"{work.reads} values that the host waits for")
    print(
        f"H100: {work.operations * LAUNCH * 1e3:.1f} ms to launch at {LAUNCH * 1e6:.0f} us each, "
        f"{work.bytes / 3.35e12 * 1e3:.1f} ms of memory, {flops / 989e12 * 1e3:.1f} ms of products"
    )


def marked(function: Callable, watch: Stopwatch, before: str, after: str) -> Callable:
    def call(*args: object, **kwargs: object) -> object:
        watch.mark(before)
        result = function(*args, **kwargs)
        watch.mark(after)
        return result

    return call


def build_config(args: argparse.Namespace, precision: str, work_dir: str) -> Config:
    config = load_config(args.config, {"model.backbone.init_cfg": None})
    loader = config.train_dataloader
    loader.dataset = dict(
        type="DrawnScenes", side=args.size, count=args.batch * (args.warmup + args.steps)
    )
    loader.update(batch_size=args.batch, num_workers=0, persistent_workers=False)
    for part in ("val_dataloader", "val_cfg", "val_evaluator"):
        config[part] = None
    config.train_cfg = dict(by_epoch=True, max_epochs=1)
    config.optim_wrapper.type = WRAPPERS[precision]
    config.custom_hooks = [hook for hook in config.custom_hooks if hook.type != "CurvesHook"]
    config.default_hooks.checkpoint = None
    config.visualizer.vis_backends = []
    config.log_level = "WARNING"
    config.work_dir = work_dir
    config.experiment_name = f"{precision}_{time.time_ns()}"
    return config


def measure(args: argparse.Namespace, precision: str) -> list[dict[str, float]]:
    """Train for some steps; return the seconds of each part of each."""
    clock = time.process_time if args.cpu_time else time.perf_counter
    with tempfile.TemporaryDirectory() as work_dir:
        runner = SafeRunner.from_cfg(build_config(args, precision, work_dir))
        runner.register_hook(times := StepTimes(args.warmup, clock))
        runner.train()
    return times.steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="dbnet_r18_fpnc_100e_icdar2015_scratch")
    parser.add_argument("--size", type=int, default=640, help="side of the square images")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3, help="counted steps of a round")
    parser.add_argument("--warmup", type=int, default=1, help="steps of a round before those")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each precision")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count CPU seconds instead of passed ones, on a shared machine, with one thread",
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--count", action="store_true", help="count the work, measure nothing")
    args = parser.parse_args()
    if args.count:
        count(args)
        return

    steps: dict[str, list[dict[str, float]]] = {precision: [] for precision in WRAPPERS}
    for _ in range(args.rounds):
        for precision, taken in steps.items():
            taken += measure(args, precision)

    table = {precision: summarise(taken) for precision, taken in steps.items()}
    print(f"{args.config}, batch {args.batch} of {args.size}x{args.size}", end=", ")
    print(f"{torch.get_num_threads()} threads, ms")
    print(f"{'':10}" + "".join(f"{name:>11}" for name in (*PARTS, "step", "beside")))
    for precision, row in table.items():
        cells = [f"{row[name]:11.1f}" for name in (*PARTS, "step")]
        print(f"{precision:10}{''.join(cells)}{row['beside']:11.1%}")
    print(f"float32 / bfloat16: {table['float32']['step'] / table['bfloat16']['step']:.2f}")
    if args.json:
        args.json.write_text(json.dumps(dict(settings=vars(args), ms=table), default=str, indent=1))


def summarise(steps: list[dict[str, float]]) -> dict[str, float]:
    """Reduce steps to medians in milliseconds, and the share beside the network's own work."""
    row = {part: 1e3 * statistics.median(step[part] for step in steps) for part in PARTS}
    row["step"] = 1e3 * statistics.median(sum(step.values()) for step in steps)
    row["beside"] = 1 - (row["forward"] + row["backward"]) / sum(row[part] for part in PARTS)
    return row


if __name__ == "__main__":
    main()
