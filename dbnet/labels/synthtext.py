"""SynthText in the Wild: 858,750 images with drawn words, too many to keep in memory."""

from collections.abc import Iterator

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Entries, Instance
from dbnet.labels.faults import readable
from dbnet.labels.files import find_archive
from dbnet.labels.lazy import LabelledImage, LazyEntries
from dbnet.labels.matlab import read_variable
from dbnet.labels.request import Request

ORIGIN = "https://www.robots.ox.ac.uk/~vgg/data/scenetext (SynthText.zip, 41 GB, for research)"
TRUTH = "gt.mat"


def prepare_synthtext(request: Request) -> dict[str, Entries]:
    """Prepare SynthText: 858,750 drawn images to pretrain on, words as quads; needs SciPy."""
    folder = find_archive(request, ["SynthText"], [TRUTH], ORIGIN)
    truth = folder / TRUTH
    # One variable after the other, each reduced before the next is read; the largest, charBB, is
    # not read at all.
    names = [str(name[0]) for name in read_variable(truth, str(truth), "imnames").ravel()]
    texts = ["\n".join(lines) for lines in read_variable(truth, str(truth), "txt").ravel()]
    boxes = read_variable(truth, str(truth), "wordBB").ravel()
    if not len(names) == len(texts) == len(boxes):
        raise UserError(
            f"{truth}: {len(names)} imnames, {len(texts)} txt and {len(boxes)} wordBB; download "
            "it again"
        )

    def read_image(numbered: tuple[int, tuple[str, str, np.ndarray]]) -> LabelledImage:
        number, (name, text, box) = numbered
        source = f"{truth}, image {number} ({name})"
        return LabelledImage(folder / name, to_instances(box, text, source))

    def read() -> Iterator[LabelledImage]:
        return readable(read_image, enumerate(zip(names, texts, boxes), start=1))

    return {"train": LazyEntries(len(names), read, request.out)}


def to_instances(boxes: np.ndarray, text: str, source: str) -> list[Instance]:
    """Divide an image's text into its words, none of which is ignored.

    Args:
        boxes: The words' corners, x and y in pixels, (2, 4, M), or (2, 4) for a single word.
        text: The words, separated by white space.
        source: The image's name for messages.
    """
    words = text.split()
    shape = boxes.shape if boxes.ndim == 3 else (*boxes.shape, 1)
    if shape != (2, 4, len(words)):
        raise UserError(f"{source}: wordBB of shape {boxes.shape} for {len(words)} words in txt")
    if not np.isfinite(boxes).all():
        raise UserError(f"{source}: a coordinate of wordBB is not finite")
    # Hundredths of a pixel in double precision: 420.58956909179688 doubles the file's size.
    quads = boxes.reshape(shape).transpose(2, 1, 0).astype(np.float64).round(2)
    return [Instance(quad, word, False) for quad, word in zip(quads, words)]
