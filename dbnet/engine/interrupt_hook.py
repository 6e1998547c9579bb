import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from dbnet.engine.checkpoint_files import INTERRUPTED, point_to
from dbnet.engine.processes import average_buffers

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 (asked for, no error)
    """Training was stopped by a signal; the message says where its state was saved."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.status = 128 + signum  # the exit status of a process that the signal ends


class InterruptHook(Hook):
    """Save and stop at SIGTERM or Ctrl-C, after the step that is under way.

    Several processes stop together, within `INTERVAL` steps or after a validation. Where gradients
    are accumulated they stop when the optimizer has used them.

    What is saved is the middle of an epoch; the loops resume with the very next batch. A validation
    under way is dropped, and done when the run is resumed. A second signal ends the process at
    once.
    """

    priority = "LOWEST"  # all other hooks have done their part of the step
    INTERVAL = 10  # steps after which several processes ask each other; a GPU waits for the answer

    def __init__(self) -> None:
        self.received = 0
        self.started = False  # training has begun, so that all parts of the run are built
        self.validating = False
        self.last_asked = 0  # iterations done when the processes asked each other last

    def before_train(self, runner: Runner) -> None:
        self.started = True
        self.last_asked = runner.iter

    def before_val_epoch(self, runner: Runner) -> None:
        self.validating = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.validating = False

    @contextmanager
    def listening(self, runner: Runner) -> Iterator[None]:
        """Catch the signals, for as long as the context lasts; only the main thread can."""
        self.received = 0
        caught = SIGNALS if threading.current_thread() is threading.main_thread() else ()
        self.former = {signum: signal.signal(signum, self._note) for signum in caught}
        try:
            yield
        except RuntimeError as error:
            # The signal may go to the workers too. They end, and the step waits for data in vain.
            if self.received and "DataLoader worker" in str(error):
                self._stop(runner, self.received, runner.iter)
            raise
        finally:
            self._restore()

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, OptimWrapper) and not wrapper.should_update():
            return  # gathered gradients would be lost
        if signum := self._received_anywhere(runner.iter + 1):
            self._stop(runner, signum, runner.iter + 1)

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if self.received and get_world_size() == 1:
            self._stop(runner, self.received, runner.iter)

    def after_val(self, runner: Runner) -> None:
        if get_world_size() > 1 and (signum := self._ask(runner.iter)):
            self._stop(runner, signum, runner.iter)

    def _received_anywhere(self, iterations: int) -> int:
        """Number of a signal that any process has got, the same in all of them; 0 for none."""
        if get_world_size() == 1:
            return self.received
        return 0 if iterations - self.last_asked < self.INTERVAL else self._ask(iterations)

    def _ask(self, iterations: int) -> int:
        self.last_asked = iterations
        received = torch.tensor(self.received)
        all_reduce(received, "max")
        return int(received)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum
        self._restore()
        # A data loader would raise in the middle of the step when its workers end. SIG_DFL is no
        # choice: Python prints a traceback for a pending signal that has lost its handler.
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)

    def _restore(self) -> None:
        for signum, handler in self.former.items():
            signal.signal(signum, handler)

    def _stop(self, runner: Runner, signum: int, iterations: int) -> NoReturn:
        self._save(runner, iterations)
        barrier()  # a process that left now would have the launcher end the one that writes
        raise Interrupted(
            f"stopped by {signal.Signals(signum).name} after {iterations} iterations, saved as "
            f"{Path(runner.work_dir) / INTERRUPTED}: continue with --resume",
            signum,
        )

    def _save(self, runner: Runner, iterations: int) -> None:
        work_dir = Path(runner.work_dir)
        if self.validating:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # put the weights that train back in their place
                    hook.after_val_epoch(runner)
        meta = dict(epoch=runner.epoch, iter=iterations)
        average_buffers(runner.model)
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, meta=meta)
        if is_main_process():
            point_to(work_dir / INTERRUPTED, work_dir)
        runner.visualizer.close()
