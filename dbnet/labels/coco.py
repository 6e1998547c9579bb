"""COCO's format for instance segmentation."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dbnet.geometry import rotated
from dbnet.labels.entries import Entry, Instance
from dbnet.labels.faults import readable, watched
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.label_format import LabelFormat
from dbnet.labels.run_length import outline, read_mask
from dbnet.labels.text_lines import UNREADABLE
from dbnet.labels.user_entries import make_user_entry

TEXT_KEYS = ("text", "transcription", "utf8_string")  # COCO itself has none; the last: COCO-Text
ANGLE_KEYS = ("rotation", "angle", "theta")
# Outlines that COCO does not define, so that nobody knows in which order their numbers are.
FOREIGN_OUTLINES = ("polygon", "poly", "quad", "rbox", "rbbox", "rotated_box", "obb", "vertices")


def read_document(label_file: Path, finder: ImageFinder) -> list[Entry]:
    """Read a whole document; an image without annotations is one without text."""
    document = read_json(label_file)
    categories = document.optional("categories")
    items = categories.items() if categories else ()
    names = {_key(item.field("id")): item.field("name").text() for item in items}
    images = _images(document)
    instances: dict[object, list[Instance]] = {image_id: [] for image_id in images}

    def add(annotation: JsonNode) -> None:
        image_id = annotation.field("image_id")
        if _key(image_id) not in images:
            image_id.fail(f"no image has the id {image_id.value!r}; delete this annotation")
        instances[_key(image_id)] += read_annotation(annotation, images[_key(image_id)], names)

    def make(key: object) -> Entry:
        image = finder.find(images[key].field("file_name"), label_file)
        return make_user_entry(image, finder.request, instances[key], images[key])

    for _ in readable(add, document.field("annotations").items()):
        pass
    return list(readable(make, watched(images)))


def read_annotation(
    node: JsonNode, image: JsonNode, categories: dict[object, str]
) -> list[Instance]:
    """Read one annotation, each polygon of which becomes an instance of its own.

    A text that something covers in the middle has several, and a detector finds its pieces. A mask
    gives one instance, its largest part; the others are specks as a rule.

    Args:
        node: The annotation.
        image: The object with its image's height and width, if they are stated.
        categories: The names of the categories by their ids.
    """
    category = node.optional("category_id")
    name = categories.get(_key(category), "") if category else ""
    texts = [found.value for key in TEXT_KEYS if (found := node.optional(key))]
    text = next((text for text in texts if isinstance(text, str)), name)
    flags = [found.flag() for key in ("iscrowd", "ignore") if (found := node.optional(key))]
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
    found = outline(read_mask(mask))
    return mask.fail("a mask without area; delete this annotation") if found is None else found


def _rotated_box(node: JsonNode) -> np.ndarray:
    """Return the corners of an annotation's `bbox`, turned as CVAT's `attributes` say.

    Raises:
        UserError: The annotation states an angle or an outline in a way that COCO does not define.
    """
    for key in FOREIGN_OUTLINES:
        if outline := node.optional(key):
            outline.fail("COCO does not define it; write the outline into segmentation")
    box, attributes = node.field("bbox"), node.optional("attributes")
    corners = box.box()
    if (corners[2] < corners[0]).any():
        box.fail(f"{box.value} has a negative width or height; fix it")
    rotation = None
    if attributes is not None and isinstance(attributes.value, dict):
        rotation = attributes.optional("rotation")
        _refuse_angles(attributes, ANGLE_KEYS[1:])
    _refuse_angles(node, ANGLE_KEYS)
    if rotation is None or rotation.number() == 0:
        return corners
    return rotated(corners, math.radians(rotation.number())).round(4)


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


COCO = LabelFormat(
    'Prepare your data in COCO\'s JSON: {"images": ..., "annotations": ..., "categories": ...}.',
    suffixes=[".json"],
    preferred="instances",
    read=read_document,
)
