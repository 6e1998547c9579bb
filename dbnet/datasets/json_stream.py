"""A list in a large JSON file, item by item, in little memory."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

CHARS_AT_ONCE = 1 << 24
SPACE = " \t\n\r"


class NotStreamed(Exception):  # noqa: N818  # no error: another way is taken
    """The file is not as most are; `json.loads` may take it, or says what is wrong."""


def stream_list(path: Path, key: str) -> Iterator[Any]:
    """Yield the items of the list that a file's JSON object has under a key.

    Raises:
        NotStreamed: The file is no such thing, perhaps after some items.
        OSError: It cannot be read.
    """
    with path.open(encoding="utf-8-sig") as file:
        text, found = _Text(file), False
        for _ in text.each("{}"):
            name = text.value()
            text.expect(":")
            if name != key:
                text.value()
            elif found:
                raise NotStreamed("the key stands there twice")
            else:
                found = True
                for _ in text.each("[]"):
                    yield text.value()
        if not found or text.peek(end=True):
            raise NotStreamed("no such list, or something behind the object")


class _Text:
    """What is read of a file, from the next character on."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.buffer, self.place = "", 0
        self.decode = json.JSONDecoder().raw_decode

    def each(self, brackets: str) -> Iterator[None]:
        """Pass over brackets and commas; stop where each of what they hold is to be read."""
        self.expect(brackets[0])
        if self.take(brackets[1]):
            return
        while True:
            yield
            if self.take(brackets[1]):
                return
            self.expect(",")

    def value(self) -> Any:
        """Parse a value."""
        self.peek()
        while True:
            try:
                value, end = self.decode(self.buffer, self.place)
            except (json.JSONDecodeError, RecursionError):
                end = len(self.buffer)  # may be cut off
            if end < len(self.buffer):
                self.place = end
                return value
            if not self._read_on():
                raise NotStreamed("is no JSON object")

    def take(self, char: str) -> bool:
        """Take a character if it is the next one that is no space."""
        if found := self.peek() == char:
            self.place += 1
        return found

    def expect(self, char: str) -> None:
        if not self.take(char):
            raise NotStreamed(f"{char} is missing")

    def peek(self, end: bool = False) -> str:
        """Look at the next character that is no space; "" at the file's end, if it may be here."""
        while True:
            while self.place < len(self.buffer):
                if self.buffer[self.place] not in SPACE:
                    return self.buffer[self.place]
                self.place += 1
            if not self._read_on():
                if end:
                    return ""
                raise NotStreamed("ends too early")

    def _read_on(self) -> bool:
        try:
            more = self.file.read(CHARS_AT_ONCE)
        except UnicodeDecodeError:
            raise NotStreamed("is not UTF-8") from None
        self.buffer, self.place = self.buffer[self.place :] + more, 0
        return bool(more)
