"""Entries whose images are opened only when they are asked for, several at a time."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dbnet.errors import UserError
from dbnet.labels.entries import Entry, Instance, make_entry
from dbnet.labels.faults import note_fault, readable
from dbnet.labels.text_lines import Parse
from dbnet.utils.parallel import in_order

NUM_THREADS = 16  # opening a file waits for the disk or the network, not for a processor
NUM_AHEAD = 256  # images that are being opened or wait to be written


class LabelledImage(NamedTuple):
    """An image's file and its texts."""

    image: Path
    instances: Sequence[Instance]


@dataclass(frozen=True)
class LazyEntries:
    """The entries of many images, made during iteration."""

    num_images: int  # how many there are
    # Starts to read the ground truth from its beginning; images in their final order.
    read: Callable[[], Iterable[LabelledImage]]
    folder: Path  # that of the annotation file

    def __len__(self) -> int:
        return self.num_images

    def __iter__(self) -> Iterator[Entry]:
        tasks = (
            functools.partial(_attempt, image, self.folder, instances)
            for image, instances in self.read()
        )
        for outcome in in_order(tasks, NUM_THREADS, NUM_AHEAD):
            if isinstance(outcome, UserError):
                note_fault(outcome)
            else:
                yield outcome


def _attempt(image: Path, folder: Path, instances: Sequence[Instance]) -> Entry | UserError:
    """Make an entry; a fault is returned, for the thread that gathers them."""
    try:
        return make_entry(image, folder, instances)
    except UserError as error:
        return error


def read_pairs(pairs: Sequence[tuple[Path, Path]], parse: Parse, folder: Path) -> LazyEntries:
    """Read the ground truth of all pairs now, the sizes of the images on demand.

    `folder` is that of the annotation file.
    """

    def read(pair: tuple[Path, Path]) -> LabelledImage:
        image, truth = pair
        return LabelledImage(image, parse(truth.read_bytes(), str(truth)))

    images = list(readable(read, pairs))
    return LazyEntries(len(images), lambda: images, folder)
