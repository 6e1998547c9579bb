"""COCO-Text V2: words in photographs that were not taken for their sake, images of COCO 2014."""

from pathlib import Path

import numpy as np

from dbnet.labels.annotation import Entries
from dbnet.labels.downloads import find_downloads, to_folder
from dbnet.labels.image_annotations import image_ids, polygon_or_box, read_images
from dbnet.labels.json_node import JsonNode, read_json

ORIGIN = (
    "https://bgshih.github.io/cocotext (cocotext.v2.json) and https://cocodataset.org (train2014)"
)
TRUTH = "cocotext.v2.json"
DOWNLOADS = [["train2014"], [TRUTH, "cocotext.v2"]]
SET_OF_PART = {"train": "train", "test": "val"}


def prepare_cocotext(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare COCO-Text V2: 43,686 training and 10,000 validation images, words as polygons.

    Args:
        raw: The folder with COCO's train2014 and cocotext.v2.json, zips or not.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and, since the ground truth of the test images is not public, those
        of the validation images as "test", in the order of the file. Images without words are among
        them.
    """
    images, truth = find_downloads(raw, DOWNLOADS, ORIGIN)
    image_folder = to_folder(images, out, copy)
    document = read_json(truth if truth.suffix == ".json" else to_folder(truth, out, copy) / TRUTH)
    imgs = document.field("imgs")
    set_of = {name: imgs.field(name).field("set").text() for name in image_ids(document)}
    parts: dict[str, Entries] = {}
    for part, wanted in SET_OF_PART.items():
        ids = [image_id for image_id, found in set_of.items() if found == wanted]
        parts[part] = read_images(document, ids, image_folder, _parse_word, out)
    return parts


def _parse_word(ann: JsonNode) -> tuple[np.ndarray, str, bool]:
    text = ann.optional("utf8_string")
    legible = ann.field("legibility").text() == "legible"
    return polygon_or_box(ann, "mask"), text.text() if text else "", not legible
