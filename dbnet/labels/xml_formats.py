"""Formats in XML: CVAT 1.1 for images, Pascal VOC, and the pages of PAGE-XML, ALTO and hOCR."""

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from dbnet.geometry import rectangle
from dbnet.images import MAX_PIXELS
from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode
from dbnet.labels.shapes import edged_box, no_outline, outline, pairs, sized_box, turned, unroll
from dbnet.labels.tool_format import (
    ONE_PAGE,
    TEXT_KEYS,
    Picture,
    ToolFormat,
    first_text,
    is_marked,
    make_instance,
    name_of,
    stated_size,
)
from dbnet.labels.xml_node import TEXT, read_xml

CVAT_SHAPES = ("box", "polygon", "mask", "polyline", "points", "ellipse", "cuboid", "skeleton")
CVAT_CORNERS = ("xtl", "ytl", "xbr", "ybr")
CVAT_MASK_BOX = ("left", "top", "width", "height")
VOC_CORNERS = ("xmin", "ymin", "xmax", "ymax")
ALTO_BOX = ("HPOS", "VPOS", "WIDTH", "HEIGHT")
BBOX = re.compile(r"\bbbox((?:\s+-?[\d.]+){4})")
POLY = re.compile(r"\bpoly((?:\s+-?[\d.]+){6,})")
IMAGE = re.compile(r"""\bimage\s+["']?([^"';]+)""")
HOCR_LEVELS = {"ocrx_word": "word", "ocr_line": "line", "ocr_header": "line", "ocr_caption": "line"}
INLINE = (TEXT, "strong", "em", "b", "i", "span", "u")  # elements in a word of hOCR


def _read_cvat(path: Path) -> Iterator[Picture]:
    root = read_xml(path).field("annotations")
    track = root.optional("track")
    if track:
        track.fail('the tracks of a video; export it as "CVAT for images 1.1"')
    return readable(_read_cvat_image, root.items_of("image"))


def _read_cvat_image(image: JsonNode) -> Picture:
    words = chain.from_iterable(
        readable(partial(_read_cvat_shape, kind), image.items_of(kind)) for kind in CVAT_SHAPES
    )
    return Picture(image.field("name"), list(words), stated_size(image))


def _read_cvat_shape(kind: str, node: JsonNode) -> Instance:
    if kind == "box":
        polygon = turned(edged_box(node, CVAT_CORNERS), node.number_of("rotation"))
    elif kind == "polygon":
        polygon = pairs(node.field("points"))
    elif kind == "mask":
        polygon = _mask_outline(node)
    else:
        no_outline(node, kind)
    values = {a.field("name").text(): a.text() for a in node.items_of("attribute")}
    attributes = node.with_value(values)
    text = first_text(attributes, TEXT_KEYS)
    return make_instance(polygon, text, node.field("label").text(), is_marked(attributes))


def _mask_outline(node: JsonNode) -> np.ndarray:
    """Return the outline of runs of 0 and 1 in turn, along the rows of the mask's own box."""
    left, top, width, height = (int(node.field(key).number()) for key in CVAT_MASK_BOX)
    rle = node.field("rle")
    runs = [int(run) for run in rle.text().replace(" ", "").split(",") if run.isdecimal()]
    # A box without pixels has no runs that fill it.
    values = unroll(runs if 0 < width * height <= MAX_PIXELS else [-1], width, height, rle)
    return outline(values.reshape(height, width), rle) + [left, top]


def _read_voc(path: Path) -> Iterator[Picture]:
    root = read_xml(path).field("annotation")
    size = root.optional("size")
    words = list(readable(_read_voc_object, root.items_of("object")))
    yield Picture(name_of(path), words, stated_size(size) if size else None)


def _read_voc_object(node: JsonNode) -> Instance:
    text = first_text(node, TEXT_KEYS)
    return make_instance(_voc_polygon(node), text, node.field("name").text(), is_marked(node))


def _voc_polygon(node: JsonNode) -> np.ndarray:
    """Read a box, a turned one of roLabelImg, or a polygon of Roboflow."""
    turned_box, polygon = node.optional("robndbox"), node.optional("polygon")
    if turned_box:
        x, y, width, height = (turned_box.field(key).number() for key in ("cx", "cy", "w", "h"))
        box = rectangle(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return turned(box, math.degrees(turned_box.field("angle").number()))
    if not polygon:
        return edged_box(node.field("bndbox"), VOC_CORNERS)
    points = polygon.optional("pt")
    if points:
        return points.points_by("xy")
    count = sum(key[:1] == "x" and key[1:].isdecimal() for key in polygon.value)
    numbers = range(1, count + 1)
    return polygon.with_value(
        [[polygon.field(f"{axis}{n}").number() for axis in "xy"] for n in numbers]
    ).points()


def _levels(
    root: JsonNode, tags: dict[str, str], read: Callable[[JsonNode, str], Instance]
) -> list[Instance]:
    """Read the elements of the tags, whose classes are their values."""
    found = [(node, label) for tag, label in tags.items() for node in root.find_all(tag)]
    return list(readable(lambda pair: read(*pair), found))


def _read_page(path: Path) -> Iterator[Picture]:
    page = read_xml(path).field("PcGts").field("Page")
    words = _levels(page, {"Word": "word", "TextLine": "line"}, _read_coords)
    size = stated_size(page, "imageHeight", "imageWidth")
    yield Picture(page.field("imageFilename"), words, size)


def _read_coords(node: JsonNode, label: str) -> Instance:
    coords = node.field("Coords")
    points = coords.optional("points")
    # The second is of the schema of 2010.
    polygon = pairs(points) if points else coords.field("Point").points_by("xy")
    first = next(node.items_of("TextEquiv"), None)
    has_text = first and isinstance(first.value, dict)
    return make_instance(polygon, first.text_of("Unicode") if first and has_text else "", label)


def _read_alto(path: Path) -> Iterator[Picture]:
    root = read_xml(path).field("alto")
    for unit in root.find_all("MeasurementUnit"):
        if unit.text() != "pixel":
            unit.fail(f"coordinates in {unit.text()}; export them in pixels")
    name = next(root.find_all("fileName"), name_of(path))
    pages = list(root.find_all("Page"))
    if len(pages) != 1:
        root.fail(ONE_PAGE.format(len(pages)))
    words = _levels(pages[0], {"String": "word", "TextLine": "line"}, _read_block)
    yield Picture(name, words, stated_size(pages[0], "HEIGHT", "WIDTH"))


def _read_block(node: JsonNode, label: str) -> Instance:
    shape = node.optional("Shape")
    drawn = shape.optional("Polygon") if shape else None
    polygon = pairs(drawn.field("POINTS")) if drawn else sized_box(node, ALTO_BOX)
    return make_instance(polygon, node.text_of("CONTENT"), label)


def _read_hocr(path: Path) -> Iterator[Picture]:
    pages = [page for page in _classed(read_xml(path)) if _class_of(page) == "ocr_page"]
    for page in pages:
        named = IMAGE.search(page.field("title").text())
        name = page.with_value(named[1].strip()) if named else name_of(path)
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
        polygon: np.ndarray = pairs(title.with_value(poly[1]))
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


CVAT = ToolFormat(
    'Prepare your data of CVAT: annotations.xml, exported as "CVAT for images 1.1".',
    suffixes=[".xml"],
    mark=r"<annotations\b",
    read=_read_cvat,
    view="displayed",
)
VOC = ToolFormat(
    "Prepare your data in Pascal VOC's XML, one for each image: labelImg, roLabelImg, Roboflow.",
    suffixes=[".xml"],
    mark=r"<annotation\b",
    read=_read_voc,
    by_stem=True,
    view="displayed",
)
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
