"""COCO's run-length masks: decode them, and find their outline."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from dbnet.images import MAX_PIXELS
from dbnet.labels.json_node import JsonNode

MAX_DIGITS = 7  # of a run in text, 5 bits each
TOLERANCE = 1.0  # pixels by which the simplified outline may differ


def read_mask(node: JsonNode) -> np.ndarray:
    """Decode a mask `{"size": [height, width], "counts": ...}` to (H, W) uint8, 1 inside.

    `counts` are the lengths of runs of 0 and 1 in turn, down the columns: a list, or a text as
    pycocotools writes it.

    Raises:
        UserError: It is none, or not of the size that it states.
    """
    height, width = (int(side.number()) for side in _pair(node.field("size")))
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        node.field("size").fail(f"a mask of {width} x {height} pixels; export it again")
    counts = node.field("counts")
    lengths = list(_unpack(counts) if isinstance(counts.value, str) else _listed(counts))
    if any(length < 0 for length in lengths) or sum(lengths) != height * width:
        counts.fail(f"its runs do not fill {width} x {height} pixels; export it again")
    values = np.arange(len(lengths)) % 2
    return np.repeat(values.astype(np.uint8), lengths).reshape(width, height).T


def outline(mask: np.ndarray) -> np.ndarray | None:
    """Return the largest outer contour (N, 2) of a mask (H, W), simplified; None without area.

    It passes through the centres of the outermost pixels, so that filling it gives the mask again.
    """
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) == 0:
        return None
    simple = cv2.approxPolyDP(largest, TOLERANCE, closed=True)
    kept = simple if len(simple) > 2 else largest
    return kept.reshape(-1, 2).astype(np.float64)


def _pair(node: JsonNode) -> list[JsonNode]:
    items = list(node.items())
    if len(items) != 2:
        node.fail(f"{node.value} is not [height, width]; export it again")
    return items


def _listed(counts: JsonNode) -> Iterator[int]:
    for item in counts.items():
        if type(item.value) is not int:
            item.fail(f"expected a number of pixels, found {item.value!r}")
        yield item.value


def _unpack(counts: JsonNode) -> Iterator[int]:
    """Decode the text of pycocotools: from the fourth on, differences to the run before last."""
    last: Sequence[int] = (0, 0)
    number = digits = 0
    index = 0
    for character in counts.value:
        code = ord(character) - 48
        if not 0 <= code < 64 or digits == MAX_DIGITS:
            counts.fail("no run lengths in pycocotools' text; export it again")
        number |= (code & 0x1F) << 5 * digits
        digits += 1
        if code & 0x20:
            continue
        if code & 0x10:  # negative
            number -= 1 << 5 * digits
        if index > 2:
            number += last[0]
        yield number
        last, number, digits, index = (last[1], number), 0, 0, index + 1
    if digits:
        counts.fail("the text of run lengths is cut off; export it again")
