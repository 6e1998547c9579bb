"""Digitised pages: the words and lines of PAGE-XML, ALTO and hOCR."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dbnet.geometry import rectangle
from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode
from dbnet.labels.shapes import pairs, sized_box
from dbnet.labels.tool_format import Picture, ToolFormat, make_instance, name_of, stated_size
from dbnet.labels.xml_node import TEXT, read_xml

ALTO_BOX = ("HPOS", "VPOS", "WIDTH", "HEIGHT")
BBOX = re.compile(r"\bbbox((?:\s+-?[\d.]+){4})")
POLY = re.compile(r"\bpoly((?:\s+-?[\d.]+){6,})")
IMAGE = re.compile(r"""\bimage\s+["']?([^"';]+)""")
HOCR_LEVELS = {"ocrx_word": "word", "ocr_line": "line", "ocr_header": "line", "ocr_caption": "line"}


def _levels(
    root: JsonNode, tags: dict[str, str], read: Callable[[JsonNode, str], Instance]
) -> list[Instance]:
    """Read the elements of the tags, whose classes are their values."""
    found = [(node, label) for tag, label in tags.items() for node in root.find_all(tag)]
    return list(readable(lambda pair: read(*pair), found))


def _read_page(path: Path) -> Iterator[Picture]:
    page = read_xml(path).field("PcGts").field("Page")
    words = _levels(page, {"Word": "word", "TextLine": "line"}, _read_coords)
    yield Picture(
        page.field("imageFilename"), words, stated_size(page, "imageHeight", "imageWidth")
    )


def _read_coords(node: JsonNode, label: str) -> Instance:
    coords = node.field("Coords")
    points = coords.optional("points")
    if points:
        polygon = pairs(points)
    else:  # of the schema of 2010
        listed = [[p.field(axis).number() for axis in "xy"] for p in coords.field("Point").items()]
        polygon = JsonNode(listed, node.source, coords.path).points()
    texts = node.optional("TextEquiv")
    first = next(texts.items(), None) if texts else None
    text = first.optional("Unicode") if first and isinstance(first.value, dict) else None
    return make_instance(polygon, text.text() if text else "", label)


def _read_alto(path: Path) -> Iterator[Picture]:
    root = read_xml(path).field("alto")
    for unit in root.find_all("MeasurementUnit"):
        if unit.text() != "pixel":
            unit.fail(f"coordinates in {unit.text()}; export them in pixels")
    names = list(root.find_all("fileName"))
    pages = list(root.find_all("Page"))
    if len(pages) != 1:
        root.fail(f"{len(pages)} pages; a file for each page is needed")
    words = _levels(pages[0], {"String": "word", "TextLine": "line"}, _read_block)
    size = stated_size(pages[0], "HEIGHT", "WIDTH")
    yield Picture(names[0] if names else name_of(path), words, size)


def _read_block(node: JsonNode, label: str) -> Instance:
    shape, content = node.optional("Shape"), node.optional("CONTENT")
    outline = shape.optional("Polygon") if shape else None
    polygon = pairs(outline.field("POINTS")) if outline else sized_box(node, ALTO_BOX)
    return make_instance(polygon, content.text() if content else "", label)


def _read_hocr(path: Path) -> Iterator[Picture]:
    pages = [page for page in _classed(read_xml(path)) if _class_of(page) == "ocr_page"]
    for page in pages:
        named = IMAGE.search(page.field("title").text())
        name = JsonNode(named[1].strip(), page.source, page.path) if named else name_of(path)
        found = [(node, _class_of(node)) for node in _classed(page)]
        words = [(node, HOCR_LEVELS[kind]) for node, kind in found if kind in HOCR_LEVELS]
        yield Picture(name, list(readable(lambda pair: _read_hocr_box(*pair), words)))


def _classed(node: JsonNode) -> Iterator[JsonNode]:
    """Yield the elements in a node that have a class, in any depth."""
    if isinstance(node.value, dict):
        if "class" in node.value:
            yield node
        for key in node.value:
            yield from _classed(node.field(key))
    elif isinstance(node.value, list):
        for item in node.items():
            yield from _classed(item)


def _class_of(node: JsonNode) -> str:
    return node.field("class").text()


def _read_hocr_box(node: JsonNode, label: str) -> Instance:
    title = node.field("title")
    poly, box = POLY.search(title.text()), BBOX.search(title.text())
    if poly:
        polygon: np.ndarray = pairs(JsonNode(poly[1], title.source, title.path))
    elif box:
        polygon = rectangle(*map(float, box[1].split()))
    else:
        title.fail(f"{title.text()[:40]!r} has no bbox; export it again")
    return make_instance(polygon, _inner_text(node.value), label)


def _inner_text(value: object) -> str:
    """Join the texts in an element, such as that of `<strong>` in a word."""
    if isinstance(value, list):
        return " ".join(filter(None, map(_inner_text, value)))
    if not isinstance(value, dict):
        return ""
    inner = (v if isinstance(v, str) else _inner_text(v) for k, v in value.items() if k in INLINE)
    return " ".join(filter(None, inner))


INLINE = (TEXT, "strong", "em", "b", "i", "span", "u")

PAGE = ToolFormat(
    "Prepare your data in PAGE-XML, as Transkribus and eScriptorium export: words or lines.",
    suffixes=[".xml"],
    mark=r"<(\w+:)?PcGts\b",
    read=_read_page,
)
ALTO = ToolFormat(
    "Prepare your data in ALTO's XML, as libraries have it: words or lines.",
    suffixes=[".xml"],
    mark=r"<(\w+:)?alto\b",
    read=_read_alto,
)
HOCR = ToolFormat(
    "Prepare your data in hOCR, as Tesseract writes it: words or lines.",
    suffixes=[".hocr", ".html", ".xhtml", ".htm"],
    mark=r"ocr_page",
    read=_read_hocr,
)
