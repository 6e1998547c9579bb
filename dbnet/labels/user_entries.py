"""Entries of users' images, whose labels may state a size or mean the picture as displayed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dbnet.errors import UserError
from dbnet.images import read_orientation, read_shape
from dbnet.labels.entries import Entry, Instance, Request, make_entry
from dbnet.labels.faults import note_classes, note_doubt
from dbnet.labels.json_node import JsonNode

TURN = "pass --orientation displayed, or store it upright by `magick mogrify -auto-orient FILE`"
UPRIGHT = (
    "the labels are of {} as its EXIF orientation shows it, but training reads the pixels as "
    f"stored: {TURN}"
)
UNCLEAR = (
    "photos have an EXIF orientation, and their labels do not say whether coordinates mean the "
    "pixels as stored, as is assumed, or as displayed; pass --orientation stored or displayed"
)
SIZE_KEYS = ("height", "width")
NOTHING = (0, -1)  # what some tools write for a size that they do not know
TOLERANCE = 1.0  # pixels by which a text may reach beyond its picture


def make_user_entry(
    image: Path,
    request: Request,
    instances: Sequence[Instance],
    labels: JsonNode | None = None,
    keys: tuple[str, str] = SIZE_KEYS,
    view: str | None = None,
    fractions: bool = False,
) -> Entry:
    """Make the entry of an image, with coordinates of the pixels as stored.

    `labels` may state height and width by `keys`. `view` is "displayed" if the format's coordinates
    mean what a viewer displays; with `fractions` they are shares of the picture's width and height.
    A `UserError` if the stated size differs from the file's, or the labels are of the displayed
    picture and the user has not asked to turn them.
    """
    shape, orientation = read_shape(image), read_orientation(image)
    stated, instances = _stated_size(labels, keys), choose(instances, request)
    if orientation == 1:
        view = "stored"
    else:
        view = _view_of(shape, orientation, stated) or request.orientation or view
    labelled = shape[::-1] if view == "displayed" and orientation >= 5 else shape
    if fractions:
        instances = [word._replace(polygon=word.polygon * labelled[::-1]) for word in instances]
    if view == "displayed":
        if request.orientation != "displayed":
            raise UserError(f"{labels.place if labels else image}: {UPRIGHT.format(image)}")
        turned = [to_stored(word.polygon, orientation, shape) for word in instances]
        instances = [word._replace(polygon=p) for word, p in zip(instances, turned)]
    elif view is None:
        _note_unclear(image, shape, orientation, instances)
    if labels is not None:
        _check_size(labels, keys, stated, labelled, image)
    return make_entry(image, request.out, instances)


def choose(instances: Sequence[Instance], request: Request) -> list[Instance]:
    """Return the texts of the classes to keep; those of the classes to ignore are ignored."""
    note_classes(word.label for word in instances)
    wanted = {*request.keep, *request.ignore} if request.keep else None
    return [
        word._replace(ignored=True) if word.label in request.ignore else word
        for word in instances
        if wanted is None or word.label in wanted
    ]


def to_stored(polygon: np.ndarray, orientation: int, shape: tuple[int, int]) -> np.ndarray:
    """Map a polygon (N, 2) in pixels from the displayed picture to the stored one, of (H, W)."""
    height, width = shape
    stored = polygon[:, ::-1].copy() if orientation >= 5 else polygon.copy()
    if orientation in (2, 3, 7, 8):
        stored[:, 0] = width - 1 - stored[:, 0]
    if orientation in (3, 4, 6, 7):
        stored[:, 1] = height - 1 - stored[:, 1]
    return stored


def _stated_size(
    labels: JsonNode | None, keys: tuple[str, str]
) -> tuple[object | None, object | None]:
    """Return (height, width) as stated, each None if it is not."""
    nodes = [labels.optional(key) if labels else None for key in keys]
    height, width = (n.value if n and n.value not in NOTHING else None for n in nodes)
    return height, width


def _view_of(shape: tuple[int, int], orientation: int, stated: tuple) -> str | None:
    """Return the view whose size is stated, where the two views have different ones."""
    if orientation < 5 or shape[0] == shape[1]:
        return None
    return {shape: "stored", shape[::-1]: "displayed"}.get(stated)


def _note_unclear(
    image: Path, shape: tuple[int, int], orientation: int, instances: Sequence[Instance]
) -> None:
    """Note that nobody knows the view, unless texts reach beyond the stored one alone."""
    size = np.array(shape[::-1])
    beyond = [(w.polygon > size - 1 + TOLERANCE).any(axis=0) for w in instances]
    swapped = [(w.polygon > size[::-1] - 1 + TOLERANCE).any() for w in instances]
    if orientation >= 5 and np.any(beyond) and not any(swapped):
        raise UserError(
            f"{image}: texts reach beyond its {size[0]} x {size[1]} pixels as stored; its EXIF "
            f"orientation {orientation} is the likely cause, they are of the displayed picture: "
            f"{TURN}"
        )
    note_doubt(image, UNCLEAR)


def _check_size(
    labels: JsonNode, keys: tuple[str, str], stated: tuple, shape: tuple[int, int], image: Path
) -> None:
    for key, value, side in zip(keys, stated, shape):
        if value not in (None, side):
            labels.field(key).fail(
                f"{value}, but {image} is {shape[1]} x {shape[0]} pixels; the labels are of "
                "another image, or it was resized: put the right file there"
            )
