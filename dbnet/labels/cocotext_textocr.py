"""COCO-Text V2 and TextOCR: JSON files with `imgs` and `anns` by their ids, and `imgToAnns`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Entries, Instance, Request
from dbnet.labels.faults import readable
from dbnet.labels.files import find_downloads, to_folder
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.lazy import LabelledImage, LazyEntries

COCOTEXT_ORIGIN = (
    "https://bgshih.github.io/cocotext (cocotext.v2.json) and https://cocodataset.org (train2014)"
)
COCOTEXT_TRUTH = "cocotext.v2.json"
COCOTEXT_DOWNLOADS = [["train2014"], [COCOTEXT_TRUTH, "cocotext.v2"]]
SET_OF_PART = {"train": "train", "test": "val"}
TEXTOCR_ORIGIN = "https://textvqa.org/textocr/dataset (CC BY 4.0)"
TEXTOCR_DOWNLOADS = [
    ["train_val_images", "train_images"],
    ["TextOCR_0.1_train.json"],
    ["TextOCR_0.1_val.json"],
]
TEXTOCR_UNREADABLE = "."  # the transcription of a word that is ignored
MIN_NUMBERS = 6  # of a polygon, x and y of three points


def prepare_cocotext(request: Request) -> dict[str, Entries]:
    """Prepare COCO-Text V2: 43,686 training and 10,000 validation images, words as polygons.

    The ground truth of the test images is not public, so the validation images are "test". Images
    without words are among the entries, in the order of the file.
    """
    images, truth = find_downloads(request.raw, COCOTEXT_DOWNLOADS, COCOTEXT_ORIGIN)
    image_folder = to_folder(images, request)
    is_json = truth.suffix == ".json"
    document = read_json(truth if is_json else to_folder(truth, request) / COCOTEXT_TRUTH)
    imgs = document.field("imgs")
    set_of = {name: imgs.field(name).field("set").text() for name in _image_ids(document)}
    parts: dict[str, Entries] = {}
    for part, wanted in SET_OF_PART.items():
        ids = [image_id for image_id, found in set_of.items() if found == wanted]
        parts[part] = _read_images(document, ids, image_folder, _parse_cocotext, request.out)
    return parts


def prepare_textocr(request: Request) -> dict[str, Entries]:
    """Prepare TextOCR: 21,778 training and 3124 validation images, words as polygons.

    The ground truth of the test images is not public, so the validation images are "test".
    """
    images, train, val = find_downloads(request.raw, TEXTOCR_DOWNLOADS, TEXTOCR_ORIGIN)
    folder = to_folder(images, request)
    parts: dict[str, Entries] = {}
    for part, truth in (("train", train), ("test", val)):
        document = read_json(truth)
        parts[part] = _read_images(
            document, _image_ids(document), folder, _parse_textocr, request.out
        )
    return parts


def _parse_cocotext(ann: JsonNode) -> Instance:
    text = ann.optional("utf8_string")
    legible = ann.field("legibility").text() == "legible"
    return Instance(_polygon_or_box(ann, "mask"), text.text() if text else "", not legible)


def _parse_textocr(ann: JsonNode) -> Instance:
    text = ann.field("utf8_string").text()
    return Instance(_polygon_or_box(ann, "points"), text, text == TEXTOCR_UNREADABLE)


def _polygon_or_box(ann: JsonNode, key: str) -> np.ndarray:
    """Return the polygon (N, 2) of an item of `anns`, or the corners of its `bbox` (x, y, w, h).

    The box replaces an outline of fewer than three points, so that a slip somewhere in a public
    file, which nobody would fix by hand, does not exclude its images.
    """
    numbers, box = ann.field(key), ann.optional("bbox")
    if box is None or len(list(numbers.items())) >= MIN_NUMBERS:
        return numbers.flat_polygon()
    return box.box()


def _image_ids(document: JsonNode) -> list[str]:
    imgs = document.field("imgs")
    if not isinstance(imgs.value, dict):
        imgs.fail("expected an object with an image per id; this is not the official file")
    return list(imgs.value)


def _read_images(
    document: JsonNode,
    ids: Sequence[str],
    folder: Path,
    parse: Callable[[JsonNode], Instance],
    out: Path,
) -> LazyEntries:
    """Read the texts of some images on demand, in the order of `ids`.

    Folders in the names of the images are dropped, `parse` parses an item of `anns`, and `out` is
    the folder of the annotation file.
    """
    if not ids:
        raise UserError(f"{document.source}: no images of this part among imgs")
    imgs, anns = document.field("imgs"), document.field("anns")
    anns_of_image = document.field("imgToAnns")

    def read_image(image_id: str) -> LabelledImage:
        name = PurePosixPath(imgs.field(image_id).field("file_name").text()).name
        numbers = anns_of_image.optional(image_id)
        items = [anns.field(str(n.value)) for n in numbers.items()] if numbers else []
        return LabelledImage(folder / name, list(readable(parse, items)))

    def read() -> Iterator[LabelledImage]:
        return readable(read_image, ids)

    return LazyEntries(len(ids), read, out)
