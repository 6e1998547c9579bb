"""Decoded images in one flat row of pixels on a device."""

import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from logging import Logger
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dbnet.datasets.transforms.geometric import average_down
from dbnet.errors import ImageError, UserError
from dbnet.images import read_image

DECODED_AT_ONCE = 64  # images that wait on the host for their copy
SECONDS_BETWEEN_LINES = 10.0


class Source(NamedTuple):
    """An image in the store, in a black frame, so that sampling need not ask where it ends.

    The frame is a row above, a row below and a column on the left, which is also the one on the
    right of the row before.

    Attributes:
        first: Index of the frame's first pixel; the others follow row by row.
        shape: (H, W) of the image.
    """

    first: int
    shape: tuple[int, int]

    def framed(self, store: Tensor) -> Tensor:
        """View the image and its frame, (H + 2, W + 1, 3)."""
        height, width = self.shape[0] + 2, self.shape[1] + 1
        return store[self.first : self.first + height * width].view(height, width, 3)


class StoreLayout(NamedTuple):
    """Where every image lies.

    Attributes:
        versions: For each image, by its index in the dataset, the image itself and its versions
            averaged down by 2, 3, ..., as far as a crop can ask for them.
        num_pixels: Pixels of the whole store, of 3 bytes each.
    """

    versions: dict[int, list[Source]]
    num_pixels: int


def num_versions(shape: tuple[int, int], size: tuple[int, int]) -> int:
    """Count the versions of an (H, W) image that crops resized to fit into `size` (W, H) need.

    A shrink by exactly 2 needs none: bilinear sampling averages 2x2 pixels then.
    """
    return max(int(np.ceil(max(shape[0] / size[1], shape[1] / size[0]))) - 1, 1)


def lay_out(shapes: Mapping[int, tuple[int, int]], size: tuple[int, int]) -> StoreLayout:
    """Return every image of (H, W) its place; `size` (W, H) is that of the samples."""
    versions: dict[int, list[Source]] = {}
    first = 0
    for item, (height, width) in shapes.items():
        versions[item] = []
        for factor in range(1, num_versions((height, width), size) + 1):
            shape = max(height // factor, 1), max(width // factor, 1)
            versions[item].append(Source(first, shape))
            first += (shape[0] + 2) * (shape[1] + 1)
    # Sampling reads, with weight 0, up to a row beyond an image's frame.
    widest = max((width for _, width in shapes.values()), default=0)
    return StoreLayout(versions, first + widest + 3)


def check_budget(num_bytes: int, device: torch.device, max_gb: float | None) -> str:
    """Describe what the images take on a device and what there is.

    Args:
        num_bytes: What the images take.
        device: Where.
        max_gb: Most that they may take, 10^9 bytes; None for half of what is free on a GPU, which
            leaves the other half to the network, and for no limit elsewhere.

    Raises:
        UserError: They do not fit.
    """
    limit, whose = max_gb, "max_gb"
    if limit is None and device.type == "cuda":
        limit, whose = torch.cuda.mem_get_info(device)[0] / 2e9, f"half of what is free on {device}"
    text = f"{num_bytes / 1e9:.3g} GB" + ("" if limit is None else f" of {limit:.3g} GB ({whose})")
    if limit is not None and num_bytes > limit * 1e9:
        raise UserError(
            f"default_hooks.device_data: the decoded training images take {text}; train without "
            "this hook, in more processes (each keeps its share), or raise its max_gb"
        )
    return text


def fill_store(
    layout: StoreLayout, paths: Mapping[int, str], device: torch.device, logger: Logger
) -> tuple[Tensor, dict[int, ImageError]]:
    """Decode all images, on several threads, to a (num_pixels, 3) uint8 BGR tensor on `device`.

    Args:
        layout: Where they lie.
        paths: File of each image of `layout`.
        device: Where the store is.
        logger: Told of the progress.

    Returns:
        The tensor, and what is wrong with the images that are unreadable or of another size than
        their heads said; those are black.
    """
    failed: dict[int, ImageError] = {}
    store = torch.zeros((layout.num_pixels, 3), dtype=torch.uint8, device=device)
    started = reported = time.monotonic()
    items = list(layout.versions)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16)) as threads:
        for done in range(0, len(items), DECODED_AT_ONCE):
            part = items[done : done + DECODED_AT_ONCE]
            versions = [layout.versions[item] for item in part]
            decoded = threads.map(_decode, [paths[item] for item in part], versions)
            for item, sources, images in zip(part, versions, decoded):
                if isinstance(images, ImageError):
                    failed[item] = images
                    continue
                for source, image in zip(sources, images, strict=True):
                    source.framed(store)[1:-1, 1:] = torch.from_numpy(image).to(device)
            if time.monotonic() - reported > SECONDS_BETWEEN_LINES:
                reported = time.monotonic()
                logger.info(f"device data: {done + len(part)} of {len(items)} images decoded")
    seconds = time.monotonic() - started
    logger.info(f"device data: {len(items)} images decoded in {seconds:.1f} s")
    return store, failed


def _decode(path: str, versions: Iterable[Source]) -> list[np.ndarray] | ImageError:
    try:
        image = read_image(path)
    except ImageError as error:
        return error
    images = [image]
    for factor, source in enumerate(versions, start=1):
        if factor > 1:
            images.append(average_down(image, factor))
        if images[-1].shape[:2] != source.shape:
            return ImageError(f"image {path}: has another size than its head says; it is damaged")
    return images
