"""The stages of `gpu.py` that measure: the machine, training steps, testing."""

import logging
import platform
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import torch
from mmengine.registry import init_default_scope
from postprocess import draw_page
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from train_step import Work

from dbnet.cli.model_info import deform_conv_flops
from dbnet.config.load import load_config
from dbnet.datasets import InfiniteKeySampler, collate_text_det
from dbnet.datasets.device import collate_plans, plan_dataset
from dbnet.engine.evaluation_loops import start_fetching
from dbnet.engine.optim_wrapper import Bfloat16OptimWrapper
from dbnet.models.batch_norm_folding import fold_batch_norms
from dbnet.registry import DATASETS, MODELS
from dbnet.utils.parallel import in_order, num_cores

R18, R50 = "dbnet_r18_fpnc_1200e_icdar2015", "dbnet_r50dcnv2_fpnc_gpu_icdar2015"
SMALL = "dbnet_ppocrv6-small_3k_icdar2015"
init_default_scope("dbnet")


def machine(job: Any) -> None:
    facts: dict[str, Any] = dict(python=platform.python_version(), torch=torch.__version__)
    facts.update(cores=num_cores(), cv2=cv2.__version__)
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        facts.update(gpu=properties.name, gigabytes=properties.total_memory / 1e9)
        facts.update(cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version())
    job.report("machine", "facts", **facts)
    device, side = pick_device(), 256 if job.dry else 8192
    job.attempt("machine", "copy", partial(copy_rate, device, job.dry))
    for kind, tf32 in ((torch.bfloat16, False), (torch.float32, True), (torch.float32, False)):
        name = "TF32" if tf32 else str(kind).removeprefix("torch.")
        job.attempt("machine", f"product {name}", partial(product_rate, device, kind, side, tf32))


def copy_rate(device: torch.device, dry: bool) -> dict:
    source = torch.zeros(2**22 if dry else 2**32, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    seconds = seconds_of(lambda: target.copy_(source), device)
    return dict(bytes_per_s=2 * source.nbytes / seconds)


def product_rate(device: torch.device, dtype: torch.dtype, side: int, tf32: bool) -> dict:
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    left, right = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
    return dict(flops_per_s=2 * side**3 / seconds_of(lambda: left @ right, device))


def step(job: Any) -> None:
    torch.set_float32_matmul_precision("high")
    device = pick_device()
    torch.backends.cudnn.benchmark = True
    dataset = load_config(R18, data_root=job.data_root).train_dataloader.dataset
    # So few that the cache has them all after a few steps.
    dataset = {**dataset, "cache": "ram", "indices": 4 if job.dry else 64}
    if job.dry:
        dataset["pipeline"][1]["size"] = (96, 96)
    images = DATASETS.build(dataset)
    planned, maker = plan_dataset(images, device, None, logging.getLogger())
    alone: dict[tuple, float] = {}  # the network's own seconds
    models = [(R18, 2)] if job.dry else [(R18, 16), (R50, 16), (R18, 32), (R50, 32)]
    todo = [(*model, path) for model in models for path in ("network", "device", "host")]
    # What may pay off comes last: compiling takes as long as all others.
    todo += [(*models[0], "device, channels_last weights")]
    todo += [] if job.dry else [(R18, 16, "device, compiled")]
    for config, batch, path in todo:
        source = images if path == "host" else planned
        function = partial(step_rate, job, config, batch, path, source, maker, alone)
        job.attempt("step", f"{config.split('_')[1]}, batch {batch}, {path}", function)


def step_rate(
    job: Any, config: str, batch: int, path: str, dataset: Any, maker: Any, alone: dict
) -> dict:
    """Time training steps whose samples come one way."""
    device, planned = maker.store.device, not path.startswith("host")
    start_counting_memory()
    model: Any = build(config).to(device).train()
    if "channels_last" in path:
        model = model.to(memory_format=torch.channels_last)
    if planned:
        model.data_preprocessor.register_forward_pre_hook(maker.before_preprocessing)
    if "compiled" in path:
        model.forward = torch.compile(model.forward)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    wrapper = Bfloat16OptimWrapper(optimizer, clip_grad=dict(max_norm=5.0))
    loader = DataLoader(
        dataset,
        batch,
        sampler=InfiniteKeySampler(dataset, seed=0),
        num_workers=0 if job.dry else num_cores(),
        collate_fn=collate_plans if planned else collate_text_det,
        pin_memory=device.type == "cuda",
    )
    batches = iter(loader)
    figures: dict[str, Any] = {}
    budget = 0.1 if job.dry else 1.5
    if path == "network":
        made = model.data_preprocessor(next(batches), True)
        function = partial(network_step, model, made, wrapper)
        figures = work_of(function)
        alone[config, batch] = seconds = seconds_of(function, device, budget)
    else:
        function = lambda: model.train_step(next(batches), wrapper)  # noqa: E731
        seconds = seconds_of(function, device, budget)
        figures["share_of_network"] = alone.get((config, batch), 0.0) / seconds
    figures = dict(images_per_s=batch / seconds, ms=1e3 * seconds, **figures)
    figures.update(shares(job, figures, seconds), **memory(device))
    if not path.startswith(("network", "host")):
        figures["minutes_for_1200_epochs"] = 1200 * 1000 / figures["images_per_s"] / 60
    return figures


def network_step(model: Any, data: dict, wrapper: Any) -> None:
    with wrapper.optim_context(model):
        losses = model(**data, mode="loss")
    wrapper.update_params(sum(losses.values()))


def test(job: Any) -> None:
    device = pick_device()
    torch.backends.cudnn.benchmark = True
    sizes = (("r18", R18, 1312, 736), ("r50dcnv2", R50, 1824, 1024),
             ("small", SMALL, 1312, 736), ("small", SMALL, 1824, 1024))  # fmt: skip
    for name, config, width, height in sizes[2:3] if job.dry else sizes:
        shape = (96, 160) if job.dry else (height, width)
        for kind in (torch.bfloat16, torch.float32):
            for batch in (1, 2 if job.dry else 8):
                what = f"{name} at {height}, batch {batch}, {str(kind).removeprefix('torch.')}"
                function = partial(test_rate, job, config, shape, batch, kind, device)
                job.attempt("test", what, function)


@torch.no_grad()
def test_rate(
    job: Any, config: str, shape: tuple, batch: int, kind: torch.dtype, device: torch.device
) -> dict:
    """Time images on the host to polygons; the texts are those of a page of 20 words."""
    start_counting_memory()
    model: Any = build(config).eval().to(device, memory_format=torch.channels_last)
    network = model if kind == torch.bfloat16 else fold_batch_norms(model)
    images = dict(inputs=torch.randint(256, (batch, 3, *shape), dtype=torch.uint8))
    page = torch.from_numpy(draw_page(20, *shape)).to(device).expand(batch, -1, -1)
    metas = [dict(scale_factor=(1.0, 1.0))] * batch

    def maps() -> Tensor:
        with torch.autocast(device.type, kind, enabled=kind == torch.bfloat16):
            return network(model.data_preprocessor(images, False)["inputs"], mode="tensor")

    def texts() -> Iterator[Callable[[], list]]:
        for _ in range(count):
            maps()
            fetch = start_fetching(page.contiguous())
            yield lambda fetch=fetch: model.postprocessor(fetch(), metas)

    figures = work_of(maps)
    seconds = seconds_of(maps, device, 0.1 if job.dry else 0.5)
    count = 2 if job.dry else max(int(1.0 / max(seconds, 1e-3)), 3)
    start = time.perf_counter()
    found = sum(len(result[0]["polygons"]) for result in in_order(texts(), 1, 2))
    whole = (time.perf_counter() - start) / count
    return dict(
        images_per_s=batch / whole,
        network_ms=1e3 * seconds / batch,
        texts=found // count,
        **figures,
        **shares(job, figures, seconds),
        **memory(device),
    )


def pick_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build(config: str) -> nn.Module:
    model = load_config(config).model
    backbone = {key: value for key, value in model.backbone.items() if key != "init_cfg"}
    return MODELS.build({**model, "backbone": backbone})


def seconds_of(function: Callable[[], object], device: torch.device, budget: float = 0.3) -> float:
    """Mean seconds of a call, over as many as fit into `budget`, after three that do not count."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(3 if device.type == "cuda" else 1):
        function()
    wait()
    start, count = time.perf_counter(), 0
    while count < 2 or time.perf_counter() - start < budget:
        function()
        count += 1
        if count % 4 == 0:
            wait()  # else a queue of calls would outlast the budget
    wait()
    return (time.perf_counter() - start) / count


def work_of(function: Callable[[], object]) -> dict:
    """Count products and bytes of a call, as `train_step.py --count` does, with deformable ones."""
    operators = torch.ops.torchvision
    own = {
        operators.deform_conv2d: deform_conv_flops,
        operators._deform_conv2d_backward: deform_backward_flops,
    }
    function()  # allocates the optimizer's state
    with FlopCounterMode(display=False, custom_mapping=own) as flops, Work() as work:
        function()
    return dict(flops=flops.get_total_flops(), bytes=work.bytes, operations=work.operations)


def deform_backward_flops(
    grad: Any, inputs: Any, weight: Any, *_: object, out_shape: Any, **__: object
) -> int:
    return 2 * deform_conv_flops(inputs, weight, out_shape=grad)


def shares(job: Any, figures: dict, seconds: float) -> dict:
    """Compare with the rates that the stage `machine` has measured."""
    rates = {row["what"]: row for row in job.rows("machine")}
    result = {}
    if "flops" in figures and "flops_per_s" in rates.get("product bfloat16", {}):
        peak = rates["product bfloat16"]["flops_per_s"]
        result["share_of_products"] = figures["flops"] / seconds / peak
    if "bytes" in figures and "bytes_per_s" in rates.get("copy", {}):
        result["share_of_memory"] = figures["bytes"] / seconds / rates["copy"]["bytes_per_s"]
    return result


def start_counting_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def memory(device: torch.device) -> dict:
    if device.type == "cuda":
        return dict(peak_gb=torch.cuda.max_memory_allocated(device) / 1e9)
    return dict(peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)
