"""Training loops that resume with the very batch that follows a checkpoint.

mmengine's loops resume at the start of an epoch only, and where iterations are counted they load
every past batch again. Both skip a validation that a kill has cut short; these make up for it.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.utils import calc_dynamic_intervals
from torch import nn
from torch.utils.data import DataLoader

from dbnet.errors import UserError
from dbnet.registry import LOOPS

# How many samples of the epoch (of the run, where iterations are counted) all processes together
# have seen, in the message hub, which every checkpoint holds. Samples, since a run may be resumed
# with another batch size or another number of processes.
SAMPLES_DONE = "samples_done"
SAMPLES_PER_STEP = "samples_per_step"  # of all processes together, likewise


def samples_per_step(dataloader: DataLoader) -> int:
    """Count the samples that all processes together take in one step."""
    return (dataloader.batch_size or 1) * get_world_size()


def batches_after(dataloader: DataLoader, samples: int) -> Iterator[dict]:
    """Iterate over a data loader without the first `samples`, counted over all processes."""
    sampler = dataloader.sampler
    if dataloader.batch_size is None or not hasattr(sampler, "start"):  # there is but one way
        return itertools.islice(dataloader, samples // samples_per_step(dataloader), None)
    sampler.start = samples // get_world_size()
    return iter(dataloader)


def check_intervals(intervals: list[int]) -> None:
    """Refuse to validate after fewer than 1 epochs or iterations."""
    if min(intervals) < 1:
        raise UserError(
            f"train_cfg.val_interval={min(intervals)}: give 1 or more; to train without "
            "validation, --cfg-options val_dataloader=None val_cfg=None val_evaluator=None"
        )


def validate_if_due(loop: Any, done: int, total: int) -> None:
    """Validate if `done` of `total` epochs or iterations call for it, and at the end."""
    if loop.runner.val_loop is None or done < loop.val_begin:
        return
    if done % loop.val_interval == 0 or done == total:
        loop.runner.val_loop.run()


@LOOPS.register_module(name=["ResumableEpochLoop", "EpochBasedTrainLoop"])
class ResumableEpochLoop(EpochBasedTrainLoop):
    """Train by epochs, from the middle of one if the checkpoint was written there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_intervals(self.dynamic_intervals)

    def run(self) -> nn.Module:
        self.runner.call_hook("before_train")
        if self._epoch > 0 and self._samples_done() == 0:
            self._validate_if_due()  # the checkpoint was written before this
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        samples, step = self._samples_done(), samples_per_step(self.dataloader)
        self.runner.message_hub.update_info(SAMPLES_PER_STEP, step)
        batches = batches_after(self.dataloader, samples)
        for index, data_batch in enumerate(batches, start=samples // step):
            samples += step
            self.runner.message_hub.update_info(SAMPLES_DONE, samples)
            self.run_iter(index, data_batch)
        self.runner.message_hub.update_info(SAMPLES_DONE, 0)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _samples_done(self) -> int:
        return self.runner.message_hub.get_info(SAMPLES_DONE, 0)

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        validate_if_due(self, self._epoch, self._max_epochs)


@LOOPS.register_module(name=["ResumableIterLoop", "IterBasedTrainLoop"])
class ResumableIterLoop(BaseLoop):
    """Train by iterations; the arguments are those of mmengine's `IterBasedTrainLoop`.

    That one starts its workers when it is built, before it knows the iteration to resume from.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(runner, dataloader)
        self.max_iters = max_iters
        self.max_epochs = 1  # the whole run, to hooks and schedulers
        self.epoch = 0
        self._iter = 0  # set by the Runner when it resumes
        self.val_begin = val_begin
        self.milestones, self.intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)
        check_intervals(self.intervals)
        self.stop_training = False  # set by hooks
        runner.visualizer.dataset_meta = getattr(self.dataloader.dataset, "metainfo", None)

    @property
    def iter(self) -> int:
        """Iterations done."""
        return self._iter

    @property
    def val_interval(self) -> int:
        """Iterations from one validation to the next."""
        past = sum(milestone <= self._iter + 1 for milestone in self.milestones)
        return self.intervals[past - 1]

    def run(self) -> nn.Module:
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._iter > 0:
            validate_if_due(self, self._iter, self.max_iters)  # the checkpoint came before this
        step = samples_per_step(self.dataloader)
        self.runner.message_hub.update_info(SAMPLES_PER_STEP, step)
        batches = self._batches()
        while self._iter < self.max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            validate_if_due(self, self._iter, self.max_iters)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: dict) -> None:
        done = self.runner.message_hub.get_info(SAMPLES_DONE, 0)
        self.runner.message_hub.update_info(SAMPLES_DONE, done + samples_per_step(self.dataloader))
        step = dict(batch_idx=self._iter, data_batch=data_batch)
        self.runner.call_hook("before_train_iter", **step)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        self.runner.call_hook("after_train_iter", **step, outputs=outputs)
        self._iter += 1

    def _batches(self) -> Iterator[dict]:
        """Yield the batches that follow, epoch after epoch of a finite sampler."""
        sampler = self.dataloader.sampler
        finite = hasattr(sampler, "set_epoch")
        epoch, samples = 0, self.runner.message_hub.get_info(SAMPLES_DONE, 0)
        if finite:
            epoch, samples = divmod(
                samples, len(self.dataloader) * samples_per_step(self.dataloader)
            )
        while True:
            if finite:
                sampler.set_epoch(epoch)
            yield from batches_after(self.dataloader, samples)
            epoch, samples = epoch + 1, 0
