"""A user's data in COCO's format for instance segmentation."""

from pathlib import Path

import numpy as np

from dbnet.labels.annotation import Entry
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.instances import (
    UNREADABLE,
    Instance,
    check_size,
    entry_of,
    rectangle,
)
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.parts import find_label_files, open_raw

TEXT_KEYS = ("text", "transcription", "utf8_string")  # COCO itself has none; the last: COCO-Text


def prepare_coco(raw: Path, out: Path, copy: bool) -> dict[str, list[Entry]]:
    """Prepare your data in COCO's JSON: {"images": ..., "annotations": ..., "categories": ...}.

    Args:
        raw: The folder with the label file of each part, see `find_label_files`.
        out: The folder of the annotation files.
        copy: Whether all of `raw` is copied below `out` too.
    """
    raw = open_raw(raw, out, copy)
    return {
        part: read_document(label_file, ImageFinder(folder, part), out)
        for part, (label_file, folder) in find_label_files(
            raw, out, [".json"], preferred="instances"
        ).items()
    }


def read_document(label_file: Path, finder: ImageFinder, out: Path) -> list[Entry]:
    """Read a whole document; an image without annotations is one without text."""
    document = read_json(label_file)
    categories = _categories(document)
    images = _images(document)
    instances: dict[object, list[Instance]] = {image_id: [] for image_id in images}
    for annotation in document.field("annotations").items():
        image_id = annotation.field("image_id")
        if _key(image_id) not in images:
            image_id.fail(f"no image has the id {image_id.value!r}; delete this annotation")
        instances[_key(image_id)] += read_annotation(annotation, categories)
    return [
        read_image(
            images[key],
            finder.find(images[key].field("file_name"), label_file),
            instances[key],
            out,
        )
        for key in images
    ]


def read_image(node: JsonNode, image: Path, instances: list[Instance], out: Path) -> Entry:
    """Make the entry of an image, whose object may state its `height` and `width`."""
    entry = entry_of(image, out, instances)
    check_size(entry, image, node.optional("height"), node.optional("width"))
    return entry


def read_annotation(node: JsonNode, categories: dict[object, str]) -> list[Instance]:
    """Read one annotation, each polygon of which becomes an instance of its own.

    A text that something covers in the middle has several, and a detector finds its pieces.

    Args:
        node: The annotation.
        categories: The names of the categories by their ids.
    """
    category = node.optional("category_id")
    name = categories.get(_key(category), "") if category else ""
    texts = [found.value for key in TEXT_KEYS if (found := node.optional(key))]
    text = next((text for text in texts if isinstance(text, str)), name)
    flags = [found.flag() for key in ("iscrowd", "ignore") if (found := node.optional(key))]
    ignored = any(flags) or UNREADABLE in (text, name)
    return [Instance(polygon, text, ignored) for polygon in _polygons(node)]


def _polygons(node: JsonNode) -> list[np.ndarray]:
    segmentation = node.optional("segmentation")
    if segmentation is None or segmentation.value == []:
        return [_box(node.field("bbox"))]
    if isinstance(segmentation.value, dict):
        segmentation.fail("a run-length mask, which has no outline; export polygons instead")
    return [polygon.flat_polygon() for polygon in segmentation.items()]


def _box(node: JsonNode) -> np.ndarray:
    numbers = [item.number() for item in node.items()]
    if len(numbers) != 4 or min(numbers[2:]) < 0:
        node.fail(f"{numbers} is no box x, y, width, height; mend it")
    left, top, width, height = numbers
    return rectangle(left, top, left + width, top + height)


def _images(document: JsonNode) -> dict[object, JsonNode]:
    images: dict[object, JsonNode] = {}
    for image in document.field("images").items():
        key = _key(image.field("id"))
        if key in images:
            image.field("id").fail(f"{key!r} is the id of {images[key].path} too; renumber")
        images[key] = image
    return images


def _categories(document: JsonNode) -> dict[object, str]:
    categories = document.optional("categories")
    items = categories.items() if categories else ()
    return {_key(item.field("id")): item.field("name").text() for item in items}


def _key(node: JsonNode) -> object:
    """Give an id, a number or a text."""
    if not isinstance(node.value, int | str):
        node.fail(f"expected a number, found {node.value!r}")
    return node.value
