from collections import deque
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from dbnet.engine.checkpoint_files import INTERRUPTED, point_to, remove_leftovers
from dbnet.engine.processes import average_buffers
from dbnet.registry import HOOKS


@HOOKS.register_module(name=["SafeCheckpointHook", "CheckpointHook"])
class SafeCheckpointHook(CheckpointHook):
    """Save checkpoints, and never have fewer whole ones than before.

    mmengine removes the oldest checkpoint before it writes the new one, and overwrites
    `last_checkpoint` in place. Here the order is: write the checkpoint, point to it, remove. At the
    peak the disk holds `max_keep_ckpts` + 1 checkpoints. Arguments are mmengine's; in configs it
    has mmengine's name as well.
    """

    keep_ckpt_ids: deque  # epochs or iterations of the checkpoints that are kept

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        if is_main_process():
            remove_leftovers(Path(self.out_dir))
            remove_leftovers(Path(runner.work_dir))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        kept: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [*(old for old in self.keep_ckpt_ids if old != step), step]
            # The checkpoint lists the one that is about to be removed: if a kill comes between,
            # mmengine removes it when the run is resumed.
            runner.message_hub.update_info("keep_ckpt_ids", kept)
        path = Path(self.out_dir) / self.filename_tmpl.format(step)
        self.last_ckpt = str(path)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        average_buffers(runner.model)
        runner.save_checkpoint(
            self.out_dir,
            path.name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            point_to(path, Path(runner.work_dir))
            (Path(runner.work_dir) / INTERRUPTED).unlink(missing_ok=True)
            for old in kept[: -self.max_keep_ckpts]:
                (path.parent / self.filename_tmpl.format(old)).unlink(missing_ok=True)
        if kept:
            self.keep_ckpt_ids = deque(kept, self.max_keep_ckpts)
