"""The frame of every command: arguments first, then work, and mistakes in one line."""

import argparse
import functools
import re
import sys
import time
from collections.abc import Callable, Sequence

from dbnet.cli.options import parse
from dbnet.errors import UserError, gpu_failure, lack_of_memory, line_of

STARTED = time.monotonic()  # is imported first
INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it
SAVE_MEMORY = (
    "lower train_dataloader.batch_size (and the learning rate with it) or the test size, "
    "or train with --amp"
)
NO_LIBRARY = (
    " is missing; install it (Debian: apt install libgl1 libglib2.0-0), or replace opencv-python "
    "by opencv-python-headless, which needs none"
)
SHARED_MEMORY = (
    "shared memory: /dev/shm is too small for the batches of the data workers; give a container "
    "more with --shm-size=2g, or set the dataloader's num_workers=0"
)

Work = Callable[[argparse.Namespace], int]


def command(name: str) -> Callable[[Work], Callable[..., int]]:
    """Make the `main` of a command from its work: parse the arguments and report errors.

    The result takes the arguments as text (None for those of the process) or parsed.
    """

    def decorate(work: Work) -> Callable[..., int]:
        @functools.wraps(work)
        def main(argv: Sequence[str] | argparse.Namespace | None = None) -> int:
            args = argv if isinstance(argv, argparse.Namespace) else parse(name, argv)
            return one_line_errors(lambda: work(args))

        return main

    return decorate


def one_line_errors(work: Callable[[], int]) -> int:
    """Run `work`, and return its exit status; a user's mistake or lack of memory is one line.

    So is Ctrl-C, whose status is `INTERRUPTED`.
    """
    try:
        return work()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if (line := explain(error)) is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        return 1


def explain(error: Exception) -> str | None:
    """Say in a line what is wrong; None if an error is none that the user can mend."""
    text = str(error)
    if isinstance(error, UserError):
        # A loader worker's exception arrives with its traceback in front of the message.
        return re.sub(r"^dbnet\.errors\.\w+: ", "", line_of(error, -1))
    if isinstance(error, ImportError) and re.match(r"lib(GL|gl|gthread|X|xcb)", text):
        return f"OpenCV: {text.split(':')[0]}{NO_LIBRARY}"
    if isinstance(error, ImportError) and "pip install" in text:  # mmengine's backends
        return line_of(error)
    if "shared memory" in text:  # torch's, or of a worker that the kernel has ended
        return SHARED_MEMORY
    memory = lack_of_memory(error)
    return gpu_failure(error) if memory is None else f"{memory}; {SAVE_MEMORY}"
