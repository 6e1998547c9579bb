"""ICDAR2013: Focused Scene Text and Born-Digital Images of the Robust Reading Competition."""

import re
from pathlib import Path

import numpy as np

from dbnet.labels.annotation import Entries
from dbnet.labels.downloads import find_downloads, to_folder
from dbnet.labels.instances import rectangle
from dbnet.labels.lazy_entries import read_pairs
from dbnet.labels.pairs import pair_files
from dbnet.labels.text_lines import Words, parse_lines, to_polygon

UNREADABLE = "###"  # the transcription of a word that does not count
NUMBER = r"([^\s,\"]+)"
# Commas, spaces or both stand between the numbers: the two challenges and their parts differ.
LINE = re.compile(r"\s*" + r"(?:\s*,\s*|\s+)".join([NUMBER] * 4) + r'(?:\s*,\s*|\s+)"(.*)"\s*')


def prepare_icdar2013(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare ICDAR2013 Focused Scene Text: 229 training and 233 test images, words as rectangles.

    Args:
        raw: The folder with the four downloads of challenge 2, each a zip or a folder.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and "test", in natural order of the images' names.
    """
    return _prepare_challenge(2, raw, out, copy)


def prepare_icdar2013_born_digital(raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    """Prepare ICDAR2013 Born-Digital Images: 410 for training, 141 for tests, words as rectangles.

    Args:
        raw: The folder with the four downloads of challenge 1, each a zip or a folder.
        out: The folder of the annotation files, below which zips are unpacked.
        copy: Whether folders are copied below `out` too.

    Returns:
        The entries of "train" and "test", in natural order of the images' names.
    """
    return _prepare_challenge(1, raw, out, copy)


def parse_rectangles(content: bytes, source: str) -> Words:
    r"""Parse a file of lines `left top right bottom "transcription"`, with commas or without.

    `\"` and `\\` in a transcription stand for a quote and a backslash.

    Args:
        content: The file's bytes, UTF-8 with or without a byte-order mark, any line ends.
        source: The file's name for messages.

    Returns:
        Per word a (4, 2) float32 quad in pixels, the transcription, and whether it is ignored.
    """
    return parse_lines(content, source, 'left top right bottom "transcription"', _parse_line)


def _parse_line(line: str) -> tuple[np.ndarray, str, bool]:
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"it is {line!r}")
    *numbers, quoted = match.groups()
    (left, top), (right, bottom) = to_polygon(numbers)
    text = re.sub(r'\\([\\"])', r"\1", quoted)
    return rectangle(left, top, right, bottom), text, text == UNREADABLE


def _prepare_challenge(challenge: int, raw: Path, out: Path, copy: bool) -> dict[str, Entries]:
    origin = f"https://rrc.cvc.uab.es (challenge {challenge}, 2013 to 2015, registration needed)"
    wanted = [
        [f"Challenge{challenge}_{part}_{kind}"]
        for part in ("Training", "Test")
        for kind in ("Task12_Images", "Task1_GT")
    ]
    downloads = find_downloads(raw, wanted, origin)
    train_images, train_gt, test_images, test_gt = (to_folder(d, out, copy) for d in downloads)
    return {
        "train": read_pairs(pair_files([train_images], train_gt), parse_rectangles, out),
        "test": read_pairs(pair_files([test_images], test_gt), parse_rectangles, out),
    }
