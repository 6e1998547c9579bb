"""Shared memory for batches that is used again and again.

PyTorch takes new pages for every batch that a worker sends, and gives them back afterwards. For
4 MB a sample, of image and target maps, that costs as much as making the sample. Here a worker
keeps its blocks of memory. The first byte of a block is 1 from the moment when the worker writes a
batch to it until nothing in the process that got the batch refers to its tensors any more; then
the worker may write the next one.
"""

import os
import weakref
from multiprocessing import active_children

import numpy as np
import torch
from torch import Tensor

from dbnet.datasets.shared_memory import SharedMemory

ALIGNMENT = 64  # bytes
Key = tuple[int, int]  # of a block: the worker's process id, and its number there
Layout = dict[str, tuple[torch.dtype, tuple[int, ...], int]]  # type, shape and first byte

_own: dict[Key, SharedMemory] = {}  # this process, a worker, writes to them
_received: dict[Key, SharedMemory] = {}  # this process reads them


class SharedTensors:
    """Stacked tensors in a block of this worker; the process that unpickles it gets a dict.

    Args:
        tensors: For each name, tensors of one shape and type.
    """

    def __init__(self, tensors: dict[str, list[Tensor]]) -> None:
        self.layout, num_bytes = lay_out(tensors)
        self.key, self.is_new = take_block(num_bytes)
        memory = _own[self.key].bytes
        for name, tensor in views(memory, self.layout).items():
            torch.stack(tensors[name], out=tensor)

    def __reduce__(self) -> tuple:
        memory = _own[self.key] if self.is_new else None  # the other process keeps it
        return open_tensors, (self.key, memory, self.layout)


def lay_out(tensors: dict[str, list[Tensor]]) -> tuple[Layout, int]:
    """Place stacked tensors behind a block's first byte; the layout, and the bytes of it all."""
    layout, end = Layout(), ALIGNMENT
    for name, parts in tensors.items():
        shape = (len(parts), *parts[0].shape)
        layout[name] = parts[0].dtype, shape, end
        num_bytes = sum(part.nbytes for part in parts)
        end += -(-num_bytes // ALIGNMENT) * ALIGNMENT
    return layout, end


def views(memory: np.ndarray, layout: Layout) -> dict[str, Tensor]:
    """Make tensors on `memory`, (num_bytes,) uint8, which they keep alive."""
    whole = torch.from_numpy(memory)
    return {
        name: whole[start : start + dtype.itemsize * int(np.prod(shape))].view(dtype).view(shape)
        for name, (dtype, shape, start) in layout.items()
    }


def take_block(num_bytes: int) -> tuple[Key, bool]:
    """Mark a free block of at least `num_bytes` as in use; its key, and whether it is new."""
    pid = os.getpid()
    for key, memory in _own.items():
        if key[0] == pid and memory.bytes[0] == 0 and len(memory.bytes) >= num_bytes:
            memory.bytes[0] = 1
            return key, False
    key = pid, len(_own)
    # A power of two, so that batches of ever larger images need few blocks; what is not written
    # to takes no memory.
    _own[key] = SharedMemory(1 << (num_bytes - 1).bit_length())
    _own[key].bytes[0] = 1
    return key, True


def open_tensors(key: Key, memory: SharedMemory | None, layout: Layout) -> dict[str, Tensor]:
    """Return the tensors of a worker's block, which becomes free when all of them are gone."""
    if memory is not None:
        forget_dead_workers()
        _received[key] = memory
    whole = _received[key].bytes
    lease = np.frombuffer(whole, dtype=np.uint8)  # a new object, which the tensors keep alive
    weakref.finalize(lease, whole.__setitem__, 0, 0).atexit = False
    return views(lease, layout)


def forget_dead_workers() -> None:
    """Let go of the blocks of workers that have ended."""
    alive = {child.pid for child in active_children()}
    for key in list(_received):  # other threads, which pin memory, may add to it
        if key[0] not in alive:
            _received.pop(key, None)
