"""Run tasks in threads, in order, with a bound on how many are under way."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def in_order(
    tasks: Iterable[Callable[[], Result]], num_threads: int, num_ahead: int
) -> Generator[Result, None, None]:
    """Call tasks in threads and yield their results in order.

    Threads suffice where the tasks wait for files or decode images, which frees the interpreter. At
    most `num_ahead` tasks are running or done before their result is asked for.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_threads, thread_name_prefix="in_order") as pool:
        try:
            for task in tasks:
                pending.append(pool.submit(task))
                if len(pending) > num_ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def num_cores() -> int:
    """Count the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def num_threads() -> int:
    """Count the threads that this process may use, `OMP_NUM_THREADS` if it is set."""
    return int(os.environ.get("OMP_NUM_THREADS") or 0) or num_cores()
