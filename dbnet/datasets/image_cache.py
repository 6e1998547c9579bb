from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from dbnet.datasets.shared_memory import SharedMemory
from dbnet.errors import UserError
from dbnet.images import read_image, read_shape

Size = tuple[int, int]  # (H, W)


class Slot(NamedTuple):
    """Place of one image in the memory: its row in the table, its first byte, its bytes."""

    row: int
    offset: int
    capacity: int


class ImageCache:
    """Decoded images in memory that all workers share, each put there when it is first read.

    A table holds the size of each image, 0 until all its pixels are in place, so that nobody sees
    half an image, and a worker that dies leaves none. Two workers that decode the same image at the
    same time write the same bytes.

    Args:
        images: Path and (H, W) of every image; None where the size has to be read from the file.
        budget: Bytes that the images may take. The first that fit get a place, the others are
            decoded each time.
    """

    def __init__(self, images: Iterable[tuple[str, Size | None]], budget: int) -> None:
        self._slots = assign_slots(images, budget)
        self.num_bytes = sum(slot.capacity for slot in self._slots.values())
        self._pixels = SharedMemory(self.num_bytes)
        self._table = SharedMemory(8 * len(self._slots))

    def __len__(self) -> int:
        return len(self._slots)

    def read(self, path: str) -> np.ndarray:
        """Return an image, (H, W, 3) uint8 BGR, read-only if it comes from the memory."""
        slot = self._slots.get(path)
        if slot is None:
            return read_image(path)
        size = self._table.bytes.view(np.int32).reshape(-1, 2)[slot.row]
        place = self._pixels.bytes[slot.offset : slot.offset + slot.capacity]
        if size[0] > 0:
            height, width = size.tolist()
            image = place[: height * width * 3].reshape(height, width, 3)
            image.flags.writeable = False
            return image
        image = read_image(path)
        if image.nbytes <= slot.capacity:  # no larger than announced
            place[: image.nbytes] = image.reshape(-1)
            size[1], size[0] = image.shape[1], image.shape[0]  # last: others read it from here on
        return image


def assign_slots(images: Iterable[tuple[str, Size | None]], budget: int) -> dict[str, Slot]:
    """Return places, one behind the other, to images until one does not fit into `budget` bytes."""
    slots: dict[str, Slot] = {}
    end = 0
    for path, size in images:
        height, width = size or header_size(path)
        capacity = height * width * 3
        if end + capacity > budget:
            break
        if path not in slots and capacity > 0:
            slots[path] = Slot(len(slots), end, capacity)
            end += capacity
    return slots


def header_size(path: str) -> Size:
    """Read (H, W) of an image without decoding it; (0, 0) if that fails."""
    try:
        return read_shape(path)
    except UserError:
        return 0, 0
