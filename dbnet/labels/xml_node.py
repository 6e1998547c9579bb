"""XML documents as nodes: attributes and children by their names, nothing outside is read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

from dbnet.errors import UserError
from dbnet.labels.json_node import MAX_COORDINATE, JsonNode, read_limited

MAX_BYTES = 1 << 28  # of a document, which takes 20 times as much memory
MAX_DEPTH = 100
TEXT = "#text"  # the key of an element's text, beside those of its attributes and children


@dataclass(frozen=True)
class XmlNode(JsonNode):
    """A value of an XML document: the text of an element or attribute, or a dict of what it has.

    Children of one name are a list if there are several. Prefixes of names are left out.
    """

    def items(self) -> Iterator[JsonNode]:
        """Yield the elements of one name, of which there may be one alone."""
        if isinstance(self.value, list):
            yield from super().items()
        else:
            yield self

    def text(self) -> str:
        """Return the text."""
        return self.value.get(TEXT, "") if isinstance(self.value, dict) else super().text()

    def flag(self) -> bool:
        """Return true or false, which may be 1 or 0."""
        if self.text().lower() not in ("0", "1", "true", "false"):
            self.fail(f"expected 0 or 1, found {self._shown()}")
        return self.text().lower() in ("1", "true")

    def number(self) -> float:
        """Return a coordinate, finite and of a size that images have."""
        try:
            number = float(self.text())
        except ValueError:
            number = float("inf")
        if not abs(number) <= MAX_COORDINATE:
            self.fail(f"expected a coordinate in pixels, found {self._shown()}")
        return number


def read_xml(path: Path) -> XmlNode:
    """Read an XML document; its root's name is the only key.

    Entities cannot be declared, and a document type is not looked up: nothing is read outside.
    """
    parser, builder = expat.ParserCreate(), _Builder()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.add_text
    parser.StartDoctypeDeclHandler = _refuse_declarations
    content = read_limited(path, MAX_BYTES)
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # of encodings
        raise UserError(f"{path}: no XML ({error}); export it again") from None
    return XmlNode(builder.opened[0], str(path))


def _refuse_declarations(
    name: str, system: str | None, public: str | None, has_internal_subset: bool
) -> None:
    if has_internal_subset:
        raise ValueError("it declares entities of its own, which no labelling tool does")


class _Builder:
    """Collect the elements of a document, which `opened` has from the root to the present one."""

    def __init__(self) -> None:
        self.opened: list[dict[str, Any]] = [{}]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.opened) > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} elements in each other")
        self.opened.append({_local(key): value for key, value in attributes.items()})

    def end(self, name: str) -> None:
        element = self.opened.pop()
        element[TEXT] = element.get(TEXT, "").strip()
        value = element if len(element) > 1 else element[TEXT]
        parent, key = self.opened[-1], _local(name)
        if isinstance(parent.get(key), list):
            parent[key].append(value)
        else:
            parent[key] = [parent[key], value] if key in parent else value

    def add_text(self, text: str) -> None:
        self.opened[-1][TEXT] = self.opened[-1].get(TEXT, "") + text


def _local(name: str) -> str:
    return name.rpartition(":")[2]
