"""Arrays in a file that all processes of a machine map, made once from another file."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dbnet.datasets.shared_memory import SharedArray
from dbnet.utils.files import locked, replace_when_complete, sha256
from dbnet.utils.log import log

VERSION = 1
ALIGNMENT = 64  # bytes
HEAD = 1 << 16  # bytes of the description, at most

Arrays = dict[str, np.ndarray]


class MappedArray:
    """A read-only array in a file, which a process that is being spawned maps again."""

    def __init__(self, path: Path, first: int, kind: str, shape: Sequence[int]) -> None:
        self._state = path, first, kind, tuple(shape)
        self.array = np.memmap(path, kind, "r", first, self._state[3]).view(np.ndarray)

    def __getstate__(self) -> tuple:
        return self._state

    def __setstate__(self, state: tuple) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __deepcopy__(self, memo: dict) -> "MappedArray":
        return self


Holders = Mapping[str, SharedArray | MappedArray]


def share(arrays: Mapping[str, np.ndarray]) -> Holders:
    """Put arrays where the workers of this process have them too."""
    return {name: SharedArray(array) for name, array in arrays.items()}


def cached_arrays(source: Path, make: Callable[[], Mapping[str, np.ndarray]]) -> Holders:
    """Map the arrays that were made from a file, or make them and keep them beside it.

    One of several processes makes them, the others wait. Where the folder cannot be written to, or
    the disk is full, each makes its own.

    Args:
        source: The file; `.NAME.arrays` beside it is the one that is mapped, valid as long as the
            source has the same size and time, or the same SHA-256.
        make: Makes the arrays.
    """
    place = source.with_name(f".{source.name}.arrays")
    with locked(source):
        if (arrays := read_arrays(place, source)) is not None:
            return arrays
        state = state_of(source)
        made = make()
        if state_of(source) != state:  # was written to in the meantime
            return share(made)
        try:
            write_arrays(place, source, made)
        except OSError as error:
            log(f"{place}: {error.strerror}; {source.name} will be read again at the next start")
            return share(made)
    return read_arrays(place, source) or share(made)


def write_arrays(path: Path, source: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, and of which file they are, into a file."""
    fields, end = {}, HEAD
    for name, array in arrays.items():
        first = -(-end // ALIGNMENT) * ALIGNMENT
        fields[name] = (first, array.dtype.str, array.shape)
        end = first + array.nbytes
    head = dict(version=VERSION, state=state_of(source), sha256=sha256(source), fields=fields)
    with replace_when_complete(path) as partial, partial.open("wb") as file:
        file.write(json.dumps(head).encode().ljust(HEAD))
        for (first, _, _), array in zip(fields.values(), arrays.values()):
            file.seek(first)
            file.write(np.ascontiguousarray(array).data)
        file.truncate(end)


def read_arrays(path: Path, source: Path) -> Holders | None:
    """Map the arrays of a file; None if it is not of the source as it is now."""
    try:
        with path.open("rb") as file:
            head: dict[str, Any] = json.loads(file.read(HEAD))
        if head["version"] != VERSION:
            return None
        if head["state"] != state_of(source) and head["sha256"] != sha256(source):
            return None
        return {name: MappedArray(path, *field) for name, field in head["fields"].items()}
    except (OSError, ValueError, KeyError, TypeError):  # missing, damaged, of another version
        return None


def state_of(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns]
