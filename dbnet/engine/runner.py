from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch.utils.data import DataLoader

from dbnet.checkpoints.read import load_weights, match, read_checkpoint, state_dict_of
from dbnet.engine.loops import (
    SAMPLES_PER_STEP,
    ResumableEpochLoop,
    ResumableIterLoop,
    samples_per_step,
)
from dbnet.engine.processes import check_same_start, warn_of_separate_folders
from dbnet.engine.schedules import check_schedules, take_other_step
from dbnet.errors import UserError
from dbnet.models.detectors.dbnet import unwrap
from dbnet.registry import naming
from dbnet.utils.files import replace_when_complete


class NamingRunner(Runner):
    """mmengine's Runner, whose errors name the part of the config that was being built."""

    @staticmethod
    def build_dataloader(dataloader: Any, *args: Any, **kwargs: Any) -> DataLoader:
        with naming(dataloader):
            return Runner.build_dataloader(dataloader, *args, **kwargs)

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        with naming(optim_wrapper):
            return super().build_optim_wrapper(optim_wrapper)


class SafeRunner(NamingRunner):
    """mmengine's Runner, with atomic checkpoints and loops that resume exactly."""

    _has_loaded: bool

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: object, **kwargs: object) -> None:
        """Write a checkpoint beside its place and rename it when it is on the disk."""
        path = Path(out_dir) / filename
        try:
            with replace_when_complete(path) as partial:
                super().save_checkpoint(out_dir, partial.name, *args, **kwargs)
        except OSError as error:
            raise UserError(
                f"{path}: could not be saved ({error.strerror}); the checkpoints before it are "
                "whole: make room, then continue with --resume"
            ) from error

    def load_or_resume(self) -> None:
        """Load the weights of `load_from` with this project's loader, or resume as mmengine does.

        It comes after all parts have been initialised, so that none of them undoes it.
        """
        check_same_start(self._load_from, self.work_dir)
        warn_of_separate_folders(self)
        if self._load_from is None or self._resume:
            super().load_or_resume()
        elif not self._has_loaded:
            load_weights(self.model, self._load_from, strict=False)
            self._has_loaded = True

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Resume from a checkpoint of the same model.

        Where it was trained with another number of samples per step, on fewer hosts for example,
        iterations and schedules go on at the same sample.
        """
        state = state_dict_of(read_checkpoint(filename), filename)
        fit = match(state, unwrap(self.model).state_dict())
        wrong = [*fit.missing, *fit.unexpected, *fit.wrong_shape]
        if wrong:
            raise UserError(
                f"checkpoint {filename}: is of another model, {len(wrong)} of its weights do not "
                f"fit (first: {wrong[0]}); resume with the config that it was trained with"
            )
        super().resume(filename, *args, **kwargs)
        before = self.message_hub.get_info(SAMPLES_PER_STEP, None)
        now = samples_per_step(self.train_dataloader)
        if before not in (None, now):
            take_other_step(self, before, now)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Build a loop; without a `type`, `by_epoch` selects one of this project's."""
        if isinstance(loop, dict) and "type" not in loop:
            by_epoch = loop.get("by_epoch", True)
            settings = {key: value for key, value in loop.items() if key != "by_epoch"}
            loop = dict(settings, type=ResumableEpochLoop if by_epoch else ResumableIterLoop)
        return super().build_train_loop(loop)

    def build_param_scheduler(self, scheduler: Any) -> Any:
        if warning := check_schedules(scheduler, self.max_epochs, self.max_iters):
            self.logger.warning(warning)
        return super().build_param_scheduler(scheduler)


class EvaluationRunner(NamingRunner):
    """mmengine's Runner for a test, whose work directory may be that of a training."""

    @master_only
    def dump_config(self) -> None:
        """Write the config to this run's own folder; the work directory has the training's."""
        name = Path(self.cfg.filename or "config.py").name
        self.cfg.dump(Path(self.log_dir) / name)
