"""Atomic writes, digests, and which files are meant to be read."""

import errno
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

from dbnet.errors import UserError

CHUNK = 1 << 20  # bytes


def partial_name(path: Path) -> Path:
    """Name a file while it is being written: hidden, and in the same folder, to be renamed."""
    return path.with_name(f".{path.name}.partial")


@contextmanager
def replace_when_complete(path: Path) -> Iterator[Path]:
    """Yield a name to write to, and rename that file to `path` when the block ends.

    Its content is on the disk by then, so that not even a power cut leaves half a file. If an
    exception leaves the block, it is removed and an earlier file at `path` stays as it was.
    """
    partial = partial_name(path)
    try:
        yield partial
        _sync(partial)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(path.parent)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file or folder, if its system has such a thing; an absent file is made.

    A process that is killed gives it back. A `BlockingIOError` if another has it and this one is
    not to wait.
    """
    try:
        import fcntl
    except ImportError:  # on Windows
        fcntl = None  # type: ignore[assignment]
    descriptor = os.open(path, os.O_RDONLY | (0 if path.exists() else os.O_CREAT), 0o666)
    try:
        try:
            if fcntl:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:
            pass  # the file system has no locks
        yield
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_visible(path: PurePath) -> bool:
    """Return whether no part of a relative path is hidden or the `__MACOSX` of macOS's zips.

    >>> [is_visible(PurePath(name)) for name in ("a/b.jpg", "a/.b.jpg", "__MACOSX/b.jpg")]
    [True, False, False]
    """
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def refuse_special(path: str | os.PathLike[str]) -> None:
    """Refuse by an `OSError` a FIFO, a socket or a device, of which reading might never end."""
    mode = (path.stat() if isinstance(path, Path) else os.stat(path)).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        kind = "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"
        raise OSError(errno.EINVAL, f"is {kind}, not a file; copy its content to a file", path)


@contextmanager
def opened_zip(path: Path, advice: str = "") -> Iterator[zipfile.ZipFile]:
    """Open a zip to read it; what is wrong with it becomes a `UserError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # RuntimeError: the zip is encrypted. NotImplementedError, its subclass: unknown compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(f"{path}: damaged or no zip ({error}){advice}") from error


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
