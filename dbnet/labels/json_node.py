"""Values of JSON documents that know their place, so that every complaint names it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dbnet.errors import UserError
from dbnet.geometry import rectangle
from dbnet.labels.faults import readable
from dbnet.labels.text_lines import split_lines, to_utf8

MAX_BYTES = 1 << 30  # of a document; the largest public one, TextOCR's, has 0.3 GB
MAX_COORDINATE = 1e6  # pixels; no image is as large
SHOWN = 40  # characters of a wrong value in a message


@dataclass(frozen=True)
class JsonNode:
    """A value of a JSON document, with the document's file (and line) and its path in there."""

    value: Any
    source: str
    path: str = ""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.source}: {self.path}" if self.path else self.source

    def fail(self, problem: str) -> NoReturn:
        """Raise a `UserError` about this value, which names its place."""
        raise UserError(f"{self.place}: {problem}")

    def field(self, key: str) -> "JsonNode":
        """Return the value of a key that must be there."""
        found = self.optional(key)
        if found is None:
            self.fail(f"no {key!r}; add it, or choose the format that this file is in")
        return found

    def optional(self, key: str) -> "JsonNode | None":
        """Return the value of a key; None if there is no such key or its value is null."""
        if not isinstance(self.value, dict):
            self.fail(f"expected an object with {key!r}, found {self._shown()}")
        if self.value.get(key) is None:
            return None
        path = f"{self.path}.{key}" if self.path else key
        return replace(self, value=self.value[key], path=path)

    def text_of(self, key: str) -> str:
        """Return the text of a key; "" if it is not there."""
        found = self.optional(key)
        return found.text() if found else ""

    def flag_of(self, key: str) -> bool:
        """Return the flag of a key; false if it is not there."""
        found = self.optional(key)
        return found.flag() if found else False

    def number_of(self, key: str) -> float:
        """Return the number of a key; 0 if it is not there."""
        found = self.optional(key)
        return found.number() if found else 0.0

    def items_of(self, key: str) -> "Iterator[JsonNode]":
        """Yield the items of the list of a key; nothing if it is not there."""
        found = self.optional(key)
        return found.items() if found else iter(())

    def with_value(self, value: Any) -> "JsonNode":
        """Return another value, whose place is this one's."""
        return JsonNode(value, self.source, self.path)

    def names(self) -> list[str]:
        """Return the names of the values of an object."""
        if not isinstance(self.value, dict):
            self.fail(f"expected an object, found {self._shown()}")
        return [*self.value]

    def items(self) -> Iterator["JsonNode"]:
        """Yield the items of a list."""
        if not isinstance(self.value, list):
            self.fail(f"expected a list, found {self._shown()}")
        for index, item in enumerate(self.value):
            yield replace(self, value=item, path=f"{self.path}[{index}]")

    def find_all(self, key: str) -> Iterator["JsonNode"]:
        """Yield the items of all lists of that name in this value, however deep."""
        nested = self.value
        if isinstance(nested, dict):
            for name in nested:
                child = self.optional(name)
                if child is not None:
                    if name == key:
                        yield from child.items()
                    yield from child.find_all(key)
        elif isinstance(nested, list):
            for item in JsonNode.items(self):
                yield from item.find_all(key)

    def text(self) -> str:
        """Return a string."""
        if not isinstance(self.value, str):
            self.fail(f"expected a text in quotes, found {self._shown()}")
        return self.value

    def flag(self) -> bool:
        """Return true or false, which may be 1 or 0."""
        if self.value not in (0, 1):
            self.fail(f"expected true or false, found {self._shown()}")
        return bool(self.value)

    def number(self) -> float:
        """Return a coordinate, finite and of a size that images have."""
        is_number = isinstance(self.value, int | float) and not isinstance(self.value, bool)
        if not is_number or not abs(self.value) <= MAX_COORDINATE:
            self.fail(f"expected a coordinate in pixels, found {self._shown()}")
        return float(self.value)

    def flat_polygon(self) -> np.ndarray:
        """Return the polygon of a list x1, y1, x2, y2, ... as (N, 2) float64, N >= 3.

        Not float32, in which 0.1 would be written back as 0.10000000149011612.
        """
        if len(numbers := self.numbers()) % 2:
            self.fail(f"{len(numbers)} numbers are no pairs of x and y; add or remove one")
        return self._polygon(np.array(numbers).reshape(-1, 2))

    def numbers(self) -> list[float]:
        """Return a list of coordinates."""
        return [item.number() for item in self.items()]

    def box(self) -> np.ndarray:
        """Return the corners (4, 2) of a list x, y, width, height."""
        if len(numbers := self.numbers()) != 4:
            self.fail(f"{numbers} is no box x, y, width, height; fix it")
        left, top, width, height = numbers
        return rectangle(left, top, left + width, top + height)

    def points(self, least: int = 3) -> np.ndarray:
        """Return a list of pairs [x, y] as (N, 2) float64, N >= `least`."""
        pairs = [pair.numbers() for pair in self.items()]
        for index, pair in enumerate(pairs):
            if len(pair) != 2:
                self.fail(f"point {index} has {len(pair)} numbers, not x and y")
        return self._polygon(np.array(pairs).reshape(-1, 2), least)

    def points_by(self, axes: str) -> np.ndarray:
        """Return a list of objects with these two keys as `points` does."""
        pairs = [[point.field(axis).number() for axis in axes] for point in self.items()]
        return self.with_value(pairs).points()

    def corners(self) -> np.ndarray:
        """Return a list of pairs as `points` does; two are opposite corners of a rectangle."""
        points = self.points(least=2)
        if len(points) > 2:
            return points
        return rectangle(*points.min(axis=0), *points.max(axis=0))

    def _polygon(self, points: np.ndarray, least: int = 3) -> np.ndarray:
        if len(points) < least:
            self.fail(f"{len(points)} points, but {least} are needed; redraw or delete this one")
        return points

    def _shown(self) -> str:
        shown = json.dumps(self.value, ensure_ascii=False)
        return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def read_json(path: Path) -> JsonNode:
    """Read a JSON document."""
    return parse_json(to_utf8(read_limited(path), str(path)), str(path))


def read_limited(path: Path, most: int = MAX_BYTES) -> bytes:
    """Read a file of at most so many bytes, since what is read takes several times their memory."""
    size = path.stat().st_size
    if size > most:
        raise UserError(
            f"{path}: {size / 1e6:,.0f} MB, of which {most / 1e6:,.0f} MB at most are read; export "
            "it in parts"
        )
    return path.read_bytes()


def read_json_lines(path: Path) -> Iterator[JsonNode]:
    """Read a file of one JSON document per line; empty lines are skipped."""
    return readable(lambda line: parse_json(line[1], line[0]), _lines(path))


def read_named_lines(path: Path) -> Iterator[tuple[JsonNode, JsonNode]]:
    """Read a file of lines `name<TAB>JSON` as pairs of name and document."""
    return readable(lambda line: _parse_named(line[1], line[0]), _lines(path))


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(split_lines(read_limited(path), str(path)), start=1):
        if line.strip():
            yield f"{path}, line {number}", line


def _parse_named(line: bytes, source: str) -> tuple[JsonNode, JsonNode]:
    name, tab, document = line.partition(b"\t")
    if not tab:
        raise UserError(f"{source}: no tab; expected the image's path, a tab and a JSON list")
    try:
        return JsonNode(name.decode("utf-8"), source, "path"), parse_json(document, source)
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: {error}; save the file as UTF-8") from None


def parse_json(content: bytes, source: str) -> JsonNode:
    """Parse a JSON document in UTF-8; `source` is its place for messages."""
    try:
        return JsonNode(json.loads(content), source)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{source}: no JSON ({error}); export it again") from None
