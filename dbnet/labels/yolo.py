"""YOLO's text files: a class, then a box, a turned box's corners or a polygon, in fractions."""

import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import yaml

from dbnet.errors import UserError
from dbnet.geometry import rectangle
from dbnet.labels.entries import Instance
from dbnet.labels.faults import note_doubt
from dbnet.labels.json_node import read_limited
from dbnet.labels.text_lines import line_parser, to_polygon
from dbnet.labels.tool_format import Picture, ToolFormat, make_instance, name_of

NAMELESS = "no data.yaml names the classes; they are called by their numbers"
LINE = "a class and x, y, width, height or the x and y of at least three corners"
MAX_YAML = 1 << 20  # bytes


def _read(path: Path) -> Iterator[Picture]:
    names = _class_names(path.parent)
    if not names:
        note_doubt(path, NAMELESS)
    parse = line_parser(LINE, partial(_parse_line, names=names))
    yield Picture(name_of(path), parse(read_limited(path), str(path)))


def _parse_line(line: str, names: dict[str, str]) -> Instance:
    number, *fields = line.split()
    to_polygon(fields)  # refuses what is no number
    numbers = np.array([float(field) for field in fields]).reshape(-1, 2)
    if (np.abs(numbers - 0.5) > 1).any():
        raise ValueError("a number is no fraction of the image's width or height")
    if len(numbers) == 2:
        (x, y), (width, height) = numbers
        polygon = rectangle(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    elif len(numbers) == 1:
        raise ValueError("there are 2 numbers")
    else:
        polygon = numbers
    return make_instance(polygon, "", names.get(number, number))


@lru_cache(maxsize=16)
def _class_names(folder: Path) -> dict[str, str]:
    """Return the names of the classes from the nearest data.yaml above a folder of labels."""
    places = [parent / "data.yaml" for parent in (folder, *folder.parents)[:4]]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return {}
    try:
        names = yaml.safe_load(read_limited(path, MAX_YAML))["names"]
        listed = names.items() if isinstance(names, dict) else enumerate(names)
        return {str(number): str(name) for number, name in listed}
    except (yaml.YAMLError, TypeError, KeyError, RecursionError) as error:
        problem = re.sub(r"\s+", " ", str(error))
        raise UserError(f"{path}: no `names:` of the classes ({problem}); fix it") from None


YOLO = ToolFormat(
    "Prepare your data in YOLO's text files, one for each image: boxes, turned boxes or polygons.",
    suffixes=[".txt"],
    mark=r"\A\s*(\Z|\d+([ \t]+-?[\d.]+(e-?\d+)?){4,}\s*?([\r\n]|\Z))",
    read=_read,
    by_stem=True,
    view="displayed",
    fractions=True,
)
