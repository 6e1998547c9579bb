from pathlib import Path

from mmengine.dist import master_only
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop

from dbnet.engine.checkpoint_files import commit, temporary
from dbnet.engine.loops import ResumableEpochLoop, ResumableIterLoop
from dbnet.errors import UserError


class SafeRunner(Runner):
    """mmengine's Runner, with checkpoints whole or absent and loops that resume exactly."""

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: object, **kwargs: object) -> None:
        """Write a checkpoint beside its place and rename it when it is on the disk.

        Raises:
            UserError: The disk is full, or the file cannot be written for another reason.
        """
        path = Path(out_dir) / filename
        try:
            super().save_checkpoint(out_dir, temporary(path).name, *args, **kwargs)
            commit(path)
        except OSError as error:
            raise UserError(
                f"{path}: could not be saved ({error.strerror}); the checkpoints before it are "
                "whole: make room, then go on with --resume"
            ) from error
        finally:
            temporary(path).unlink(missing_ok=True)

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        if isinstance(loop, dict) and "by_epoch" in loop:
            settings = {key: value for key, value in loop.items() if key != "by_epoch"}
            kind = ResumableEpochLoop if loop["by_epoch"] else ResumableIterLoop
            loop = dict(type=kind, **settings)
        return super().build_train_loop(loop)
