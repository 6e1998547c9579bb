"""ICDAR2017 and ICDAR2019 MLT, multi-lingual scene text of the Robust Reading Competition."""

from pathlib import Path

import numpy as np

from dbnet.labels.annotation import Entries
from dbnet.labels.downloads import find_downloads, to_folder
from dbnet.labels.lazy_entries import read_pairs
from dbnet.labels.pairs import pair_files
from dbnet.labels.text_lines import Words, parse_lines, to_polygon

ORIGIN_2017 = "https://rrc.cvc.uab.es (challenge 8, registration needed)"
DOWNLOADS_2017 = [
    *([f"ch8_training_images_{number}"] for number in range(1, 9)),
    ["ch8_training_localization_transcription_gt_v2"],
    ["ch8_validation_images"],
    ["ch8_validation_localization_transcription_gt_v2"],
]
ORIGIN_2019 = "https://rrc.cvc.uab.es (challenge 15, registration needed)"
DOWNLOADS_2019 = [["ImagesPart1"], ["ImagesPart2"], ["train_gt_t13"]]
UNREADABLE = "###"  # the transcription of a word that does not count


def prepare_icdar2017_mlt(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare ICDAR2017 MLT: 7200 training and 1800 validation images, words of 9 languages.

    Args:
        raw: The folder with the eleven downloads, each a zip or a folder.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and, since the ground truth of the test images is not public, those
        of the validation images as "test", in natural order of the images' names.
    """
    downloads = find_downloads(raw, DOWNLOADS_2017, ORIGIN_2017)
    *train_images, train_gt, test_images, test_gt = (to_folder(d, out, copy) for d in downloads)
    return {
        "train": read_pairs(pair_files(train_images, train_gt), parse_words, out),
        "test": read_pairs(pair_files([test_images], test_gt), parse_words, out),
    }


def prepare_icdar2019_mlt(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare ICDAR2019 MLT: 10000 training images, words of 10 languages.

    Args:
        raw: The folder with the three downloads, each a zip or a folder.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train", in natural order of the images' names. There is no other part: the
        ground truth of the test images is not public.
    """
    downloads = find_downloads(raw, DOWNLOADS_2019, ORIGIN_2019)
    *images, truths = (to_folder(d, out, copy) for d in downloads)
    return {"train": read_pairs(pair_files(images, truths, prefix=""), parse_words, out)}


def parse_words(content: bytes, source: str) -> Words:
    """Parse a file of lines `x1,y1,x2,y2,x3,y3,x4,y4,script,transcription`.

    Args:
        content: The file's bytes, UTF-8 with or without a byte-order mark, any line ends.
        source: The file's name for messages.

    Returns:
        Per word a (4, 2) float32 quad in pixels, the transcription, and whether it is ignored.
    """
    expected = "x1,y1,x2,y2,x3,y3,x4,y4,script,transcription"
    return parse_lines(content, source, expected, _parse_line)


def _parse_line(line: str) -> tuple[np.ndarray, str, bool]:
    fields = line.split(",", 9)
    if len(fields) < 10:
        raise ValueError(f"there are {len(fields) - 1} commas before the transcription, not 9")
    return to_polygon(fields[:8]), fields[9], fields[9] == UNREADABLE
