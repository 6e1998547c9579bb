"""Faults and doubts of a set of labels, gathered so that all of them are told at once."""

import csv
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from dbnet.errors import UserError
from dbnet.utils.files import replace_when_complete

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Gathered:
    """What came up while a set was read."""

    faults: list[str] = field(default_factory=list)  # a line for each thing that was left out
    # What was read, yet may be meant otherwise: the first place, and how many there are.
    doubts: dict[str, tuple[str, int]] = field(default_factory=dict)
    classes: set[str] = field(default_factory=set)  # names of the classes that texts have
    # Passes on so many items, and shows how many are done.
    watch: Callable[[Iterable[Any], int], Iterable[Any]] | None = None

    def describe_doubts(self) -> list[str]:
        """Return a line for each kind of doubt."""
        return [
            f"{doubt} ({count}, the first: {place})"
            for doubt, (place, count) in self.doubts.items()
        ]


_GATHERED: ContextVar[Gathered | None] = ContextVar("gathered", default=None)


@contextmanager
def gathering(
    watch: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> Iterator[Gathered]:
    """Gather the faults and doubts of the block, in this thread; `watch` shows its progress."""
    gathered = Gathered(watch=watch)
    token = _GATHERED.set(gathered)
    try:
        yield gathered
    finally:
        _GATHERED.reset(token)


def note_fault(error: UserError) -> None:
    """Note that something is left out; raise the error if nobody gathers."""
    gathered = _GATHERED.get()
    if gathered is None:
        raise error
    gathered.faults.append(str(error))


def note_doubt(place: object, doubt: str) -> None:
    """Note that something at `place` may be meant otherwise; `doubt` is the same for its kind."""
    gathered = _GATHERED.get()
    if gathered is not None:
        first, count = gathered.doubts.get(doubt, (str(place), 0))
        gathered.doubts[doubt] = first, count + 1


def note_classes(names: Iterable[str]) -> None:
    """Note the names of classes that were met."""
    gathered = _GATHERED.get()
    if gathered is not None:
        gathered.classes.update(names)


def watched(items: Collection[Item]) -> Iterable[Item]:
    """Pass on files or images while somebody watches how many are read."""
    gathered = _GATHERED.get()
    watch = gathered.watch if gathered else None
    return watch(items, len(items)) if watch else items


def readable(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield what `read` makes of each item; faulty ones are noted and left out."""
    for item in items:
        try:
            result = read(item)
        except UserError as error:
            note_fault(error)
        else:
            yield result


def write_faults(path: Path, faults: Iterable[str]) -> None:
    """Write a table of faults with the columns `place` and `problem`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replace_when_complete(path) as partial,
        partial.open("w", encoding="utf-8", errors="replace", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(["place", "problem"])
        for fault in faults:
            place, separator, problem = fault.partition(": ")
            table.writerow([place, problem] if separator else ["", fault])
