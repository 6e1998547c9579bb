"""Label Studio's JSON and JSON-MIN: tasks whose regions have a shape, a class and a text."""

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dbnet.geometry import rectangle
from dbnet.images import MAX_PIXELS, SUFFIXES
from dbnet.labels.entries import Instance
from dbnet.labels.faults import note_doubt, readable
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.shapes import no_outline, outline
from dbnet.labels.tool_format import Picture, ToolFormat, make_instance, stated_size

UNLABELLED = "tasks that nobody has annotated are left out"
UNCORRECTED = "predictions that nobody has corrected are read as labels"


def _read(path: Path) -> Iterator[Picture]:
    def read_task(task: JsonNode) -> Picture | None:
        data = task.optional("data") or task
        results = _results(task)
        if results is None:
            note_doubt(task.place, UNLABELLED)
            return None
        regions: dict[str, list[JsonNode]] = {}
        for number, result in enumerate(results):
            key = result.optional("id")
            regions.setdefault(str(key.value) if key else f"#{number}", []).append(result)
        found = readable(_read_region, regions.values())
        shape = next(filter(_shape_of, results), None)
        size = stated_size(shape, "original_height", "original_width") if shape else None
        return Picture(_image_name(data), [text for text in found if text], size)

    found = readable(read_task, read_json(path).items())
    return (picture for picture in found if picture)


def _results(task: JsonNode) -> list[JsonNode] | None:
    """Return what was drawn on a task; None if it was not annotated."""
    if task.optional("data") is None:  # JSON-MIN, of annotated tasks alone: lists by their names
        lists = [key for key, value in task.value.items() if isinstance(value, list)]
        items = [item for key in lists for item in task.items_of(key)]
        # Its value and what is said of it are one.
        regions = [item for item in items if isinstance(item.value, dict)]
        return [item.with_value({**item.value, "value": item.value}) for item in regions]
    for key, doubt in (("annotations", ""), ("completions", ""), ("predictions", UNCORRECTED)):
        done = [a for a in task.items_of(key) if not a.flag_of("was_cancelled")]
        if done:
            if doubt:
                note_doubt(task.place, doubt)
            return list(done[-1].field("result").items())
    return None


def _image_name(data: JsonNode) -> JsonNode:
    """Return the value that names the image, whatever its key."""
    texts = [key for key in data.names() if isinstance(data.value[key], str)]
    images = [key for key in texts if PurePosixPath(data.value[key]).suffix.lower() in SUFFIXES]
    return data.field([*images, *texts, "image"][0])


def _read_region(results: list[JsonNode]) -> Instance | None:
    """Join the results of a region; None for what is said of the whole image."""
    shapes = [result for result in results if _shape_of(result)]
    if not shapes:
        return None
    values: dict[str, Any] = {}
    for result in results:
        values.update(result.field("value").value)
    names = [v for key, v in values.items() if key.endswith("labels") and isinstance(v, list)]
    text = values.get("text", values.get("transcription", ""))
    label = next((str(name) for found in names for name in found), "")
    texts = text if isinstance(text, list) else [text]
    return make_instance(_polygon(shapes[0]), "\n".join(map(str, texts)), label)


def _shape_of(result: JsonNode) -> str:
    """Return the kind of a result's shape; "" if it has none."""
    value = result.field("value").value
    if not isinstance(value, dict):
        result.field("value").fail("expected an object; export it again")
    if "points" in value:
        return "polygon"
    if "rle" in value:
        return "brush"
    if "radiusX" in value or "vertices" in value:
        return "ellipse" if "radiusX" in value else "vector"
    if "x" in value:
        return "rectangle" if value.get("height") else "keypoint"
    return ""


def _polygon(result: JsonNode) -> np.ndarray:
    """Return the polygon of a result in pixels of the picture as it was displayed."""
    kind, value = _shape_of(result), result.field("value")
    size = np.array([result.field(f"original_{side}").number() for side in ("width", "height")])
    rotation = result.optional("image_rotation")
    if rotation and rotation.value:
        rotation.fail("the picture was turned in the tool; turn it back, or store it upright")
    if kind == "polygon":
        return value.field("points").points() / 100 * size
    if kind == "brush":
        return _brush_outline(value.field("rle"), size.astype(int).tolist())
    if kind != "rectangle":
        no_outline(result, kind)
    left, top, width, height = (value.field(key).number() for key in ("x", "y", "width", "height"))
    corner = np.array([left, top]) / 100 * size
    theta = math.radians(value.number_of("rotation"))
    cos, sin = math.cos(theta), math.sin(theta)  # clockwise about the top left corner
    box = rectangle(0, 0, width / 100 * size[0], height / 100 * size[1])
    return box @ np.array([[cos, sin], [-sin, cos]]) + corner


def _brush_outline(rle: JsonNode, size: list[int]) -> np.ndarray:
    width, height = size
    if not 0 < width * height <= MAX_PIXELS:
        rle.fail(f"a mask of {width} x {height} pixels; export it again")
    try:
        values = decode_brush(bytes(rle.value), 4 * width * height)
    except (TypeError, ValueError, IndexError):
        rle.fail(f"no mask of {width} x {height} pixels; export it again")
    mask = (values.reshape(height, width, 4)[..., 3] > 0).astype(np.uint8)
    return outline(mask, rle, "this region")


def decode_brush(data: bytes, expected: int) -> np.ndarray:
    """Decode the run lengths of `@thi.ng/rle-pack`, in which brush masks are: RGBA, (N,) uint8.

    A header of bits: the number of values (32), bits of a value less 1 (5) and of four kinds of run
    lengths less 1 (4 each). Then runs: whether all values are the same (1), the kind of the length
    (2), the length less 1, and one value or as many. A `ValueError` if it has another number of
    values, an `IndexError` if it is cut off.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    weights = 1 << np.arange(63, -1, -1, dtype=np.uint64)
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        if place > len(bits):
            raise IndexError(place)
        return int(bits[place - count : place] @ weights[64 - count :])

    number, word = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    if number != expected or word != 8:
        raise ValueError(number)
    out = np.zeros(number, np.uint8)
    start = 0
    while start < number:
        same, end = take(1), start + 1 + take(lengths[take(2)])
        out[start:end] = take(8) if same else [take(8) for _ in range(end - start)]
        start = end
    return out


LABEL_STUDIO = ToolFormat(
    "Prepare your data of Label Studio: exported as JSON or JSON-MIN.",
    suffixes=[".json"],
    mark=r'"(from_name|to_name|original_width|rectanglelabels|annotation_id|lead_time)"',
    read=_read,
    view="displayed",
)
