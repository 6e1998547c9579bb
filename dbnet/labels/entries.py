"""Entries of annotation files in MMOCR 1.x's JSON: make, check, count, sample and write them."""

import filecmp
import json
import os
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from dbnet.errors import UserError
from dbnet.images import read_shape
from dbnet.remote.paths import is_url, shown
from dbnet.utils.files import replace_when_complete

METAINFO = {
    "dataset_type": "TextDetDataset",
    "task_name": "textdet",
    "category": [{"id": 0, "name": "text"}],
}

Entry = dict[str, Any]  # one image of `data_list`


@dataclass(frozen=True)
class Request:
    """What a user asks `dbnet prepare` for: where a set lies, where to write, how to read it."""

    # The folder of the downloads, each a zip or a folder, or of a user's labels and images.
    raw: Path
    out: Path  # the folder of the annotation files, below which zips are unpacked
    copy: bool = False  # whether folders are copied below `out` too, instead of being referenced
    in_place: bool = False  # whether archives are read where they lie, instead of being unpacked
    images: Path | None = None  # the folder of a user's images, None to look for it in `raw`
    labels: Path | None = None  # the folder of a user's labels, None to look for it in `raw`
    keep_difficult: bool = False  # whether what PPOCRLabel calls difficult counts as text
    # Which view of a photo with an EXIF orientation coordinates mean: "stored", "displayed", or
    # None if the labels do not tell.
    orientation: str | None = None
    keep: tuple[str, ...] = ()  # names of the classes that are texts; none for all of them
    ignore: tuple[str, ...] = ()  # names of the classes whose texts are ignored


class Entries(Protocol):
    """The entries of one part of a dataset: a list, or an iterable that makes them on demand."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Entry]: ...


class Instance(NamedTuple):
    """A labelled text: its polygon (N, 2) in pixels, transcription, and whether it is ignored.

    `label` is the name of its class, for formats that have some.
    """

    polygon: np.ndarray
    text: str
    ignored: bool
    label: str = ""


class Counts(NamedTuple):
    """Numbers of images, texts, and texts that are not ignored (`valid`)."""

    images: int
    words: int
    valid: int


def make_entry(image: Path, folder: Path, instances: Iterable[Instance]) -> Entry:
    """Describe an image and its texts as MMOCR 1.x does; `img_path` is relative to `folder`."""
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
                "ignore": bool(ignored),
                "text": text,
            }
            for polygon, text, ignored, _ in instances
        ],
    }


def relative_path(path: Path | str, folder: Path) -> str:
    """Return the path from `folder` to `path` with forward slashes; a URL stays as it is.

    Both folders are resolved first, since `..` behind a symbolic link leaves the link's target. The
    file itself is not: a link's name is the name that the annotation means.
    """
    if is_url(os.fspath(path)):
        return shown(os.fspath(path))
    path = Path(path)
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def sample_indices(num_entries: int, fraction: float, seed: int) -> set[int]:
    """Sample the indices of `fraction` of the entries, at least one and not all."""
    num_sampled = round(fraction * num_entries)
    if not 0 < num_sampled < num_entries:
        raise UserError(
            f"--val-fraction {fraction} of {num_entries} images leaves one part empty, "
            "choose another fraction"
        )
    return set(random.Random(seed).sample(range(num_entries), num_sampled))


@dataclass
class AnnotationWriter:
    """Write the entries of an annotation file one by one, with only one in memory."""

    file: BinaryIO
    counts: Counts = field(default=Counts(0, 0, 0))  # what was written
    has_pixels: bool = False  # whether some coordinate is not between 0 and 1

    @property
    def are_fractions(self) -> bool:
        """Whether there are texts, all of them between 0 and 1, as no pixels are."""
        return self.counts.words > 0 and not self.has_pixels

    def add(self, entry: Entry) -> None:
        """Write an entry."""
        content = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        if any("\ud800" <= character <= "\udfff" for character in content):
            # Half a character, as in file names that are not UTF-8; only escaped it can be written.
            content = json.dumps(entry, allow_nan=False)
        images, words, valid = self.counts
        self.file.write(f"{', ' if images else ''}{content}".encode())
        boxes = [word.get("bbox", (0, 2)) for word in entry["instances"]]
        self.has_pixels |= any(min(box) < 0 or max(box) > 1 for box in boxes)
        ignored = [word["ignore"] for word in entry["instances"]]
        self.counts = Counts(images + 1, words + len(ignored), valid + ignored.count(False))


@contextmanager
def annotation_writer(path: Path) -> Iterator[AnnotationWriter]:
    """Open an annotation file for writing; it appears, complete, when the block ends.

    A `UserError` if another file is there, with other content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_when_complete(path) as partial:
        with partial.open("wb") as file:
            file.write(f'{{"metainfo": {json.dumps(METAINFO)}, "data_list": ['.encode())
            yield AnnotationWriter(file)
            file.write(b"]}")
        if path.exists() and not filecmp.cmp(path, partial, shallow=False):
            raise UserError(
                f"{path} is there already and would change: remove it, or choose another --out"
            )


def write_annotation(path: Path, entries: Iterable[Entry]) -> None:
    """Write an annotation file atomically."""
    with annotation_writer(path) as writer:
        for entry in entries:
            writer.add(entry)
