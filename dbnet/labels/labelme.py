"""LabelMe's format, one JSON per image, which X-AnyLabeling writes too."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dbnet.errors import UserError
from dbnet.images import read_orientation, read_shape
from dbnet.labels.entries import Entry, Instance, Request
from dbnet.labels.faults import readable, watched
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.parts import find_part_folders, image_folder, is_output, list_visible, open_raw
from dbnet.labels.shapes import no_outline
from dbnet.labels.text_lines import UNREADABLE
from dbnet.labels.user_entries import make_user_entry

# Of four corners: LabelMe's, and X-AnyLabeling's two.
ROTATED = ("oriented_rectangle", "rotation", "quadrilateral")
SIZE_KEYS = ("imageHeight", "imageWidth")
IGNORE_FLAGS = ("ignore", "difficult")
IMAGE_FOLDER = "images"  # below the output folder, for images that only a JSON contains


def prepare_labelme(request: Request) -> dict[str, list[Entry]]:
    """Prepare your data of LabelMe or X-AnyLabeling: a JSON with "shapes" for each image.

    Images that only a JSON contains are written to `images`/part below `out`.
    """
    folders = find_part_folders(request.labels or open_raw(request))
    return {part: _read_part(folder, part, request) for part, folder in folders.items()}


def _read_part(folder: Path, part: str, request: Request) -> list[Entry]:
    out = request.out
    label_files = [path for path in list_visible(folder, [".json"]) if not is_output(path, out)]
    if not label_files:
        raise UserError(f"{folder} has no *.json; save the labels there")
    finder = ImageFinder(image_folder(folder, request), part, request)

    def read(label_file: Path) -> Entry:
        document = read_json(label_file)
        instances = list(readable(_read_shape, document.field("shapes").items()))
        extracted = out / IMAGE_FOLDER / part / label_file.relative_to(folder)
        image = _find_image(document, label_file, finder, extracted)
        return make_user_entry(image, request, instances, document, SIZE_KEYS, "displayed")

    return list(readable(read, watched(label_files)))


def _read_shape(node: JsonNode) -> Instance:
    label, flags = node.field("label").text(), node.optional("flags")
    description = node.optional("description")
    text = description.text() if description and description.value else label
    marks = [flags.flag_of(key) for key in IGNORE_FLAGS] if flags and flags.value else []
    marked = any([*marks, node.flag_of("difficult")])
    return Instance(_outline(node), text, marked or UNREADABLE in (label, text), label)


def _outline(node: JsonNode) -> np.ndarray:
    kind = node.optional("shape_type")
    points = node.field("points")
    if kind is None or kind.text() == "polygon":
        return points.points()
    if kind.text() == "rectangle" and len(points.points(least=2)) == 2:
        turn = node.optional("direction")  # X-AnyLabeling's; nobody knows what it turns
        if turn is not None and turn.value != 0:
            turn.fail("a turned rectangle of two corners; redraw it as a rotation or a polygon")
        return points.corners()
    if kind.text() not in (*ROTATED, "rectangle"):
        no_outline(kind, kind.text())
    corners = points.points(least=4)
    if len(corners) > 4:
        points.fail(f"{len(corners)} points, but a {kind.text()} has 4; redraw it")
    return corners


def _find_image(document: JsonNode, label_file: Path, finder: ImageFinder, extracted: Path) -> Path:
    """Find the image of a JSON, or write the one that the JSON contains.

    LabelMe applies the EXIF orientation to what it shows and to what it puts into the JSON.
    That image replaces the file where it is missing or turned.
    """
    name, data = document.field("imagePath"), document.optional("imageData")
    found = finder.look_up(name, label_file)
    if found is None and data is None:
        found = finder.by_stem(name, label_file)
    if data is None or (found is not None and not _is_labelled_upright(found, document)):
        return finder.claim(found, name)
    return _extract(data, extracted)


def _is_labelled_upright(image: Path, document: JsonNode) -> bool:
    """Return whether the labels are of the image as EXIF shows it: LabelMe's, unless sides tell."""
    height, width = read_shape(image)
    orientation = read_orientation(image)
    stated = [document.optional(key) for key in SIZE_KEYS]
    as_stored = [side.value if side else None for side in stated] == [height, width]
    return orientation != 1 and not (orientation >= 5 and height != width and as_stored)


def _extract(data: JsonNode, stem: Path) -> Path:
    """Write an image in base64 to `stem` with the suffix of its format, unless it is there."""
    try:
        content = base64.b64decode(data.text(), validate=True)
        with Image.open(io.BytesIO(content)) as header:
            image = stem.with_suffix(f".{(header.format or 'png').lower()}")
    # ValueError: a character that base64 does not have; binascii.Error is one too.
    except (ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        data.fail("no image in base64; put the image's file next to the labels")
    if image.exists() and image.read_bytes() != content:
        raise UserError(f"{image} is there already and differs: remove it, or choose another --out")
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(content)
    return image
