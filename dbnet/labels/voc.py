"""Pascal VOC's XML, with the turned boxes of roLabelImg and the polygons of Roboflow."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dbnet.geometry import rectangle
from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode
from dbnet.labels.shapes import edged_box, turned
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
from dbnet.labels.xml_node import read_xml

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _read(path: Path) -> Iterator[Picture]:
    root = read_xml(path).field("annotation")
    objects, size = root.optional("object"), root.optional("size")
    words = list(readable(_read_object, objects.items() if objects else ()))
    yield Picture(name_of(path), words, stated_size(size) if size else None)


def _read_object(node: JsonNode) -> Instance:
    text = first_text(node, TEXT_KEYS)
    return make_instance(_polygon(node), text, node.field("name").text(), is_marked(node))


def _polygon(node: JsonNode) -> np.ndarray:
    turned_box, polygon = node.optional("robndbox"), node.optional("polygon")
    if turned_box:
        x, y, width, height = (turned_box.field(key).number() for key in ("cx", "cy", "w", "h"))
        box = rectangle(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return turned(box, math.degrees(turned_box.field("angle").number()))
    if not polygon:
        return edged_box(node.field("bndbox"), CORNERS)
    points = polygon.optional("pt")
    if points:
        pairs = [[point.field(axis).number() for axis in "xy"] for point in points.items()]
    else:
        count = sum(key[:1] == "x" and key[1:].isdecimal() for key in polygon.value)
        numbers = range(1, count + 1)
        pairs = [[polygon.field(f"{axis}{n}").number() for axis in "xy"] for n in numbers]
    return JsonNode(pairs, node.source, polygon.path).points()


VOC = ToolFormat(
    "Prepare your data in Pascal VOC's XML, one for each image: labelImg, roLabelImg, Roboflow.",
    suffixes=[".xml"],
    mark=r"<annotation\b",
    read=_read,
    by_stem=True,
    view="displayed",
)
