import ctypes
import mmap
import os
import tempfile
from multiprocessing import reduction

import numpy as np

MFD_CLOEXEC = 1  # of linux/memfd.h


class SharedMemory:
    """Zeroed memory that this process and its workers, forked or spawned, share.

    It is a file without a name: /dev/shm, which is 64 MB in a container, does not limit it, and
    nothing is left behind, as the kernel frees it with the last process that maps it. Pages are
    taken when they are first written. The attribute `bytes` is the memory, (num_bytes,) uint8.
    """

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._map(unnamed_file(max(num_bytes, 1)))

    def _map(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "r+b")  # closed with this object
        memory = mmap.mmap(descriptor, 0)
        self.bytes = np.frombuffer(memory, dtype=np.uint8, count=self.num_bytes)

    def __getstate__(self) -> dict:
        """Hand on the descriptor, which only a process that is being spawned can take."""
        return dict(num_bytes=self.num_bytes, descriptor=reduction.DupFd(self._file.fileno()))

    def __setstate__(self, state: dict) -> None:
        self.num_bytes = state["num_bytes"]
        self._map(state["descriptor"].detach())

    def __deepcopy__(self, memo: dict) -> "SharedMemory":
        return self


class SharedArray:
    """A read-only copy of an array in `SharedMemory`."""

    def __init__(self, array: np.ndarray) -> None:
        self._memory = SharedMemory(array.nbytes)
        self._memory.bytes[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._view(array.dtype, array.shape)

    def _view(self, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self.array = self._memory.bytes.view(dtype).reshape(shape)
        self.array.flags.writeable = False

    def __getstate__(self) -> tuple:
        return self._memory, self.array.dtype, self.array.shape

    def __setstate__(self, state: tuple) -> None:
        self._memory, dtype, shape = state
        self._view(dtype, shape)


def unnamed_file(num_bytes: int) -> int:
    """Open a file of zeros that no folder lists, in memory where the system can; a descriptor."""
    descriptor = memory_file()
    if descriptor is not None:
        os.ftruncate(descriptor, num_bytes)
        return descriptor
    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    if hasattr(os, "posix_fallocate"):  # an error here instead of a SIGBUS at the first write
        os.posix_fallocate(descriptor, 0, num_bytes)
    os.ftruncate(descriptor, num_bytes)
    return descriptor


def memory_file() -> int | None:
    """Open a file in memory; None where the system has no such thing (macOS)."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("dbnet")
    # Pythons built for old systems (conda, uv) lack it where the C library has it.
    create = getattr(ctypes.CDLL(None), "memfd_create", None)
    descriptor = -1 if create is None else create(b"dbnet", MFD_CLOEXEC)
    return None if descriptor < 0 else descriptor
