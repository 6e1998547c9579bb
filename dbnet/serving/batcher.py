"""One thread that runs the network for all requests, on batches of what waits."""

import asyncio
import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from dbnet.apis.inferencer import TextDetInferencer

LOGGER = logging.getLogger("dbnet")


class OverloadedError(Exception):
    """As many images wait as may."""


class Job(NamedTuple):
    """An image that waits."""

    image: np.ndarray  # (H, W, 3) uint8 BGR
    result: Future  # becomes `polygons` and `scores`, or an exception


class Batcher:
    """Detect texts for many callers; what arrives while the network works makes the next batch.

    Args:
        inferencer: Finds the texts; used by the thread alone.
        batch_size: Images of one padded size that the network gets at once.
        max_waiting: Images that may wait; further ones are refused.
    """

    def __init__(self, inferencer: TextDetInferencer, batch_size: int, max_waiting: int) -> None:
        self.inferencer = inferencer
        self.batch_size = batch_size
        self.max_waiting = max_waiting
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Work off what waits, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Images that are not finished."""
        return self._waiting

    def admit(self, number: int) -> None:
        """Take up places, to be given back with `leave`; raise `OverloadedError` without any."""
        with self._lock:
            if self._waiting + number > self.max_waiting:
                raise OverloadedError
            self._waiting += number

    def leave(self, number: int) -> None:
        """Give places back."""
        with self._lock:
            self._waiting -= number

    async def detect(self, images: Sequence[np.ndarray]) -> list[dict[str, Any] | BaseException]:
        """Wait for the texts of images, or the exceptions that they caused, see `Job`.

        What has not begun is left out if the caller is cancelled.
        """
        jobs = [Job(image, Future()) for image in images]
        for job in jobs:
            self._jobs.put(job)
        waiting = (asyncio.wrap_future(job.result) for job in jobs)
        return await asyncio.gather(*waiting, return_exceptions=True)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            jobs = [job]
            while len(jobs) < self.batch_size and not self._jobs.empty():
                following = self._jobs.get()
                if following is None:
                    self._jobs.put(None)
                    break
                jobs.append(following)
            self._detect([job for job in jobs if job.result.set_running_or_notify_cancel()])

    def _detect(self, jobs: Sequence[Job]) -> None:
        """Finish jobs, all at once, or one by one where that fails, so that none costs another."""
        try:
            results = list(self.inferencer.stream([job.image for job in jobs], self.batch_size))
        except Exception as error:
            if len(jobs) > 1:
                for job in jobs:
                    self._detect([job])
                return
            LOGGER.error("an image of %s failed: %r", jobs[0].image.shape, error)
            jobs[0].result.set_exception(error)
            return
        for job, result in zip(jobs, results):
            if isinstance(result, Exception):
                job.result.set_exception(result)
            else:
                job.result.set_result(result)
