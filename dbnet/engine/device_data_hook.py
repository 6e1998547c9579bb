import copy
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from dbnet.datasets.device import (
    DeviceBatchMaker,
    Planner,
    ShardKeySampler,
    collate_plans,
    fill_store,
    lay_out,
    pipeline_parts,
)
from dbnet.datasets.device.store import check_budget
from dbnet.datasets.samplers import EpochKeySampler, InfiniteKeySampler
from dbnet.datasets.text_det_dataset import TextDetDataset
from dbnet.errors import ImageError, UserError
from dbnet.images import read_shape
from dbnet.models.detectors.dbnet import unwrap
from dbnet.registry import HOOKS


@HOOKS.register_module()
class DeviceDataHook(Hook):
    """Keep the decoded training images on the model's device and make the batches there.

    This is the only switch: `default_hooks.device_data=dict(type="DeviceDataHook")`. The data
    workers then send what is drawn for a batch, a few kilobytes, in place of its pixels; pipeline,
    order and random numbers stay those of the config. Each of several processes keeps its share of
    the images and draws from that alone, see `ShardKeySampler`.

    Args:
        max_gb: Most that the images of a process may take, 10^9 bytes; None for half of what is
            free on a GPU.
    """

    def __init__(self, max_gb: float | None = None) -> None:
        self.max_gb = max_gb

    def before_train(self, runner: Runner) -> None:
        model: Any = unwrap(runner.model)
        loader: Any = runner.train_loop.dataloader
        check_loader(loader)
        rank, world_size = get_dist_info()
        crop, jitter, targets = pipeline_parts(loader.dataset.pipeline.transforms)
        items = range(rank, len(loader.dataset), world_size)
        paths = {item: loader.dataset.get_data_info(item)["img_path"] for item in items}
        shapes, failed = read_shapes(paths)
        layout = lay_out(shapes, crop.size)

        device = next(model.parameters()).device
        memory = check_budget(layout.num_pixels * 3, device, self.max_gb)
        runner.logger.info(f"device data: {len(shapes)} images take {memory} on {device}")
        store, undecoded = fill_store(layout, paths, device, runner.logger)
        failed |= undecoded
        for item, error in failed.items():
            loader.dataset.report_unreadable(item, error)

        planner = Planner(crop, jitter, targets, layout.versions)
        runner.train_loop.dataloader = planning_loader(
            loader, planner, substitutes_of(list(items), failed), device.type == "cuda"
        )
        maker = DeviceBatchMaker(store, crop.size, (targets.thresh_min, targets.thresh_max))
        self.handle = model.data_preprocessor.register_forward_pre_hook(maker.before_preprocessing)

    def after_train(self, runner: Runner) -> None:
        self.handle.remove()


def check_loader(loader: Any) -> None:
    """Refuse a loader whose samples do not come from image files by `SampleKey`."""
    _, world_size = get_dist_info()
    mistake = None
    if not isinstance(loader.dataset, TextDetDataset):
        mistake = f"dataset is a {type(loader.dataset).__name__}, not a TextDetDataset"
    elif not isinstance(loader.sampler, EpochKeySampler | InfiniteKeySampler):
        mistake = f"sampler is a {type(loader.sampler).__name__}, not an EpochKeySampler"
    elif loader.batch_size is None:
        mistake = "batch_sampler has no counterpart on the device"
    elif len(loader.dataset) < world_size:
        mistake = f"dataset has fewer images than there are processes, {world_size}"
    if mistake is not None:
        raise UserError(f"default_hooks.device_data: train_dataloader.{mistake}")


def read_shapes(
    paths: Mapping[int, str],
) -> tuple[dict[int, tuple[int, int]], dict[int, ImageError]]:
    """Read (H, W) from the headers of image files; return the errors of the others as well."""
    shapes, failed = dict[int, tuple[int, int]](), dict[int, ImageError]()
    for item, path in paths.items():
        try:
            shapes[item] = read_shape(path)
        except ImageError as error:
            failed[item] = error
    return shapes, failed


def substitutes_of(items: Sequence[int], failed: Collection[int]) -> dict[int, int]:
    """Find for each unreadable image the next one of this process that is not.

    Raises:
        UserError: There is none.
    """
    if len(failed) == len(items):
        raise UserError(f"default_hooks.device_data: none of {len(items)} images can be read")
    found = {}
    for place, item in enumerate(items):
        if item in failed:
            order = itertools.chain(items[place:], items[:place])
            found[item] = next(other for other in order if other not in failed)
    return found


def planning_loader(
    loader: DataLoader, planner: Planner, replaced: dict[int, int], pin_memory: bool
) -> DataLoader:
    """Copy a data loader to one whose workers plan samples, of this process's share of images.

    Args:
        loader: The loader of images.
        planner: Takes the place of its pipeline.
        replaced: For each unreadable image another one.
        pin_memory: Whether batches are copied from page-locked memory.
    """
    dataset: Any = copy.copy(loader.dataset)
    dataset.pipeline = planner
    dataset.substitutes = replaced
    dataset.images = None  # no pixels are read from the dataset's own cache
    sampler: Any = loader.sampler
    rank, world_size = get_dist_info()
    if world_size > 1:
        sampler = ShardKeySampler(len(dataset), rank, world_size, sampler.shuffle, sampler.seed)
    return DataLoader(
        dataset,
        batch_size=loader.batch_size,
        sampler=sampler,
        num_workers=loader.num_workers,
        collate_fn=collate_plans,
        pin_memory=pin_memory,
        drop_last=loader.drop_last,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )
