"""ICDAR2015 Incidental Scene Text, challenge 4 of the Robust Reading Competition of 2015."""

from pathlib import Path

import numpy as np

from dbnet.labels.annotation import Entries
from dbnet.labels.downloads import find_downloads, to_folder
from dbnet.labels.lazy_entries import LazyEntries, read_pairs
from dbnet.labels.pairs import pair_files
from dbnet.labels.text_lines import Words, parse_lines, to_polygon

ORIGIN = "https://rrc.cvc.uab.es (challenge 4, registration needed)"
DOWNLOADS = [
    ["ch4_training_images"],
    ["ch4_training_localization_transcription_gt"],
    ["ch4_test_images"],
    ["Challenge4_Test_Task1_GT", "Challenge4_Test_Task4_GT"],
]
UNREADABLE = "###"  # the transcription of a word that does not count


def prepare_icdar2015(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare ICDAR2015 Incidental Scene Text: 1000 training and 500 test images, words as quads.

    Args:
        raw: The folder with the four downloads, each a zip or a folder.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and "test", in natural order of the images' names.
    """
    downloads = find_downloads(raw, DOWNLOADS, ORIGIN)
    train_images, train_gt, test_images, test_gt = (to_folder(d, out, copy) for d in downloads)
    return {
        "train": _read_entries(train_images, train_gt, out),
        "test": _read_entries(test_images, test_gt, out),
    }


def parse_ground_truth(content: bytes, source: str) -> Words:
    """Parse a file of lines `x1,y1,x2,y2,x3,y3,x4,y4,transcription`.

    Args:
        content: The file's bytes, UTF-8 with or without a byte-order mark, any line ends.
        source: The file's name for messages.

    Returns:
        Per word a (4, 2) float32 quad in pixels, the transcription, and whether it is ignored.
    """
    return parse_lines(content, source, "x1,y1,x2,y2,x3,y3,x4,y4,transcription", _parse_line)


def _parse_line(line: str) -> tuple[np.ndarray, str, bool]:
    *numbers, text = line.split(",", 8)
    if len(numbers) < 8:
        raise ValueError(f"there are {len(numbers)} commas before the transcription, not 8")
    return to_polygon(numbers), text, text == UNREADABLE


def _read_entries(image_folder: Path, gt_folder: Path, out: Path) -> LazyEntries:
    pairs = pair_files([image_folder], gt_folder, image_suffixes=[".jpg"])
    return read_pairs(pairs, parse_ground_truth, out)
