"""CVAT's XML, version 1.1 for images."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from dbnet.images import MAX_PIXELS
from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode
from dbnet.labels.run_length import outline
from dbnet.labels.shapes import edged_box, no_outline, pairs, turned
from dbnet.labels.tool_format import (
    TEXT_KEYS,
    Picture,
    ToolFormat,
    first_text,
    is_marked,
    make_instance,
    stated_size,
)
from dbnet.labels.xml_node import read_xml

SHAPES = ("box", "polygon", "mask", "polyline", "points", "ellipse", "cuboid", "skeleton")
CORNERS = ("xtl", "ytl", "xbr", "ybr")
MASK_BOX = ("left", "top", "width", "height")


def _read(path: Path) -> Iterator[Picture]:
    root = read_xml(path).field("annotations")
    track = root.optional("track")
    if track:
        track.fail('the tracks of a video; export it as "CVAT for images 1.1"')
    images = root.optional("image")
    return readable(_read_image, images.items() if images else ())


def _read_image(image: JsonNode) -> Picture:
    found = [(kind, nodes) for kind in SHAPES if (nodes := image.optional(kind))]
    words = chain.from_iterable(
        readable(partial(_read_shape, kind), nodes.items()) for kind, nodes in found
    )
    return Picture(image.field("name"), list(words), stated_size(image))


def _read_shape(kind: str, node: JsonNode) -> Instance:
    if kind == "box":
        rotation = node.optional("rotation")
        polygon = turned(edged_box(node, CORNERS), rotation.number() if rotation else 0.0)
    elif kind == "polygon":
        polygon = pairs(node.field("points"))
    elif kind == "mask":
        polygon = _mask_outline(node)
    else:
        no_outline(node, kind)
    found = node.optional("attribute")
    values = {a.field("name").text(): a.text() for a in found.items()} if found else {}
    attributes = JsonNode(values, node.source, node.path)
    text = first_text(attributes, TEXT_KEYS)
    return make_instance(polygon, text, node.field("label").text(), is_marked(attributes))


def _mask_outline(node: JsonNode) -> np.ndarray:
    """Return the outline of runs of 0 and 1 in turn, along the rows of the mask's own box."""
    left, top, width, height = (int(node.field(key).number()) for key in MASK_BOX)
    rle = node.field("rle")
    runs = [int(run) for run in rle.text().replace(" ", "").split(",") if run.isdecimal()]
    if not 0 < width * height <= MAX_PIXELS or sum(runs) != width * height:
        rle.fail(f"its runs do not fill {width} x {height} pixels; export it again")
    values = np.repeat((np.arange(len(runs)) % 2).astype(np.uint8), runs)
    found = outline(values.reshape(height, width))
    return rle.fail("a mask without area; delete it") if found is None else found + [left, top]


CVAT = ToolFormat(
    'Prepare your data of CVAT: annotations.xml, exported as "CVAT for images 1.1".',
    suffixes=[".xml"],
    mark=r"<annotations\b",
    read=_read,
    view="displayed",
)
