import functools
import re
import sys
from collections.abc import Callable

import cv2
import torch

from dbnet.errors import UserError

SAVE_MEMORY = (
    "lower train_dataloader.batch_size (and the learning rate with it) or the test size, "
    "or train with --amp"
)


INTERRUPTED = 130  # exit status after Ctrl-C, as shells have it

# How PyTorch on a CPU and OpenCV say it, without an exception class of its own.
MEMORY_MESSAGES = ("can't allocate memory", "Insufficient memory", "Cannot allocate memory")


def lack_of_memory(error: Exception) -> str | None:
    """Say in a line what could not be allocated; None if an error is about something else."""
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError):  # of an accelerator
        return text.split(". ")[0]
    if not isinstance(error, MemoryError) and not any(part in text for part in MEMORY_MESSAGES):
        return None
    wanted = re.search(r"(?:tried to|Failed to|Unable to) allocate [^.(\n]*(?:\.\d+ \w+)?", text)
    return f"out of memory: {wanted[0].strip()}" if wanted else "out of memory"


def one_line_errors(main: Callable[..., int]) -> Callable[..., int]:
    """Make a tool's `main` print a user's mistake or lack of memory as one line and return 1.

    So it does with Ctrl-C, whose status is `INTERRUPTED`.
    """

    @functools.wraps(main)
    def guarded(argv: list[str] | None = None) -> int:
        try:
            return main(argv)
        except UserError as error:
            # A loader worker's exception arrives with its traceback in front of the message.
            message = str(error).strip().splitlines()[-1]
            message = re.sub(r"^dbnet\.errors\.\w+: ", "", message)
            print(f"error: {message}", file=sys.stderr)
            return 1
        except (MemoryError, RuntimeError, cv2.error) as error:
            reason = lack_of_memory(error)
            if reason is None:
                raise
            print(f"error: {reason}; {SAVE_MEMORY}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED

    return guarded
