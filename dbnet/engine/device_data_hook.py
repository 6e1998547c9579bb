from typing import Any

from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from dbnet.datasets.device import ShardKeySampler, collate_plans, plan_dataset
from dbnet.datasets.samplers import EpochKeySampler, InfiniteKeySampler
from dbnet.errors import UserError
from dbnet.models.detectors.dbnet import unwrap
from dbnet.registry import HOOKS


@HOOKS.register_module()
class DeviceDataHook(Hook):
    """Keep the training images on the model's device, decoded or drawn, and make the batches there.

    This is the only switch: `default_hooks.device_data=dict(type="DeviceDataHook")`. The data
    workers then send what is drawn for a batch, a few kilobytes, in place of its pixels; pipeline,
    order and random numbers stay those of the config. Each of several processes keeps its share of
    the images and draws from that alone, see `PlannedDataset`.

    The dataset is a `TextDetDataset`, a `SyntheticTextDataset`, whose scenes all cores draw before
    the first step, or several in a `ConcatDataset`.

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
        device = next(model.parameters()).device
        dataset, maker = plan_dataset(loader.dataset, device, self.max_gb, runner.logger)
        runner.train_loop.dataloader = planning_loader(loader, dataset, device.type == "cuda")
        self.handle = model.data_preprocessor.register_forward_pre_hook(maker.before_preprocessing)

    def after_train(self, runner: Runner) -> None:
        self.handle.remove()


def check_loader(loader: Any) -> None:
    """Refuse a loader whose samples are not asked for by `SampleKey`, or not in batches."""
    where = "default_hooks.device_data: train_dataloader"
    if not isinstance(loader.sampler, EpochKeySampler | InfiniteKeySampler):
        kind = type(loader.sampler).__name__
        raise UserError(f"{where}.sampler is a {kind}, not an EpochKeySampler")
    if loader.batch_size is None:
        raise UserError(f"{where}.batch_sampler has no counterpart on the device")


def planning_loader(loader: DataLoader, dataset: Any, pin_memory: bool) -> DataLoader:
    """Copy a data loader to one of plans, from the dataset of this process's share of images."""
    sampler: Any = loader.sampler
    rank, world_size = get_dist_info()
    if world_size > 1:
        sampler = ShardKeySampler(len(dataset), rank, sampler.shuffle, sampler.seed)
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
