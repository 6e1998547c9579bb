"""Objects from elsewhere, kept on the disk within a budget that all processes and runs share.

`DBNET_CACHE_GB`, 10^9 bytes, is the budget, 10 if not set; 0 keeps nothing. `DBNET_CACHE` is the
folder. Each file holds an object's CRC-32 and the object; it appears whole. Under a lock, a file
`total` counts their bytes; beyond the budget those go that were not used for longest.
"""

import contextlib
import functools
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from dbnet.errors import SetupError
from dbnet.utils.files import locked
from dbnet.utils.log import log

FILLED_TO = 0.9  # of the budget, once something had to go
USED_AGAIN = 60  # seconds after which another use is noted
STALE = 3600  # seconds after which half a file is of a process that has died
CHECK = 4  # bytes of the CRC-32


def place(name: str) -> Path:
    """Return a path in the cache's folder."""
    usual = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(os.environ.get("DBNET_CACHE") or os.path.join(usual, "dbnet")) / name


def digest(text: str) -> str:
    """Name what belongs to a text, in which secrets may be."""
    return blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def budget() -> int:
    """Return how many bytes may be kept; a `SetupError` if what is set is no number."""
    value = os.environ.get("DBNET_CACHE_GB") or "10"
    try:
        return int(float(value) * 1e9)
    except (ValueError, OverflowError):
        raise SetupError(f"DBNET_CACHE_GB={value}: must be a number, 10^9 bytes") from None


def through(key: str, read: Callable[[], bytes]) -> bytes:
    """Return what is kept of a key; else read it and keep it, if there is a way."""
    most = budget()
    if most <= 0 or key.startswith("file://"):
        return read()
    root = place("objects")
    name = digest(key)
    path = root / name[:2] / name
    data = _load(path)
    if data is None:
        data = read()
        try:
            _keep(root, path, data, most)
        except OSError as error:  # no space, no permission, ...
            warn(error)
    return data


def warn(error: OSError) -> None:
    """Tell once in a process that nothing can be kept."""
    _warn(os.getpid(), f"{place('')}: {(error.strerror or str(error)).lower()}")


@functools.cache
def _warn(process: int, problem: str) -> None:
    line = f"{problem}; pictures are not kept there (DBNET_CACHE is its folder)"
    log(line, level=logging.WARNING)


def _load(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read()
            if time.time() - os.fstat(file.fileno()).st_mtime > USED_AGAIN:
                with contextlib.suppress(OSError):
                    os.utime(path)
    except OSError:
        return None
    data = content[CHECK:]
    return data if content[:CHECK] == _check(data) else None  # else a power cut left it


def _check(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(CHECK, "big")


def _keep(root: Path, path: Path, data: bytes, most: int) -> None:
    size = len(data) + CHECK
    if size > most:
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_bytes(_check(data) + data)
        with locked(root / "lock"):
            total = _read_total(root / "total") + size
            if total > most:
                total = _make_room(root, int(FILLED_TO * most) - size) + size
            (root / "total").write_text(str(total))
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _read_total(path: Path) -> float:
    """Read how many bytes all files have; infinite, so that they are counted, if nobody knows."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return float("inf")


def _make_room(root: Path, most: int) -> int:
    """Remove files until they have at most so many bytes; return how many they have."""
    files = list[tuple[float, int, str]]()
    for folder in os.scandir(root):
        for entry in os.scandir(folder.path) if folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # another's half file, which got its name
                status = entry.stat()
                if not entry.name.startswith("."):
                    files.append((status.st_mtime, status.st_size, entry.path))
                elif time.time() - status.st_mtime > STALE:
                    os.unlink(entry.path)
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= max(most, 0):
            break
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        total -= size
    return total
