"""The annotation formats of MMOCR: 1.x, and 0.x's COCO-like one and one JSON per line."""

from itertools import chain
from pathlib import Path

import numpy as np

from dbnet.geometry import rectangle
from dbnet.labels.coco import read_annotation, read_document
from dbnet.labels.entries import Entry, Instance
from dbnet.labels.faults import readable
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.json_node import JsonNode, read_json, read_json_lines
from dbnet.labels.label_format import LabelFormat
from dbnet.labels.user_entries import make_user_entry


def _read(label_file: Path, finder: ImageFinder) -> list[Entry]:
    """Read a file of MMOCR 1.x."""

    def read_entry(node: JsonNode) -> Entry:
        image = finder.find(node.field("img_path"), label_file)
        instances = list(readable(_read_instance, node.field("instances").items()))
        return make_user_entry(image, finder.request, instances, node)

    return list(readable(read_entry, read_json(label_file).field("data_list").items()))


def _read_instance(node: JsonNode) -> Instance:
    """Read one text; its box is the polygon where there is no other, as for MMOCR."""
    polygon, text, ignore = (node.optional(key) for key in ("polygon", "text", "ignore"))
    return Instance(
        polygon.flat_polygon() if polygon else _read_box(node.field("bbox")),
        text.text() if text else "",
        ignore.flag() if ignore else False,
    )


def _read_box(node: JsonNode) -> np.ndarray:
    numbers = [item.number() for item in node.items()]
    if len(numbers) != 4 or numbers[0] > numbers[2] or numbers[1] > numbers[3]:
        node.fail(f"{numbers} is no box x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; fix it")
    return rectangle(*numbers)


def _read_old(label_file: Path, finder: ImageFinder) -> list[Entry]:
    """Read a file of MMOCR 0.x."""
    if label_file.suffix.lower() == ".json":
        return read_document(label_file, finder)

    def read_line(line: JsonNode) -> Entry:
        image = finder.find(line.field("file_name"), label_file)
        # MMOCR 0.x has one category, whose id is meaningless.
        found = readable(
            lambda node: read_annotation(node, line, {}), line.field("annotations").items()
        )
        return make_user_entry(image, finder.request, list(chain.from_iterable(found)), line)

    return list(readable(read_line, read_json_lines(label_file)))


MMOCR = LabelFormat(
    'Prepare your data in MMOCR 1.x\'s JSON: {"metainfo": ..., "data_list": ...}.',
    suffixes=[".json"],
    preferred="textdet",
    read=_read,
    may_be_output=True,
)
MMOCR0 = LabelFormat(
    "Prepare your data of MMOCR 0.x: instances_training.json, or .txt with one JSON per line.",
    suffixes=[".json", ".txt"],
    preferred="instances",
    read=_read_old,
)
