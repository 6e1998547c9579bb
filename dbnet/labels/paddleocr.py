"""PaddleOCR's detection labels, which PPOCRLabel writes as `Label.txt`."""

from pathlib import Path

from dbnet.labels.entries import Entry, Instance, make_entry
from dbnet.labels.json_node import JsonNode, read_named_lines
from dbnet.labels.parts import ImageFinder, LabelFormat

UNREADABLE = ("###", "*")  # PaddleOCR's DetLabelEncode


def _read(label_file: Path, finder: ImageFinder, out: Path) -> list[Entry]:
    return [
        make_entry(finder.find(name, label_file), out, [_read_instance(n) for n in labels.items()])
        for name, labels in read_named_lines(label_file)
    ]


def _read_instance(node: JsonNode) -> Instance:
    """Read one text; PPOCRLabel's `difficult` counts as ignored too, though PaddleOCR skips it."""
    text = node.field("transcription").text()
    difficult = node.optional("difficult")
    ignored = text in UNREADABLE or bool(difficult and difficult.flag())
    return Instance(node.field("points").corners(), text, ignored)


PADDLEOCR = LabelFormat(
    "Prepare your data of PaddleOCR or PPOCRLabel: Label.txt with path, tab and a JSON list.",
    suffixes=[".txt"],
    preferred="label",
    read=_read,
)
