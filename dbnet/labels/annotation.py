"""The annotation JSON of MMOCR 1.x: make entries, count them, draw some and write them."""

import filecmp
import json
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from dbnet.errors import UserError
from dbnet.images import read_shape
from dbnet.utils.files import replace_when_complete

METAINFO = {
    "dataset_type": "TextDetDataset",
    "task_name": "textdet",
    "category": [{"id": 0, "name": "text"}],
}

Entry = dict[str, Any]  # one image of `data_list`


class Entries(Protocol):
    """The entries of one part of a data set: a list, or what makes each when it is asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Entry]: ...


class Counts(NamedTuple):
    """What a list of entries holds; `valid` are the words that are not ignored."""

    images: int
    words: int
    valid: int


def make_entry(
    image: Path,
    folder: Path,
    polygons: Sequence[np.ndarray],
    texts: Sequence[str],
    ignored: Sequence[bool],
) -> Entry:
    """Describe one image and its words as MMOCR 1.x does.

    Args:
        image: The image's file.
        folder: Where the JSON will lie; `img_path` is relative to it.
        polygons: One (N, 2) array per word, in pixels of the image.
        texts: One transcription per word.
        ignored: Whether a word does not count, one per word.
    """
    if not len(polygons) == len(texts) == len(ignored):
        raise ValueError(f"{len(polygons)} polygons, {len(texts)} texts, {len(ignored)} ignored")
    height, width = read_shape(image)
    return {
        "img_path": relative_path(image, folder),
        "height": height,
        "width": width,
        "instances": [
            {
                "polygon": polygon.ravel().tolist(),
                "bbox": [*polygon.min(axis=0).tolist(), *polygon.max(axis=0).tolist()],
                "bbox_label": 0,
                "ignore": bool(ignore),
                "text": text,
            }
            for polygon, text, ignore in zip(polygons, texts, ignored)
        ],
    }


def relative_path(path: Path, folder: Path) -> str:
    """Give the way from `folder` to `path` with forward slashes.

    Both folders are resolved first, since `..` behind a symbolic link leaves the link's target. The
    file itself is not, for a link's name is the name that the annotation means.
    """
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def count_words(entries: Sequence[Entry]) -> Counts:
    """Count images, words and words that are not ignored."""
    ignored = [word["ignore"] for entry in entries for word in entry["instances"]]
    return Counts(len(entries), len(ignored), ignored.count(False))


def draw_indices(num_entries: int, fraction: float, seed: int) -> set[int]:
    """Draw `fraction` of the entries by their indices, at least one and not all."""
    num_drawn = round(fraction * num_entries)
    if not 0 < num_drawn < num_entries:
        raise UserError(
            f"--val-fraction {fraction} of {num_entries} images leaves one part empty, "
            "choose another fraction"
        )
    return set(random.Random(seed).sample(range(num_entries), num_drawn))


class AnnotationWriter:
    """Write an annotation file entry by entry, so that none but the current one is in memory.

    Attributes:
        counts: What has been written.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.counts = Counts(0, 0, 0)
        self._file = file
        self._write(f'{{"metainfo": {json.dumps(METAINFO)}, "data_list": [')

    def add(self, entry: Entry) -> None:
        """Write an entry."""
        separator = ", " if self.counts.images else ""
        written = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        if any("\ud800" <= character <= "\udfff" for character in written):
            # Half a character, as in file names that are not UTF-8; only escaped it can be written.
            written = json.dumps(entry, allow_nan=False)
        self._write(separator + written)
        self.counts = Counts(*map(sum, zip(self.counts, count_words([entry]))))

    def close(self) -> None:
        """Write what follows the entries."""
        self._write("]}")

    def _write(self, text: str) -> None:
        self._file.write(text.encode())


@contextmanager
def annotation_writer(path: Path) -> Iterator[AnnotationWriter]:
    """Open an annotation file for writing, which is there, whole, once the block is left.

    Raises:
        UserError: Another file is there; one that would be the same is no matter.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(path) as partial:
        with partial.open("wb") as file:
            writer = AnnotationWriter(file)
            yield writer
            writer.close()
        if path.exists() and not filecmp.cmp(path, partial, shallow=False):
            raise UserError(
                f"{path} is there already and would change: remove it, or choose another --out"
            )


def write_annotation(path: Path, entries: Iterable[Entry]) -> None:
    """Write an annotation file whole or not at all."""
    with annotation_writer(path) as writer:
        for entry in entries:
            writer.add(entry)
