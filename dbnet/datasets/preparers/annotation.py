"""The annotation JSON of MMOCR 1.x: make entries, count them, split them and write them."""

import json
import os
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from dbnet.errors import UserError

METAINFO = {
    "dataset_type": "TextDetDataset",
    "task_name": "textdet",
    "category": [{"id": 0, "name": "text"}],
}

Entry = dict[str, Any]  # one image of `data_list`


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
    height, width = image_size(image)
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


def image_size(image: Path) -> tuple[int, int]:
    """Read (height, width) in pixels from the image's header, without its EXIF orientation."""
    try:
        with Image.open(image) as header:
            return header.height, header.width
    except OSError as error:
        raise UserError(f"{image}: not a readable image, replace this file") from error


def relative_path(path: Path, folder: Path) -> str:
    """Give the way from `folder` to `path` with forward slashes.

    Both folders are resolved first, since `..` behind a symbolic link leaves the link's target. The
    file itself is not, for a link's name is the name that the annotation means.
    """
    return Path(os.path.relpath(path.parent.resolve() / path.name, folder.resolve())).as_posix()


def natural_key(name: str) -> list[str | int]:
    """Make a sort key that puts `img_2` before `img_10`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def count_words(entries: Sequence[Entry]) -> Counts:
    """Count images, words and words that are not ignored."""
    ignored = [word["ignore"] for entry in entries for word in entry["instances"]]
    return Counts(len(entries), len(ignored), ignored.count(False))


def split_entries(
    entries: Sequence[Entry], fraction: float, seed: int
) -> tuple[list[Entry], list[Entry]]:
    """Draw `fraction` of the entries; give the others and the drawn ones, each in order."""
    num_drawn = round(fraction * len(entries))
    if not 0 < num_drawn < len(entries):
        raise UserError(
            f"--val-fraction {fraction} of {len(entries)} images leaves one part empty, "
            "choose another fraction"
        )
    drawn = set(random.Random(seed).sample(range(len(entries)), num_drawn))
    others = [entry for index, entry in enumerate(entries) if index not in drawn]
    return others, [entries[index] for index in sorted(drawn)]


def write_annotation(path: Path, entries: Sequence[Entry]) -> None:
    """Write the JSON under another name and rename it, so that `path` is never half written."""
    document = {"metainfo": METAINFO, "data_list": list(entries)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(json.dumps(document, ensure_ascii=False, allow_nan=False).encode())
    partial.replace(path)
