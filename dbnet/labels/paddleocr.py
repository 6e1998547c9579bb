"""PaddleOCR's detection labels, which PPOCRLabel writes as `Label.txt`."""

from functools import partial
from pathlib import Path

from dbnet.labels.entries import Entry, Instance
from dbnet.labels.faults import note_doubt, readable
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.json_node import JsonNode, read_named_lines
from dbnet.labels.label_format import LabelFormat
from dbnet.labels.user_entries import make_user_entry

DIFFICULT = (
    "words marked difficult are ignored, though PaddleOCR would have learnt them; "
    "--keep-difficult keeps them"
)
UNREADABLE = ("###", "*")  # PaddleOCR's DetLabelEncode


def _read(label_file: Path, finder: ImageFinder) -> list[Entry]:
    def read_line(line: tuple[JsonNode, JsonNode]) -> Entry:
        name, labels = line
        image = finder.find(name, label_file)
        read = partial(_read_instance, keep_difficult=finder.request.keep_difficult)
        instances = list(readable(read, labels.items()))
        return make_user_entry(image, finder.request, instances)

    return list(readable(read_line, read_named_lines(label_file)))


def _read_instance(node: JsonNode, keep_difficult: bool) -> Instance:
    """Read one text; what is `difficult` is ignored unless kept, though PaddleOCR learns it."""
    text, polygon = node.field("transcription").text(), node.field("points").corners()
    flag = node.optional("difficult")
    difficult = bool(flag and flag.flag()) and not keep_difficult
    if difficult and text not in UNREADABLE:
        note_doubt(f"{node.source}: {node.path}", DIFFICULT)
    return Instance(polygon, text, difficult or text in UNREADABLE)


PADDLEOCR = LabelFormat(
    "Prepare your data of PaddleOCR or PPOCRLabel: Label.txt with path, tab and a JSON list.",
    suffixes=[".txt"],
    preferred="label",
    read=_read,
)
