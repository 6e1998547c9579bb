"""Formats with a label file for each part: COCO, MMOCR 1.x and 0.x, PaddleOCR."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from dbnet.geometry import rectangle
from dbnet.labels.entries import Entry, Instance
from dbnet.labels.faults import note_doubt, readable, watched
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.json_node import JsonNode, read_json, read_json_lines, read_named_lines
from dbnet.labels.label_format import LabelFormat
from dbnet.labels.shapes import outline, read_mask, turned
from dbnet.labels.text_lines import UNREADABLE
from dbnet.labels.user_entries import make_user_entry

TEXT_KEYS = ("text", "transcription", "utf8_string")  # COCO itself has none; the last: COCO-Text
ANGLE_KEYS = ("rotation", "angle", "theta")
# Outlines that COCO does not define, so that nobody knows in which order their numbers are.
FOREIGN_OUTLINES = ("polygon", "poly", "quad", "rbox", "rbbox", "rotated_box", "obb", "vertices")
DIFFICULT = (
    "words marked difficult are ignored, though PaddleOCR would have learnt them; "
    "--keep-difficult keeps them"
)
PADDLE_UNREADABLE = ("###", "*")  # PaddleOCR's DetLabelEncode


def _read_coco(label_file: Path, finder: ImageFinder) -> list[Entry]:
    """Read a whole document; an image without annotations is one without text."""
    document = read_json(label_file)
    categories = document.items_of("categories")
    names = {_key(item.field("id")): item.field("name").text() for item in categories}
    images = _images(document)
    instances: dict[object, list[Instance]] = {image_id: [] for image_id in images}

    def add(annotation: JsonNode) -> None:
        image_id = annotation.field("image_id")
        if _key(image_id) not in images:
            image_id.fail(f"no image has the id {image_id.value!r}; delete this annotation")
        instances[_key(image_id)] += _read_annotation(annotation, images[_key(image_id)], names)

    def make(key: object) -> Entry:
        image = finder.find(images[key].field("file_name"), label_file)
        return make_user_entry(image, finder.request, instances[key], images[key])

    for _ in readable(add, document.field("annotations").items()):
        pass
    return list(readable(make, watched(images)))


def _read_annotation(
    node: JsonNode, image: JsonNode, categories: dict[object, str]
) -> list[Instance]:
    """Read one annotation, each polygon of which becomes an instance of its own.

    A text that something covers in the middle has several, and a detector finds its pieces. A mask
    gives one instance, its largest part; the others are specks as a rule. `image` may state its
    height and width; `categories` are names by their ids.
    """
    category = node.optional("category_id")
    name = categories.get(_key(category), "") if category else ""
    texts = [found.value for key in TEXT_KEYS if (found := node.optional(key))]
    text = next((text for text in texts if isinstance(text, str)), name)
    flags = [node.flag_of(key) for key in ("iscrowd", "ignore")]
    ignored = any(flags) or UNREADABLE in (text, name)
    return [Instance(polygon, text, ignored, name) for polygon in _polygons(node, image)]


def _polygons(node: JsonNode, image: JsonNode) -> list[np.ndarray]:
    segmentation = node.optional("segmentation")
    if segmentation is None or segmentation.value in ([], [[]]):
        return [_rotated_box(node)]
    if isinstance(segmentation.value, dict):
        return [_mask_outline(segmentation, image)]
    return [polygon.flat_polygon() for polygon in segmentation.items()]


def _mask_outline(mask: JsonNode, image: JsonNode) -> np.ndarray:
    stated = [side.number() for key in ("height", "width") if (side := image.optional(key))]
    if len(stated) == 2 and min(stated) > 0 and mask.field("size").value != stated:
        mask.field("size").fail(f"{mask.value['size']}, but the image's is {stated}; fix it")
    return outline(read_mask(mask), mask, "this annotation")


def _rotated_box(node: JsonNode) -> np.ndarray:
    """Return the corners of a `bbox`, turned as CVAT's `attributes` say; refuse other angles."""
    for key in FOREIGN_OUTLINES:
        if foreign := node.optional(key):
            foreign.fail("COCO does not define it; write the outline into segmentation")
    box, attributes = node.field("bbox"), node.optional("attributes")
    corners = box.box()
    if (corners[2] < corners[0]).any():
        box.fail(f"{box.value} has a negative width or height; fix it")
    rotation = None
    if attributes is not None and isinstance(attributes.value, dict):
        rotation = attributes.optional("rotation")
        _refuse_angles(attributes, ANGLE_KEYS[1:])
    _refuse_angles(node, ANGLE_KEYS)
    return turned(corners, rotation.number() if rotation else 0.0)


def _refuse_angles(node: JsonNode, keys: Sequence[str]) -> None:
    for key in keys:
        angle = node.optional(key)
        if angle is not None and isinstance(angle.value, int | float) and angle.value != 0:
            angle.fail("nobody knows about which point it turns; write the outline instead")


def _images(document: JsonNode) -> dict[object, JsonNode]:
    """Index the images by their ids; without them nobody knows whose the annotations are."""
    images: dict[object, JsonNode] = {}
    for image in document.field("images").items():
        key = _key(image.field("id"))
        if key in images:
            image.field("id").fail(f"{key!r} is the id of {images[key].path} too; renumber")
        images[key] = image
    return images


def _key(node: JsonNode) -> object:
    """Return an id, a number or a text."""
    if not isinstance(node.value, int | str):
        node.fail(f"expected a number, found {node.value!r}")
    return node.value


def _read_mmocr(label_file: Path, finder: ImageFinder) -> list[Entry]:
    """Read a file of MMOCR 1.x."""

    def read_entry(node: JsonNode) -> Entry:
        image = finder.find(node.field("img_path"), label_file)
        instances = list(readable(_read_mmocr_text, node.field("instances").items()))
        return make_user_entry(image, finder.request, instances, node)

    return list(readable(read_entry, read_json(label_file).field("data_list").items()))


def _read_mmocr_text(node: JsonNode) -> Instance:
    """Read one text; its box is the polygon where there is no other, as for MMOCR."""
    polygon = node.optional("polygon")
    points = polygon.flat_polygon() if polygon else _read_box(node.field("bbox"))
    return Instance(points, node.text_of("text"), node.flag_of("ignore"))


def _read_box(node: JsonNode) -> np.ndarray:
    numbers = node.numbers()
    if len(numbers) != 4 or numbers[0] > numbers[2] or numbers[1] > numbers[3]:
        node.fail(f"{numbers} is no box x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; fix it")
    return rectangle(*numbers)


def _read_mmocr0(label_file: Path, finder: ImageFinder) -> list[Entry]:
    """Read a file of MMOCR 0.x: as COCO's, or a JSON in each line."""
    if label_file.suffix.lower() == ".json":
        return _read_coco(label_file, finder)

    def read_line(line: JsonNode) -> Entry:
        image = finder.find(line.field("file_name"), label_file)
        # MMOCR 0.x has one category, whose id is meaningless.
        read = partial(_read_annotation, image=line, categories={})
        found = chain.from_iterable(readable(read, line.field("annotations").items()))
        return make_user_entry(image, finder.request, list(found), line)

    return list(readable(read_line, read_json_lines(label_file)))


def _read_paddleocr(label_file: Path, finder: ImageFinder) -> list[Entry]:
    def read_line(line: tuple[JsonNode, JsonNode]) -> Entry:
        name, labels = line
        image = finder.find(name, label_file)
        read = partial(_read_paddleocr_text, keep_difficult=finder.request.keep_difficult)
        return make_user_entry(image, finder.request, list(readable(read, labels.items())))

    return list(readable(read_line, read_named_lines(label_file)))


def _read_paddleocr_text(node: JsonNode, keep_difficult: bool) -> Instance:
    """Read one text; what is `difficult` is ignored unless kept, though PaddleOCR learns it."""
    text, polygon = node.field("transcription").text(), node.field("points").corners()
    difficult = node.flag_of("difficult") and not keep_difficult
    if difficult and text not in PADDLE_UNREADABLE:
        note_doubt(node.place, DIFFICULT)
    return Instance(polygon, text, difficult or text in PADDLE_UNREADABLE)


COCO = LabelFormat(
    'Prepare your data in COCO\'s JSON: {"images": ..., "annotations": ..., "categories": ...}.',
    suffixes=[".json"],
    preferred="instances",
    read=_read_coco,
)
MMOCR = LabelFormat(
    'Prepare your data in MMOCR 1.x\'s JSON: {"metainfo": ..., "data_list": ...}.',
    suffixes=[".json"],
    preferred="textdet",
    read=_read_mmocr,
    may_be_output=True,
)
MMOCR0 = LabelFormat(
    "Prepare your data of MMOCR 0.x: instances_training.json, or .txt with one JSON per line.",
    suffixes=[".json", ".txt"],
    preferred="instances",
    read=_read_mmocr0,
)
PADDLEOCR = LabelFormat(
    "Prepare your data of PaddleOCR or PPOCRLabel: Label.txt with path, tab and a JSON list.",
    suffixes=[".txt"],
    preferred="label",
    read=_read_paddleocr,
)
