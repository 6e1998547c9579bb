"""What an archive holds, as paths that preparers list and read without unpacking it."""

import io
import os
import stat
from collections.abc import Generator
from pathlib import Path, PosixPath, PureWindowsPath
from typing import IO, Any

from dbnet import remote
from dbnet.errors import UserError
from dbnet.remote.paths import split_member

# Archives, and the names in each of their folders.
_entered: dict[str, dict[str, dict[str, None]]] = {}


class Member(PosixPath):
    """A file or folder in an archive, written as if that were a folder; it can only be read.

    `str` is for messages. `os.fspath` is for who opens it and for annotations: zip://NAME::ARCHIVE.
    """

    def _find(self) -> tuple[str, str]:
        """Return the archive, "" if it has been left, and the name, which is "" for all of it."""
        archive = next((str(p) for p in (self, *self.parents) if str(p) in _entered), "")
        return archive, str(self)[len(archive) + 1 :]

    def __fspath__(self) -> str:
        archive, name = self._find()
        return f"{'tar' if archive.lower().endswith('.tar') else 'zip'}://{name}::{archive}"

    def _inside(self) -> dict[str, None] | None:
        archive, name = self._find()
        return _entered.get(archive, {}).get(name)

    def iterdir(self) -> "Generator[Member, None, None]":
        return (self / name for name in self._inside() or ())

    def is_dir(self, **kwargs: Any) -> bool:
        return self._inside() is not None

    def is_file(self, **kwargs: Any) -> bool:
        return self.exists() and not self.is_dir()

    def exists(self, **kwargs: Any) -> bool:
        return not self._find()[1] or self.name in (self.parent._inside() or ())

    def is_symlink(self) -> bool:
        return False

    def resolve(self, strict: bool = False) -> "Member":
        return self

    def stat(self, **kwargs: Any) -> os.stat_result:
        """Return that it is a file, and its size; nothing else is known."""
        return os.stat_result((stat.S_IFREG, 0, 0, 1, 0, 0, len(self.read_bytes()), 0, 0, 0))

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:  # type: ignore[override]
        """Open a copy in memory."""
        content = io.BytesIO(self.read_bytes())
        return content if "b" in mode else io.TextIOWrapper(content, kwargs.get("encoding"))

    def read_bytes(self) -> bytes:
        try:
            return remote.read(os.fspath(self))
        except UserError as error:
            raise UserError(f"{self}: {error}") from None


def is_archive(path: Path) -> bool:
    """Return whether a path is that of an archive."""
    return path.name.lower().endswith(remote.SUFFIXES) and path.is_file()


def enter(archive: Path) -> Member:
    """Return an archive as a folder; a `UserError` if it cannot be read, or is in another one."""
    if isinstance(archive, Member):
        split_member(f"zip://1::{os.fspath(archive)}")  # which refuses it
    place = str(archive.resolve())
    if place not in _entered:
        folders: dict[str, dict[str, None]] = {"": {}}
        for url in remote.list_inside(place):
            parts = PureWindowsPath(split_member(url)[0]).parts  # knows both slashes
            for depth, name in enumerate(parts):
                above = "/".join(parts[:depth])
                folders.setdefault(above, {})[name] = None
        _entered[place] = folders
    return Member(place)
