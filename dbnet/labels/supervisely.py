"""Supervisely's JSON, one for each image, without its bitmaps."""

from collections.abc import Iterator
from pathlib import Path

from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.shapes import no_outline
from dbnet.labels.tool_format import (
    TEXT_KEYS,
    Picture,
    ToolFormat,
    first_text,
    is_marked,
    make_instance,
    name_of,
    stated_size,
)


def _read(path: Path) -> Iterator[Picture]:
    document = read_json(path)
    words = list(readable(_read_object, document.field("objects").items()))
    yield Picture(name_of(path), words, stated_size(document.field("size")))


def _read_object(node: JsonNode) -> Instance:
    kind = node.field("geometryType").text()
    if kind not in ("polygon", "rectangle"):
        no_outline(node, kind)
    exterior = node.field("points").field("exterior")
    found = node.optional("tags")
    named = [(t.field("name").text(), t.optional("value")) for t in found.items()] if found else []
    values = {name: value.value if value else "1" for name, value in named}  # most have no value
    attributes = JsonNode(values, node.source, node.path)
    polygon = exterior.corners() if kind == "rectangle" else exterior.points()
    label, text = node.field("classTitle").text(), first_text(attributes, TEXT_KEYS)
    return make_instance(polygon, text, label, is_marked(attributes))


SUPERVISELY = ToolFormat(
    "Prepare your data of Supervisely: img/1.jpg with ann/1.jpg.json; polygons and rectangles.",
    suffixes=[".json"],
    mark=r'"geometryType"|"classTitle"|"objects":\s*\[\s*\]',
    read=_read,
    by_stem=True,
)
