"""TextOCR: nearly all words of photographs, in images of Open Images."""

from pathlib import Path

import numpy as np

from dbnet.labels.annotation import Entries
from dbnet.labels.downloads import find_downloads, to_folder
from dbnet.labels.image_annotations import image_ids, polygon_or_box, read_images
from dbnet.labels.json_node import JsonNode, read_json

ORIGIN = "https://textvqa.org/textocr/dataset (CC BY 4.0)"
DOWNLOADS = [
    ["train_val_images", "train_images"],
    ["TextOCR_0.1_train.json"],
    ["TextOCR_0.1_val.json"],
]
UNREADABLE = "."  # the transcription of a word that does not count


def prepare_textocr(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare TextOCR: 21,778 training and 3124 validation images, words as polygons.

    Args:
        raw: The folder with train_val_images, a zip or a folder, and the two JSON files.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and, since the ground truth of the test images is not public, those
        of the validation images as "test", in the order of the files.
    """
    images, train, val = find_downloads(raw, DOWNLOADS, ORIGIN)
    folder = to_folder(images, out, copy)
    parts: dict[str, Entries] = {}
    for part, truth in (("train", train), ("test", val)):
        document = read_json(truth)
        parts[part] = read_images(document, image_ids(document), folder, _parse_word, out)
    return parts


def _parse_word(ann: JsonNode) -> tuple[np.ndarray, str, bool]:
    text = ann.field("utf8_string").text()
    return polygon_or_box(ann, "points"), text, text == UNREADABLE
