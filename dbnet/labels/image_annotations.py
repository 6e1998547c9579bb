"""JSON files like COCO-Text's: `imgs` and `anns` by their ids, and `imgToAnns` between the two."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.json_node import JsonNode
from dbnet.labels.lazy_entries import ImageWords, LazyEntries

# Polygon (N, 2) in pixels, transcription, and whether the word is ignored.
ParseWord = Callable[[JsonNode], tuple[np.ndarray, str, bool]]
MIN_NUMBERS = 6  # of a polygon, x and y of three points


def image_ids(document: JsonNode) -> list[str]:
    """Give the ids of all images of a document, in its order."""
    imgs = document.field("imgs")
    if not isinstance(imgs.value, dict):
        imgs.fail("expected an object with an image per id; this is not the official file")
    return list(imgs.value)


def polygon_or_box(ann: JsonNode, key: str) -> np.ndarray:
    """Give the polygon (N, 2) of an item of `anns`, or the corners of its `bbox` (x, y, w, h).

    The box stands in for an outline of fewer than three points, so that a slip somewhere in a
    public file, which nobody would mend by hand, does not keep its images away.
    """
    numbers = ann.field(key)
    box = ann.optional("bbox")
    if box is None or len(list(numbers.items())) >= MIN_NUMBERS:
        return numbers.flat_polygon()
    sides = [side.number() for side in box.items()]
    if len(sides) != 4:
        box.fail(f"expected x, y, width, height, found {len(sides)} numbers")
    x, y, width, height = sides
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def read_images(
    document: JsonNode, ids: Sequence[str], images: Path, parse_word: ParseWord, out: Path
) -> LazyEntries:
    """Read the words of some images of a document, when they are needed.

    Args:
        document: The whole file.
        ids: Which images, in their final order.
        images: The folder with the images' files; folders in their names are passed over.
        parse_word: Reads an item of `anns`.
        out: Where the annotation file will lie.
    """
    if not ids:
        raise UserError(f"{document.source}: no images of this part among imgs")
    imgs, anns = document.field("imgs"), document.field("anns")
    anns_of_image = document.field("imgToAnns")

    def read() -> Iterator[ImageWords]:
        for image_id in ids:
            name = PurePosixPath(imgs.field(image_id).field("file_name").text()).name
            ann_ids = anns_of_image.optional(image_id)
            found = [anns.field(str(n.value)) for n in ann_ids.items()] if ann_ids else []
            words = [parse_word(ann) for ann in found]
            polygons, texts, ignored = map(list, zip(*words)) if words else ([], [], [])
            yield ImageWords(images / name, (polygons, texts, ignored))

    return LazyEntries(len(ids), read, out)
