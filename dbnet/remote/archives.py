"""Members of zips and tars, read by their offsets, which a file in the cache's folder keeps."""

import contextlib
import functools
import io
import os
import posixpath
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

import numpy as np

from dbnet.errors import SetupError, UserError
from dbnet.remote import cache, objects
from dbnet.remote.paths import is_url
from dbnet.utils.files import is_visible, locked, replace_when_complete

RAW, STORED, DEFLATED, ENCRYPTED = -1, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, -2
HEAD = struct.Struct("<4s22xHH")  # a zip's local one: its mark, the lengths of name and extra
MOST_HEAD = HEAD.size + 2 * 0xFFFF
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, struct.error)
BUFFER = 1 << 18  # bytes that are asked for at once while a directory is read

# (7, N) int64, members in the order of their keys: first byte and the end of what holds it, packed
# and true size, CRC-32, method.
Index = np.ndarray


def read_member(archive: str, name: str) -> bytes:
    """Return the bytes of a member; a `UserError` if there is none, or damaged or too large."""
    index, key = index_of(archive), key_of(name)
    place = int(np.searchsorted(index[0], key))
    if place == index.shape[1] or index[0, place] != key:
        raise UserError("is not in the archive")
    first, end, packed, size, crc, method = index[1:, place].tolist()
    if size > objects.MOST:
        raise UserError(f"has {size} bytes, more than {objects.MOST}, the limit of a picture")
    if method not in (RAW, STORED, DEFLATED):
        how = "encrypted" if method == ENCRYPTED else f"compressed by method {method}"
        raise UserError(f"is {how}; write the archive anew, stored or deflated, without a password")
    data = read_range(archive, first, min(end, first + packed + MOST_HEAD))
    try:
        return (
            data
            if method == RAW and len(data) == size
            else _unpacked(data, packed, size, crc, method)
        )
    except DAMAGE:
        raise UserError("is damaged or cut off in the archive") from None


def _unpacked(data: bytes, packed: int, size: int, crc: int, method: int) -> bytes:
    mark, *lengths = HEAD.unpack_from(data)
    start = HEAD.size + sum(lengths)
    body = memoryview(data)[start : start + packed]
    content = bytes(body)
    if method == DEFLATED:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, size + 1)
    if mark != b"PK\3\4" or len(content) != size or zlib.crc32(content) != crc:
        raise ValueError
    return content


def read_range(archive: str, first: int, end: int) -> bytes:
    """Read the bytes of an archive from `first` to before `end`, fewer if it ends before."""
    if is_url(archive):
        return objects.read(archive, first, end)
    with open(archive, "rb", buffering=0) as file:
        return os.pread(file.fileno(), end - first, first)


def state_of(archive: str) -> tuple[str, ...]:
    """Describe an archive's content by size and time; that of a URL once in a process."""
    if is_url(archive):
        return _remote_state(archive)
    try:
        status = os.stat(archive)
    except OSError as error:
        raise UserError(f"the archive: {(error.strerror or '').lower()}") from None
    return str(status.st_size), str(status.st_mtime_ns)


@functools.cache
def _remote_state(url: str) -> tuple[str, ...]:
    return tuple(objects.state_of(url))


def index_of(archive: str) -> Index:
    """Return an archive's index, which is made once on a machine."""
    found = _index(archive, state_of(archive))
    if isinstance(found, str):
        raise UserError(found)
    return found


@functools.lru_cache(1024)
def _index(archive: str, state: tuple[str, ...]) -> Index | str:
    """Map the index, or make it; or tell why there is none, which is found out but once."""
    try:
        place = _place(archive, state)
        with _making(place):
            with contextlib.suppress(OSError, ValueError, EOFError):
                return np.load(place, mmap_mode="r")
            return _keep(scan(archive)[1], place)
    except SetupError:
        raise
    except UserError as error:
        return str(error)


def _place(archive: str, state: tuple[str, ...]) -> Path:
    name = archive if is_url(archive) else os.path.realpath(archive)
    return cache.place("archives") / f"{cache.digest(f'{name} {state}')}.npy"


@contextlib.contextmanager
def _making(place: Path) -> Iterator[None]:
    """Let one process of a machine make what the others wait for, if there is a place for it."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(place.with_suffix(".lock")))
        yield


def _keep(index: Index, place: Path) -> Index:
    try:
        with replace_when_complete(place) as partial, partial.open("wb") as file:
            np.save(file, index)
    except OSError as error:
        cache.warn(error)
        return index
    return np.load(place, mmap_mode="r")


def list_members(archive: str) -> list[str]:
    """List the names of the visible files in an archive, in its order; its index is kept.

    A `UserError` if it cannot be read, or a name leads out of it or cannot be written as a URL.
    """
    state = state_of(archive)
    names, index = scan(archive)
    for name in names:
        path = PureWindowsPath(name)  # knows both slashes and drives, on any system
        if path.anchor or ".." in path.parts or "::" in name:
            raise UserError(f"the entry {name!r} leaves the folder, or has :: in its name")
    place = _place(archive, state)
    with _making(place):
        _keep(index, place)
    return [name for name in names if is_visible(PureWindowsPath(name))]


def scan(archive: str) -> tuple[list[str], Index]:
    """Read the directory of an archive: names of its files, and the index."""
    names, rows, links = list[str](), list[tuple[int, ...]](), list[tuple[int, int]]()
    try:
        with _opened(archive) as file:
            members = _zip_rows(file) if zipfile.is_zipfile(file) else _tar_rows(file)
            for name, *row in members:
                names.append(name)
                if len(row) == 1:  # of a tar: is another's content
                    links.append((key_of(name), key_of(row[0])))
                else:
                    rows.append((key_of(name), *row))
    except (*DAMAGE, RuntimeError):
        raise UserError(
            "the archive is no zip or tar, damaged, cut off, or compressed (gunzip it)"
        ) from None
    except OSError as error:
        raise UserError(f"the archive: {(error.strerror or '').lower()}") from None
    if links:
        place_of = {row[0]: row[1:] for row in rows}
        for key, target in links:  # one that leads nowhere stays a name, which cannot be read
            if target in place_of:
                place_of[key] = place_of[target]
                rows.append((key, *place_of[key]))
    table = np.array(rows, np.int64).reshape(-1, 7)[::-1]  # of a name that is there twice the last
    return names, np.ascontiguousarray(table[np.unique(table[:, 0], return_index=True)[1]].T)


def key_of(name: str) -> int:
    """Return the number by which a name is looked up; both slashes are the same."""
    plain = name.replace("\\", "/").removeprefix("./").encode(errors="surrogateescape")
    return int.from_bytes(blake2b(plain, digest_size=8).digest(), "big", signed=True)


def _zip_rows(file: BinaryIO | io.BufferedReader) -> Iterator[tuple]:
    with zipfile.ZipFile(file) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        starts = np.unique([info.header_offset for info in archive.infolist()] or [0])
        ends = dict(zip(starts.tolist(), [*starts[1:].tolist(), archive.start_dir]))
    for info in infos:
        method = ENCRYPTED if info.flag_bits & 1 else info.compress_type
        span = info.header_offset, ends[info.header_offset]
        yield info.filename, *span, info.compress_size, info.file_size, info.CRC, method


def _tar_rows(file: BinaryIO | io.BufferedReader) -> Iterator[tuple]:
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # a million would fill the memory
            if member.isreg() and not member.issparse():
                first, size = member.offset_data, member.size
                yield member.name, first, first + size, size, size, 0, RAW
            elif member.islnk():
                yield member.name, member.linkname
            elif member.issym():
                yield member.name, posixpath.normpath(f"{member.name}/../{member.linkname}")


def _opened(archive: str) -> BinaryIO | io.BufferedReader:
    if not is_url(archive):
        return open(archive, "rb", buffering=BUFFER)
    return io.BufferedReader(_Remote(archive), BUFFER)


class _Remote(io.RawIOBase):
    """An archive at a URL as a file that is read by ranges."""

    def __init__(self, url: str) -> None:
        self.url, self.place = url, 0
        size = state_of(url)[0]
        if not size.isdecimal():
            raise UserError("the server does not tell the archive's size; download it")
        self.size = int(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("before the start")
        self.place = base + offset
        return self.place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        end = min(self.place + len(buffer), self.size)
        data = read_range(self.url, self.place, end) if end > self.place else b""
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)
