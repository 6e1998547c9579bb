import functools
import sys
from collections.abc import Callable

from dbnet.errors import UserError


def one_line_errors(main: Callable[..., int]) -> Callable[..., int]:
    """Make a tool's `main` print a `UserError` as one line and return exit status 1."""

    @functools.wraps(main)
    def guarded(argv: list[str] | None = None) -> int:
        try:
            return main(argv)
        except UserError as error:
            # A loader worker's exception arrives with its traceback in front of the message.
            message = str(error).strip().splitlines()[-1]
            print(f"error: {message.removeprefix('dbnet.errors.UserError: ')}", file=sys.stderr)
            return 1

    return guarded
