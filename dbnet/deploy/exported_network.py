"""An exported model as `TextDetInferencer` runs it: no config, no checkpoint, no torch."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import cv2
import numpy as np

from dbnet.deploy.metadata import Metadata
from dbnet.deploy.runtimes import Runtime, open_runtime
from dbnet.errors import UserError
from dbnet.postprocessing import DBPostprocessor
from dbnet.resizing import fitted_size
from dbnet.utils.parallel import num_threads

THREADS_PER_STREAM = 4
PREFIX = "model.postprocessor."  # of the options that an exported model takes


class ExportedNetwork:
    """Prepare images and find their texts with an exported model.

    `test_size`, (W, H), long and short side at most, stands in for the file's; `options` are
    settings of the postprocessor, such as `model.postprocessor.box_thresh`. `amp` is refused: the
    file has its precision. The network works on `streams` batches at once, each on at least 4
    threads, or fewer where that pays; a batch alone has all threads.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        device: str = "cpu",
        test_size: tuple[int, int] | None = None,
        options: Mapping[str, Any] | None = None,
        amp: bool | None = None,
    ) -> None:
        if amp:
            raise UserError(f"--amp: {path} has its precision; export it with --precision bf16")
        self.runtime = open_runtime(path, device)
        threads, least = num_threads(), self.runtime.least_streams
        several = min(threads, max(least, threads // THREADS_PER_STREAM))
        self.streams = several if device == "cpu" and least else 1
        self._open_shared = partial(open_runtime, path, device, threads, self.streams)
        metadata = self.runtime.metadata
        if metadata.layout != "nchw":
            raise UserError(
                f"model {path}: has the layout {metadata.layout}, for cv2.dnn alone; export it "
                "without --layout"
            )
        self.metadata = with_options(metadata, test_size, options or {}, str(path))
        try:
            self.postprocessor = DBPostprocessor(**self.metadata.postprocessor)
        except (TypeError, ValueError) as error:
            raise UserError(f"--cfg-options {PREFIX}...: {error}") from None
        self._pool = ThreadPoolExecutor(self.streams, thread_name_prefix="network")
        self._shared: Runtime | None = None
        self._running, self._lock = 0, threading.Lock()

    @property
    def scale(self) -> tuple[int, int]:
        """Long and short side, pixels, into which images are fitted."""
        return self.metadata.resize["scale"]

    @scale.setter
    def scale(self, scale: tuple[int, int]) -> None:
        self.metadata = replace(self.metadata, resize={**self.metadata.resize, "scale": scale})

    def prepare(self, image: np.ndarray, facts: dict) -> dict:
        """Resize an image (H, W, 3) uint8 BGR; return `image` (H', W', 3) and `metas`."""
        height, width = image.shape[:2]
        size = fitted_size((width, height), **self.metadata.resize)
        resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        scale = (size[0] / width, size[1] / height)
        return dict(image=resized, metas={**facts, "img_shape": size[::-1], "scale_factor": scale})

    def padded_shape(self, sample: dict) -> tuple[int, int]:
        """Height and width of a prepared image after padding."""
        return padded(sample["image"].shape[:2], self.metadata.divisor)

    def maps(self, samples: Sequence[dict]) -> np.ndarray:
        """Compute the probability maps (N, H, W) of prepared images of one padded shape."""
        x = make_input([s["image"] for s in samples], self.metadata)
        with self._turn() as run:
            return run(x)[:, 0]

    @contextmanager
    def _turn(self) -> Iterator[Runtime]:
        """Give a batch the runtime with all threads if it is alone, else the one with streams."""
        with self._lock:
            self._running += 1
            runtime = self.runtime
            if self._running > 1:
                runtime = self._shared = self._shared or self._open_shared()
        try:
            yield runtime
        finally:
            with self._lock:
                self._running -= 1

    def start(self, samples: Sequence[dict]) -> Callable[[], list[dict]]:
        """Start the network; return the function that waits for it and finds the texts."""
        prob_map = self._pool.submit(self.maps, samples)
        return lambda: self.postprocessor(prob_map.result(), [s["metas"] for s in samples])


def padded(shape: tuple[int, int], divisor: int) -> tuple[int, int]:
    """Round (H, W) up to multiples.

    >>> padded((736, 1308), 32)
    (736, 1312)
    """
    height, width = (-(-side // divisor) * divisor for side in shape)
    return height, width


def make_input(images: Sequence[np.ndarray], metadata: Metadata) -> np.ndarray:
    """Normalise images (H, W, 3) uint8 BGR and pad them by 0 to (N, 3, H', W') float32.

    All are padded to one shape, the least that holds them.
    """
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    shape = padded((height, width), metadata.divisor)
    batch = np.zeros((len(images), 3, *shape), np.float32)
    order = -1 if metadata.channel_order == "rgb" else 1
    for image, slot in zip(images, batch):
        content = slot[:, : image.shape[0], : image.shape[1]]
        for plane, out, mean, std in zip(
            cv2.split(image)[::order], content, metadata.mean, metadata.std
        ):
            np.subtract(plane, np.float32(mean), out=out, dtype=np.float32)
            out /= np.float32(std)
    return batch


def with_options(
    metadata: Metadata, test_size: tuple[int, int] | None, options: Mapping[str, Any], source: str
) -> Metadata:
    """Replace settings of an exported model."""
    wrong = [key for key in options if key.removeprefix(PREFIX) not in metadata.postprocessor]
    if wrong:
        known = ", ".join(metadata.postprocessor)
        raise UserError(
            f"--cfg-options {wrong[0]}: of {source}, an exported model, these can be set: "
            f"{PREFIX}... with {known}"
        )
    settings = {key.removeprefix(PREFIX): value for key, value in options.items()}
    resize = metadata.resize if test_size is None else {**metadata.resize, "scale": test_size}
    return replace(metadata, resize=resize, postprocessor={**metadata.postprocessor, **settings})
