import functools
import sys
from collections.abc import Callable

import torch

from dbnet.errors import UserError

SAVE_MEMORY = (
    "lower train_dataloader.batch_size (and the learning rate with it) or the test size, "
    "or train with --amp"
)


def one_line_errors(main: Callable[..., int]) -> Callable[..., int]:
    """Make a tool's `main` print a user's mistake or lack of memory as one line and return 1."""

    @functools.wraps(main)
    def guarded(argv: list[str] | None = None) -> int:
        try:
            return main(argv)
        except UserError as error:
            # A loader worker's exception arrives with its traceback in front of the message.
            message = str(error).strip().splitlines()[-1]
            print(f"error: {message.removeprefix('dbnet.errors.UserError: ')}", file=sys.stderr)
            return 1
        except torch.OutOfMemoryError as error:
            reason = str(error).split(". ")[0]
            print(f"error: {reason}; {SAVE_MEMORY}", file=sys.stderr)
            return 1

    return guarded
