import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from dbnet.engine.checkpoint_files import INTERRUPTED, point_to

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 (asked for, no error)
    """Training was stopped by a signal; the message says where its state was saved.

    Args:
        message: One line.
        signum: Number of the signal.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.status = 128 + signum  # the exit status of a process that the signal ends


class InterruptHook(Hook):
    """Save and stop at SIGTERM or Ctrl-C, after the step that is under way.

    Several processes stop together, within `INTERVAL` steps.

    What is saved is the middle of an epoch; the loops go on with the very next batch. A validation
    under way is dropped, and done when the run goes on. A second signal ends the process at once.
    """

    priority = "LOWEST"  # all other hooks have done their part of the step
    INTERVAL = 10  # steps after which several processes ask each other; a GPU waits for the answer

    def __init__(self) -> None:
        self.received = 0

    @contextmanager
    def listening(self, runner: Runner) -> Iterator[None]:
        """Catch the signals, for as long as the context lasts."""
        self.received = 0
        self.former = {signum: signal.signal(signum, self._note) for signum in SIGNALS}
        try:
            yield
        except RuntimeError as error:
            # The signal may go to the workers too. They end, and the step waits for data in vain.
            if self.received and "DataLoader worker" in str(error):
                self._stop(runner, self.received, runner.iter)
            raise
        finally:
            self._restore()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        signum = self._received_anywhere(runner.iter + 1)
        if signum:
            self._save(runner, runner.iter + 1)
            barrier()  # a process that left now would have the launcher end the one that writes
            raise self._interrupted(runner, signum, runner.iter + 1)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        if self.received:
            self._stop(runner, self.received, runner.iter)

    def _received_anywhere(self, iterations: int) -> int:
        """Number of a signal that any process has got, the same in all of them; 0 for none."""
        if get_world_size() == 1:
            return self.received
        if iterations % self.INTERVAL:
            return 0
        received = torch.tensor(self.received)
        all_reduce(received, "max")  # all processes stop after the same step
        return int(received)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum
        self._restore()
        # A data loader would raise in the middle of the step when its workers end.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _restore(self) -> None:
        for signum, handler in self.former.items():
            signal.signal(signum, handler)

    def _stop(self, runner: Runner, signum: int, iterations: int) -> NoReturn:
        self._save(runner, iterations)
        raise self._interrupted(runner, signum, iterations)

    def _save(self, runner: Runner, iterations: int) -> None:
        work_dir = Path(runner.work_dir)
        meta = dict(epoch=runner.epoch, iter=iterations)
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=meta)
        if is_main_process():
            point_to(work_dir / INTERRUPTED, work_dir)
        runner.visualizer.close()

    def _interrupted(self, runner: Runner, signum: int, iterations: int) -> Interrupted:
        return Interrupted(
            f"stopped by {signal.Signals(signum).name} after {iterations} iterations, saved as "
            f"{Path(runner.work_dir) / INTERRUPTED}: go on with --resume",
            signum,
        )
