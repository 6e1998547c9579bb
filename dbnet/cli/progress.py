"""How much of a command's work is done: a line on a terminal, or now and then one in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")

TERMINAL_SECONDS = 0.1  # between two states of a terminal's line
LOG_SECONDS = 10.0  # between two lines in a log
CLEAR = "\r\033[K"  # a terminal's line


def progress_text(done: int, total: int, seconds: float) -> str:
    """Format how many of `total` images are done after `seconds`, and how long the rest takes.

    >>> progress_text(1, 3, 61)
    '1/3 images, 0:02:02 left'
    """
    left = round(seconds / max(done, 1) * (total - done))
    return f"{done}/{total} images, {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"


def with_progress(items: Iterable[Item], total: int, log: str | None = None) -> Iterator[Item]:
    """Pass on items; on a terminal, a line counts them and estimates the rest.

    Args:
        items: One per image.
        total: How many there are.
        log: Elsewhere, what a line each `LOG_SECONDS` begins with; None for no lines.
    """
    is_terminal = sys.stderr.isatty()
    start = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        now = time.monotonic()
        if is_terminal and (done == total or now - shown >= TERMINAL_SECONDS):
            end = CLEAR if done == total else ""
            line = CLEAR + progress_text(done, total, now - start)
            print(line, end=end, file=sys.stderr, flush=True)
            shown = now
        elif not is_terminal and log is not None and now - shown >= LOG_SECONDS:
            print(f"{log}: {progress_text(done, total, now - start)}", file=sys.stderr, flush=True)
            shown = now
        yield item
