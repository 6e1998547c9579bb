"""VGG Image Annotator: its project, its JSON, and its CSV with a row for each region."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode, parse_json, read_json, read_limited
from dbnet.labels.shapes import no_outline, sized_box
from dbnet.labels.text_lines import to_utf8
from dbnet.labels.tool_format import (
    CLASS_KEYS,
    TEXT_KEYS,
    Picture,
    ToolFormat,
    first_text,
    is_marked,
    make_instance,
)

BOX = ("x", "y", "width", "height")


def _read(path: Path) -> Iterator[Picture]:
    if path.suffix.lower() == ".csv":
        return _read_rows(path)
    document = read_json(path)
    images = document.optional("_via_img_metadata") or document
    return readable(lambda key: _read_image(images.field(key)), images.names())


def _read_image(node: JsonNode) -> Picture:
    regions = node.field("regions")
    if isinstance(regions.value, dict):  # of version 1
        regions = JsonNode([*regions.value.values()], regions.source, regions.path)
    return Picture(node.field("filename"), list(readable(_region, regions.items())))


def _region(node: JsonNode) -> Instance:
    return _instance(node.field("shape_attributes"), node.optional("region_attributes"))


def _read_rows(path: Path) -> Iterator[Picture]:
    """Read the CSV; a row with an empty shape is of an image without text."""
    text = to_utf8(read_limited(path), str(path)).decode("utf-8")
    pictures: dict[str, Picture] = {}

    def read_row(row: dict[str, str]) -> None:
        source = f"{path}, line {rows.line_num}"
        missing = [key for key in ("filename", "region_shape_attributes") if not row.get(key)]
        if missing:
            raise UserError(f"{source}: no {missing[0]!r}; export it again")
        name = JsonNode(row["filename"], source, "filename")
        words: list = pictures.setdefault(name.value, Picture(name, [])).instances  # type: ignore[assignment]
        shape = parse_json(row["region_shape_attributes"].encode(), source)
        if shape.value:
            attributes = row.get("region_attributes") or "{}"
            words.append(_instance(shape, parse_json(attributes.encode(), source)))

    rows = csv.DictReader(io.StringIO(text, newline=""))
    rows.fieldnames = [name.lstrip("#") for name in rows.fieldnames or ()]
    for _ in readable(read_row, rows):
        pass
    return iter(pictures.values())


def _instance(shape: JsonNode, attributes: JsonNode | None) -> Instance:
    kind = shape.field("name").text()
    if kind == "polygon":
        axes = [[n.number() for n in shape.field(f"all_points_{a}").items()] for a in "xy"]
        if len(axes[0]) != len(axes[1]):
            shape.fail(f"{len(axes[0])} x and {len(axes[1])} y; fix it")
        polygon = JsonNode(np.transpose(axes).tolist(), shape.source, shape.path).points()
    elif kind == "rect":
        polygon = sized_box(shape, BOX)
    else:
        no_outline(shape, kind)
    text, label = first_text(attributes, TEXT_KEYS), first_text(attributes, CLASS_KEYS)
    return make_instance(polygon, text, label, is_marked(attributes))


VIA = ToolFormat(
    "Prepare your data of VGG Image Annotator 1 or 2: JSON, CSV or the project.",
    suffixes=[".json", ".csv"],
    mark=r"region_shape_attributes|shape_attributes|_via_img_metadata|\"file_attributes\"",
    read=_read,
    view="displayed",
)
