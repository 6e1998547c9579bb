"""One labelled text, and the entry of an image with its texts, checked against the image's file."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dbnet.images import probe
from dbnet.labels.annotation import Entry, make_entry
from dbnet.labels.json_node import JsonNode

UNREADABLE = "###"  # the transcription of a text that does not count
UPRIGHT = "magick mogrify -auto-orient"


class Instance(NamedTuple):
    """A labelled text: its polygon (N, 2) in pixels, transcription, and whether it is ignored."""

    polygon: np.ndarray
    text: str
    ignored: bool


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Give the corners of an axis-parallel rectangle, (4, 2), clockwise from the top left."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def entry_of(image: Path, out: Path, instances: Sequence[Instance]) -> Entry:
    """Make the entry of an image and its texts; `out` is where the annotation file will lie."""
    polygons, texts, ignored = zip(*instances) if instances else ((), (), ())
    return make_entry(image, out, polygons, texts, ignored)


def check_size(entry: Entry, image: Path, height: JsonNode | None, width: JsonNode | None) -> None:
    """Compare the size on which the labels were made with that of the image's file.

    Args:
        entry: The image's entry.
        image: The image's file.
        height: What the labels state; None, 0 and less (as some tools write) state nothing.
        width: As `height`.

    Raises:
        UserError: They differ.
    """
    size = {"height": entry["height"], "width": entry["width"]}
    values = (height and height.value, width and width.value)
    for node, side in ((height, size["height"]), (width, size["width"])):
        if node is None or node.value in (0, -1, side):
            continue
        if values == (size["width"], size["height"]) and is_turned(image):
            node.fail(turned(image))
        node.fail(
            f"{node.value}, but {image} is {size['width']} x {size['height']} pixels; the labels "
            "are of another image, or it was resized: put the right file there"
        )


def is_turned(image: Path) -> bool:
    """Tell whether a file's EXIF orientation shows its pixels turned or mirrored."""
    return probe(image).orientation != 1


def turned(image: Path) -> str:
    """Say that the labels are of the displayed image, whereas training reads the stored one."""
    return (
        f"the labels are of {image} as its EXIF orientation shows it, but training reads the "
        f"pixels as stored: turn them, for example by `{UPRIGHT} FILE`"
    )
