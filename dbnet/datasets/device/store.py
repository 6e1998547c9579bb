"""Decoded images in one flat row of pixels on a device."""

import time
from collections.abc import Iterable, Mapping
from logging import Logger
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dbnet.datasets.transforms.geometric import average_down
from dbnet.errors import ImageError, UserError

SECONDS_BETWEEN_LINES = 10.0


class Source(NamedTuple):
    """An image in the store, in a black frame, so that sampling need not ask where it ends.

    The frame is a row above, a row below and a column on the left, which is also the one on the
    right of the row before.
    """

    first: int  # index of the frame's first pixel; the others follow row by row
    shape: tuple[int, int]  # (H, W) of the image

    def framed(self, store: Tensor) -> Tensor:
        """View the image and its frame, (H + 2, W + 1, 3)."""
        height, width = self.shape[0] + 2, self.shape[1] + 1
        return store[self.first : self.first + height * width].view(height, width, 3)


class StoreLayout(NamedTuple):
    """Where every image lies."""

    # For each image, by its key, the image itself and its versions averaged down by 2, 3, ..., as
    # far as a crop can ask for them.
    versions: dict[Any, list[Source]]
    num_pixels: int  # pixels of the whole store, of 3 bytes each


def num_versions(shape: tuple[int, int], size: tuple[int, int]) -> int:
    """Count the versions of an (H, W) image that crops resized to fit into `size` (W, H) need.

    A shrink by exactly 2 needs none: bilinear sampling averages 2x2 pixels then.
    """
    return max(int(np.ceil(max(shape[0] / size[1], shape[1] / size[0]))) - 1, 1)


def lay_out(shapes: Mapping[Any, tuple[int, int]], size: tuple[int, int]) -> StoreLayout:
    """Return every image of (H, W) its place; `size` (W, H) is that of the samples."""
    versions: dict[Any, list[Source]] = {}
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

    Without `max_gb`, in 10^9 bytes, half of what is free on a GPU is left to the network; elsewhere
    there is no limit.
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
    layout: StoreLayout,
    pictures: Iterable[tuple[Any, list[np.ndarray] | ImageError]],
    device: torch.device,
    logger: Logger,
) -> tuple[Tensor, dict[Any, ImageError]]:
    """Copy all images to a (num_pixels, 3) uint8 BGR tensor on `device`.

    `pictures` are each image's key, and its versions or why there are none, as they come.

    Returns:
        The tensor, and what is wrong with the images that could not be had; those are black.
    """
    failed: dict[Any, ImageError] = {}
    store = torch.zeros((layout.num_pixels, 3), dtype=torch.uint8, device=device)
    started = reported = time.monotonic()
    total = len(layout.versions)
    for done, (key, images) in enumerate(pictures, start=1):
        if isinstance(images, ImageError):
            failed[key] = images
            continue
        for source, image in zip(layout.versions[key], images, strict=True):
            source.framed(store)[1:-1, 1:] = torch.from_numpy(image).to(device)
        if time.monotonic() - reported > SECONDS_BETWEEN_LINES:
            reported = time.monotonic()
            logger.info(f"device data: {done} of {total} images ready")
    logger.info(f"device data: {total} images ready in {time.monotonic() - started:.1f} s")
    return store, failed


def averaged_down(image: np.ndarray, count: int) -> list[np.ndarray]:
    """Return an image (H, W, 3) and its versions averaged down by 2, 3, ..., `count`."""
    return [image, *(average_down(image, factor) for factor in range(2, count + 1))]
