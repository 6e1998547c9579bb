"""A user's data in PaddleOCR's detection labels, which PPOCRLabel writes as `Label.txt`."""

from pathlib import Path

from dbnet.labels.annotation import Entry
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.instances import Instance, entry_of
from dbnet.labels.json_node import JsonNode, read_named_lines
from dbnet.labels.parts import find_label_files, open_raw

UNREADABLE = ("###", "*")  # PaddleOCR's DetLabelEncode


def prepare_paddleocr(raw: Path, out: Path, copy: bool) -> dict[str, list[Entry]]:
    """Prepare your data of PaddleOCR or PPOCRLabel: Label.txt with path, tab and a JSON list.

    Args:
        raw: The folder with the label file of each part, see `find_label_files`.
        out: The folder of the annotation files.
        copy: Whether all of `raw` is copied below `out` too.
    """
    raw = open_raw(raw, out, copy)
    return {
        part: _read(label_file, ImageFinder(folder, part), out)
        for part, (label_file, folder) in find_label_files(
            raw, out, [".txt"], preferred="label"
        ).items()
    }


def _read(label_file: Path, finder: ImageFinder, out: Path) -> list[Entry]:
    return [
        entry_of(
            finder.find(name, label_file), out, [_read_instance(node) for node in labels.items()]
        )
        for name, labels in read_named_lines(label_file)
    ]


def _read_instance(node: JsonNode) -> Instance:
    """Read one text; PPOCRLabel's `difficult` is ignored too, which PaddleOCR does not look at."""
    text = node.field("transcription").text()
    difficult = node.optional("difficult")
    ignored = text in UNREADABLE or bool(difficult and difficult.flag())
    return Instance(node.field("points").points(), text, ignored)
