"""Entries whose images are opened only when they are asked for, several at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from dbnet.labels.annotation import Entry, make_entry
from dbnet.labels.text_lines import Words

NUM_THREADS = 16  # opening a file waits for the disk or the network, not for a processor
NUM_AHEAD = 256  # images that are being opened or wait to be written


class ImageWords(NamedTuple):
    """An image and what its ground truth says; see `Words`."""

    image: Path
    words: Words


class LazyEntries:
    """The entries of many images, made while they are gone through.

    Args:
        num_images: How many there are.
        read: Starts to read the ground truth from its beginning; images in their final order.
        folder: Where the annotation file will lie.
    """

    def __init__(
        self, num_images: int, read: Callable[[], Iterable[ImageWords]], folder: Path
    ) -> None:
        self._num_images = num_images
        self._read = read
        self._folder = folder

    def __len__(self) -> int:
        return self._num_images

    def __iter__(self) -> Iterator[Entry]:
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            pending: deque[Future[Entry]] = deque()
            for image, words in self._read():
                pending.append(pool.submit(make_entry, image, self._folder, *words))
                if len(pending) > NUM_AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()


def read_pairs(
    pairs: Sequence[tuple[Path, Path]], parse: Callable[[bytes, str], Words], folder: Path
) -> LazyEntries:
    """Read the ground truth of all pairs now, the sizes of the images when they are needed.

    Args:
        pairs: Images and their files of ground truth.
        parse: Reads a file's bytes; the file's name is for its messages.
        folder: Where the annotation file will lie.
    """
    images = [ImageWords(image, parse(truth.read_bytes(), str(truth))) for image, truth in pairs]
    return LazyEntries(len(images), lambda: images, folder)
