"""A user's data in the two annotation formats of MMOCR 0.x, COCO-like and one JSON per line."""

from pathlib import Path

from dbnet.labels.annotation import Entry
from dbnet.labels.coco import read_annotation, read_document, read_image
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.instances import Instance
from dbnet.labels.json_node import JsonNode, read_json_lines
from dbnet.labels.parts import find_label_files, open_raw


def prepare_mmocr0(raw: Path, out: Path, copy: bool) -> dict[str, list[Entry]]:
    """Prepare your data of MMOCR 0.x: instances_training.json, or .txt with one JSON per line.

    Args:
        raw: The folder with the label file of each part, see `find_label_files`.
        out: The folder of the annotation files.
        copy: Whether all of `raw` is copied below `out` too.
    """
    raw = open_raw(raw, out, copy)
    files = find_label_files(raw, out, [".json", ".txt"], preferred="instances")
    return {
        part: _read(label_file, ImageFinder(folder, part), out)
        for part, (label_file, folder) in files.items()
    }


def _read(label_file: Path, finder: ImageFinder, out: Path) -> list[Entry]:
    if label_file.suffix.lower() == ".json":
        return read_document(label_file, finder, out)
    return [
        read_image(
            line, finder.find(line.field("file_name"), label_file), _read_instances(line), out
        )
        for line in read_json_lines(label_file)
    ]


def _read_instances(line: JsonNode) -> list[Instance]:
    # MMOCR 0.x has one category, so that its id says nothing.
    annotations = line.field("annotations").items()
    return [instance for node in annotations for instance in read_annotation(node, {})]
