"""Memory that this process has freed: keep it for the next image, or give it back."""

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

STATM = Path("/proc/self/statm")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


class FreedMemory:
    """Give freed memory back to the system once the process holds much more than it needs.

    Tensors of ever new sizes leave gaps in glibc's heap: after 900 images of 900 sizes it held 2 GB
    that nothing used. What is given back must be had again, page by page, so that it is done only
    where the process has grown by `slack` bytes since it last had little.
    """

    def __init__(self, slack: int = 200 << 20) -> None:
        self.slack = slack
        self._trim = _glibc("malloc_trim")
        self._least = resident_bytes()

    def give_back(self) -> bool:
        """Give freed memory back if it may be much; return whether it was done."""
        if self._trim is None or not self.is_much():
            return False
        self._trim(0)
        self.note_given_back()
        return True

    def is_much(self) -> bool:
        """Check whether the process has grown by so much that freed memory is to be given back."""
        return resident_bytes() >= self._least + self.slack

    def note_given_back(self) -> None:
        """Take what is still there as in use, perhaps by others in this process."""
        self._least = max(self._least, resident_bytes() - self.slack // 2)


def resident_bytes() -> int:
    """Return the memory that this process holds; 0 where the system does not say."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


@functools.cache
def keep_freed_memory(trim: int = 256 << 20, largest: int = 32 << 20) -> bool:
    """Let this process, and those that it forks, reuse the memory of freed images.

    glibc hands a freed image back to the kernel, and each new one is paid for in page faults: 3200
    a training sample of ICDAR2015, a third of its time. `trim` free bytes stay with the process;
    blocks of more than `largest`, which can be no higher, go back as before. Returns whether the C
    library knows these settings.
    """
    mallopt = _glibc("mallopt")
    if mallopt is None:  # not glibc
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, trim) and mallopt(M_MMAP_THRESHOLD, largest))


def _glibc(name: str) -> Callable[..., int] | None:
    """Find a function that glibc has, and other C libraries have not."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return getattr(library, name, None)
