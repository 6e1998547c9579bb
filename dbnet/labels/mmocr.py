"""A user's data in the annotation format of MMOCR 1.x, checked and rewritten for another folder."""

from pathlib import Path

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.annotation import Entry
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.instances import Instance, check_size, entry_of, rectangle
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.parts import find_label_files, is_output, open_raw


def prepare_mmocr(raw: Path, out: Path, copy: bool) -> dict[str, list[Entry]]:
    """Prepare your data in MMOCR 1.x's JSON: {"metainfo": ..., "data_list": ...}.

    Args:
        raw: The folder with the label file of each part, see `find_label_files`.
        out: The folder of the annotation files, another one.
        copy: Whether all of `raw` is copied below `out` too.
    """
    raw = open_raw(raw, out, copy)
    files = find_label_files(raw, None, [".json"], preferred="textdet")
    for label_file, _ in files.values():
        if is_output(label_file, out):
            raise UserError(f"--out {out}: {label_file} would be overwritten, choose another --out")
    return {
        part: _read(label_file, ImageFinder(folder, part), out)
        for part, (label_file, folder) in files.items()
    }


def _read(label_file: Path, finder: ImageFinder, out: Path) -> list[Entry]:
    images = read_json(label_file).field("data_list").items()
    return [_read_image(node, label_file, finder, out) for node in images]


def _read_image(node: JsonNode, label_file: Path, finder: ImageFinder, out: Path) -> Entry:
    image = finder.find(node.field("img_path"), label_file)
    instances = [_read_instance(item) for item in node.field("instances").items()]
    entry = entry_of(image, out, instances)
    check_size(entry, image, node.optional("height"), node.optional("width"))
    return entry


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
        node.fail(f"{numbers} is no box x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; mend it")
    return rectangle(*numbers)
