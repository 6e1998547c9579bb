"""ICDAR2015 Incidental Scene Text, challenge 4 of the Robust Reading Competition of 2015."""

from pathlib import Path

import numpy as np

from dbnet.datasets.preparers.annotation import Entry, make_entry, natural_key
from dbnet.datasets.preparers.downloads import find_downloads, to_folder
from dbnet.errors import UserError

ORIGIN = "https://rrc.cvc.uab.es (challenge 4, registration needed)"
DOWNLOADS = [
    ["ch4_training_images"],
    ["ch4_training_localization_transcription_gt"],
    ["ch4_test_images"],
    ["Challenge4_Test_Task1_GT", "Challenge4_Test_Task4_GT"],
]
UNREADABLE = "###"  # the transcription of a word that does not count
BOM = b"\xef\xbb\xbf"


def prepare_icdar2015(raw: Path, out: Path, copy: bool) -> dict[str, list[Entry]]:
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


def parse_ground_truth(
    content: bytes, source: str
) -> tuple[list[np.ndarray], list[str], list[bool]]:
    """Parse a file of lines `x1,y1,x2,y2,x3,y3,x4,y4,transcription`.

    Args:
        content: The file's bytes, UTF-8 with or without a byte-order mark, any line ends.
        source: The file's name for messages.

    Returns:
        Per word a (4, 2) float32 quad in pixels, the transcription, and whether it is ignored.
    """
    # Not str.splitlines(), which also splits at characters that a transcription may contain.
    content = content.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = content.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    quads, texts = [], []
    for number, line in enumerate(lines, start=1):
        try:
            quad, text = _parse_line(line)
        except ValueError as error:
            raise UserError(
                f"{source}, line {number}: expected x1,y1,x2,y2,x3,y3,x4,y4,transcription in "
                f"UTF-8, but {error}"
            ) from error
        quads.append(quad)
        texts.append(text)
    return quads, texts, [text == UNREADABLE for text in texts]


def _parse_line(line: bytes) -> tuple[np.ndarray, str]:
    *numbers, text = line.decode("utf-8").split(",", 8)
    if len(numbers) < 8:
        raise ValueError(f"there are {len(numbers)} commas before the transcription, not 8")
    with np.errstate(over="ignore"):  # too large for float32 is infinite, which is caught below
        quad = np.array([float(number) for number in numbers]).astype(np.float32).reshape(4, 2)
    if not np.isfinite(quad).all():
        raise ValueError(f"a coordinate is not finite: {','.join(numbers)}")
    return quad, text


def _read_entries(image_folder: Path, gt_folder: Path, out: Path) -> list[Entry]:
    """Pair `img_7.jpg` with `gt_img_7.txt` for all images and read both."""
    images = {path.stem: path for path in _visible_files(image_folder, "*.jpg")}
    truths = {path.stem.removeprefix("gt_"): path for path in _visible_files(gt_folder, "gt_*.txt")}
    _check_partners([images[s] for s in images.keys() - truths.keys()], gt_folder, "gt_{}.txt")
    _check_partners([truths[s] for s in truths.keys() - images.keys()], image_folder, "{}.jpg")
    if not images:
        raise UserError(f"{image_folder} holds no *.jpg, download it again from {ORIGIN}")
    return [
        make_entry(images[s], out, *parse_ground_truth(truths[s].read_bytes(), str(truths[s])))
        for s in sorted(sorted(images), key=natural_key)  # twice: img_1 and img_01 tie
    ]


def _visible_files(folder: Path, pattern: str) -> list[Path]:
    return [path for path in folder.glob(pattern) if not path.name.startswith(".")]


def _check_partners(alone: list[Path], folder: Path, pattern: str) -> None:
    """Complain about the first of the files that have no partner in `folder`."""
    if not alone:
        return
    first = min(alone, key=lambda path: natural_key(path.name))
    partner = pattern.format(first.stem.removeprefix("gt_"))
    raise UserError(
        f"{folder} lacks {partner}, the partner of {first} ({len(alone)} missing in total); "
        "complete or remove the pair"
    )
