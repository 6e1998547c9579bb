"""A user's data in LabelMe's format, one JSON per image, as X-AnyLabeling writes it too."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dbnet.errors import UserError
from dbnet.images import probe, read_shape
from dbnet.labels.annotation import Entry
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.instances import (
    UNREADABLE,
    Instance,
    check_size,
    entry_of,
    rectangle,
    turned,
)
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.parts import (
    find_part_folders,
    is_output,
    list_visible,
    open_raw,
)

# Of four corners: LabelMe's, and X-AnyLabeling's two.
ROTATED = ("oriented_rectangle", "rotation", "quadrilateral")
IGNORE_FLAGS = ("ignore", "difficult")
IMAGE_FOLDER = "images"  # below the output folder, for images that only a JSON held


def prepare_labelme(raw: Path, out: Path, copy: bool) -> dict[str, list[Entry]]:
    """Prepare your data of LabelMe or X-AnyLabeling: a JSON with "shapes" for each image.

    Args:
        raw: The folder with a folder of JSON files for each part, or with the files.
        out: The folder of the annotation files, below which images that only a JSON holds are
            written to `images`/part.
        copy: Whether all of `raw` is copied below `out` too.
    """
    raw = open_raw(raw, out, copy)
    return {part: _read_part(folder, part, out) for part, folder in find_part_folders(raw).items()}


def _read_part(folder: Path, part: str, out: Path) -> list[Entry]:
    label_files = [path for path in list_visible(folder, [".json"]) if not is_output(path, out)]
    if not label_files:
        raise UserError(f"{folder} holds no *.json; save the labels there")
    finder = ImageFinder(folder, part)
    entries = []
    for label_file in label_files:
        document = read_json(label_file)
        instances = [_read_shape(shape) for shape in document.field("shapes").items()]
        extracted = out / IMAGE_FOLDER / part / label_file.relative_to(folder)
        image = _find_image(document, label_file, finder, extracted)
        entry = entry_of(image, out, instances)
        check_size(entry, image, document.optional("imageHeight"), document.optional("imageWidth"))
        entries.append(entry)
    return entries


def _read_shape(node: JsonNode) -> Instance:
    label, description = node.field("label").text(), node.optional("description")
    text = description.text() if description and description.value else label
    flags = node.optional("flags")
    marks = [flags.optional(key) for key in IGNORE_FLAGS] if flags and flags.value else []
    marked = any(mark.flag() for mark in [*marks, node.optional("difficult")] if mark)
    return Instance(_outline(node), text, marked or UNREADABLE in (label, text))


def _outline(node: JsonNode) -> np.ndarray:
    """Give the polygon of a shape.

    Raises:
        UserError: The shape has no outline. Passing over it might make a text background.
    """
    kind = node.optional("shape_type")
    points = node.field("points")
    if kind is None or kind.text() == "polygon":
        return points.points()
    if kind.text() == "rectangle" and len(points.points(least=2)) == 2:  # opposite corners
        corners = points.points(least=2)
        return rectangle(*corners.min(axis=0), *corners.max(axis=0))
    if kind.text() in (*ROTATED, "rectangle"):
        corners = points.points(least=4)
        if len(corners) > 4:
            points.fail(f"{len(corners)} points, but a {kind.text()} has 4; redraw it")
        return corners
    return kind.fail(
        f"a {kind.text()} is no outline of a text; redraw it as a polygon, or delete it"
    )


def _find_image(document: JsonNode, label_file: Path, finder: ImageFinder, extracted: Path) -> Path:
    """Find the image of a JSON, or write the one that the JSON holds.

    LabelMe shows images as their EXIF orientation says, and what it puts into the JSON is upright.
    That image serves therefore where the file is missing or turned.
    """
    name, data = document.field("imagePath"), document.optional("imageData")
    found = finder.look_up(name, label_file)
    if data is None or (found is not None and not _labelled_turned(found, document)):
        image = finder.find(name, label_file)
    else:
        image = _extract(data, extracted)
    if _labelled_turned(image, document):
        name.fail(turned(image))
    return image


def _labelled_turned(image: Path, document: JsonNode) -> bool:
    """Tell whether the labels are of the image as EXIF shows it, and not of the stored one.

    So does LabelMe; where a turn swaps the sides, the JSON's tell whether another tool did not.
    """
    height, width = read_shape(image)
    orientation = probe(image).orientation
    stated = [document.optional(key) for key in ("imageHeight", "imageWidth")]
    as_stored = [side.value if side else None for side in stated] == [height, width]
    return orientation not in (0, 1) and not (orientation >= 5 and height != width and as_stored)


def _extract(data: JsonNode, stem: Path) -> Path:
    """Write an image in base64 to `stem` with the suffix of its format, unless it is there."""
    try:
        content = base64.b64decode(data.text(), validate=True)
        with Image.open(io.BytesIO(content)) as header:
            image = stem.with_suffix(f".{(header.format or 'png').lower()}")
    # ValueError: a character that base64 has not; binascii.Error is one too.
    except (ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        data.fail("no image in base64; put the image's file beside the labels")
    if image.exists() and image.read_bytes() != content:
        raise UserError(f"{image} is there already and differs: remove it, or choose another --out")
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(content)
    return image
