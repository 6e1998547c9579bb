"""Formats in lines of text: ICDAR's manner, whose numbers are pixels, and YOLO's fractions."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from dbnet.errors import UserError
from dbnet.geometry import rectangle
from dbnet.labels.entries import Entry, Instance, Request
from dbnet.labels.faults import note_doubt, note_fault, readable
from dbnet.labels.files import list_files, pair_files
from dbnet.labels.json_node import read_limited
from dbnet.labels.parts import Layout, find_layouts
from dbnet.labels.text_lines import UNREADABLE, Parse, line_parser, split_lines, to_polygon, to_utf8
from dbnet.labels.tool_format import Picture, ToolFormat, make_instance, name_of
from dbnet.labels.user_entries import make_user_entry

PREFIX = "gt_"
LINE = (
    "x1,y1,x2,y2,x3,y3,x4,y4,... or left,top,right,bottom and, if there is one, the transcription"
)
# Not what float() takes, which reads the words "nan" and "Infinity" and the text "1_000" too.
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
NUMBER = re.compile(rf"\s*{_NUMBER}\s*", re.ASCII)
SPACED = re.compile(
    rf"\s*(?P<numbers>{_NUMBER}(?:\s+{_NUMBER}){{3,}})(?:\s+(?P<text>[^\s\d+.-].*))?\s*", re.ASCII
)


def prepare_icdar_folder(request: Request) -> dict[str, list[Entry]]:
    """Prepare your data in ICDAR's manner: img_7.jpg with gt_img_7.txt or img_7.txt.

    Where images and texts lie is found by what the folders hold, see `find_layouts`.
    """
    layouts = find_layouts(request, [".txt"])
    return {part: _read_part(part, layout, request) for part, layout in layouts.items()}


def _read_part(part: str, layout: Layout, request: Request) -> list[Entry]:
    prefix = PREFIX if list_files(layout.labels, [".txt"], PREFIX) else ""
    pairs = pair_files([layout.images], layout.labels, prefix)
    pairs = _listed(pairs, layout.images.parent / f"{part}_list.txt")

    def load(pair: tuple[Path, Path]) -> tuple[Path, bytes, str]:
        image, text = pair
        return image, to_utf8(text.read_bytes(), str(text)), str(text)

    files = list(readable(load, pairs))
    parse = parser_of((content, source) for _, content, source in files)

    def read(file: tuple[Path, bytes, str]) -> Entry:
        image, content, source = file
        return make_user_entry(image, request, parse(content, source))

    return list(readable(read, files))


def _listed(pairs: list[tuple[Path, Path]], listing: Path) -> list[tuple[Path, Path]]:
    """Keep the pairs whose images MhLiao/DB's `train_list.txt` names, if there is one."""
    if not listing.is_file():
        return pairs
    lines = split_lines(listing.read_bytes(), str(listing))
    names = {Path(line.decode("utf-8", errors="replace").strip()).name for line in lines}
    for name in sorted(names - {image.name for image, _ in pairs} - {""}):
        note_fault(UserError(f"{listing}: {name} is not there with its text; complete the pair"))
    return [pair for pair in pairs if pair[0].name in names]


NAMELESS = "no data.yaml names the classes; they are called by their numbers"
YOLO_LINE = "a class and x, y, width, height or the x and y of at least three corners"
MAX_YAML = 1 << 20  # bytes


class LineStyle(NamedTuple):
    """What the lines of a folder have in common."""

    # Some line has a transcription: an odd number of numbers, or what is no number.
    transcribed: bool
    boxes: bool  # some line has four coordinates
    polygons: bool  # some line has ten coordinates or more before what is no number


def parser_of(files: Iterable[tuple[bytes, str]]) -> Parse:
    """Make the parser of files, pairs of content and name, of one style; YOLO's are refused."""
    lines = [
        line.decode("utf-8", errors="replace")
        for content, source in files
        for line in split_lines(content, source)
        if line.strip()
    ]
    if lines and all(map(is_yolo, lines)):
        raise UserError(
            f"{lines[0][:40]!r} and all other lines are a class and fractions of the image, as "
            "YOLO has them, not pixels; export them as COCO or ICDAR"
        )
    style = line_style(lines)
    return line_parser(LINE, lambda line: parse_line(line, style))


def is_yolo(line: str) -> bool:
    """Return whether a line is a class and at least four numbers between 0 and 1."""
    fields = re.split(r"[\s,]+", line.strip(" \t,"))
    if len(fields) < 5 or not fields[0].isdecimal() or not all(map(NUMBER.fullmatch, fields)):
        return False
    return all(0 <= float(field) <= 1 for field in fields[1:])


def split_fields(line: str) -> list[str]:
    """Split a line at its commas; at its spaces if they stand between the numbers.

    >>> split_fields('10 20 110 60 "to be, or"')
    ['10', '20', '110', '60', '"to be, or"']
    """
    spaced = SPACED.fullmatch(line)
    if spaced is None:
        return line.split(",")
    return [*spaced["numbers"].split(), *filter(None, [spaced["text"]])]


def unquote(text: str) -> str:
    r"""Take a transcription out of the quotes around it, in which \" and \\ are escaped."""
    inner = text.strip()
    if len(inner) < 2 or not inner[0] == inner[-1] == '"':
        return text
    return re.sub(r'\\([\\"])', r"\1", inner[1:-1])


def line_style(lines: Iterable[str]) -> LineStyle:
    """Describe the lines of a folder."""
    fields = [split_fields(line) for line in lines if line.strip()]
    counts = [_count_numbers(line) for line in fields]
    return LineStyle(
        transcribed=any(n < len(line) or n % 2 for n, line in zip(counts, fields)),
        boxes=any(n in (4, 5) for n in counts),
        polygons=any(n >= 10 and n < len(line) for n, line in zip(counts, fields)),
    )


def parse_line(line: str, style: LineStyle) -> Instance:
    """Parse a line.

    All numbers before the transcription are coordinates, 4 of a box or at least 6 of a polygon. For
    a transcription that begins with numbers:
    - Of an odd number of numbers the last belongs to the transcription.
    - Where the folder has transcriptions, but none of them follows 10 numbers or more, the texts
      are quads: a transcription such as 12,50 begins after 8 numbers.
    - Where it has transcriptions and boxes, 6 numbers are a box and the transcription's first two.
    """
    fields = split_fields(line)
    count = _count_coordinates(fields, style)
    if count < 4:
        raise ValueError(f"there are {_count_numbers(fields)} numbers before the transcription")
    text = unquote(",".join(fields[count:]))
    polygon = to_polygon(fields[:count])
    if count == 4:
        (left, top), (right, bottom) = polygon.tolist()
        if left > right or top > bottom:
            raise ValueError(f"{','.join(fields[:4])} is not left,top,right,bottom")
        polygon = rectangle(left, top, right, bottom)
    return Instance(polygon, text, text.strip() == UNREADABLE)


def _count_coordinates(fields: Sequence[str], style: LineStyle) -> int:
    numbers = _count_numbers(fields)
    even = numbers - numbers % 2
    if not style.transcribed:
        return even
    if style.boxes and even == 6:
        return 4
    return even if style.polygons else min(even, 8)


def _count_numbers(fields: Sequence[str]) -> int:
    """Count the leading fields that are numbers."""
    others = (index for index, field in enumerate(fields) if not NUMBER.fullmatch(field))
    return next(others, len(fields))


def _read_yolo(path: Path) -> Iterator[Picture]:
    names = _class_names(path.parent)
    if not names:
        note_doubt(path, NAMELESS)
    parse = line_parser(YOLO_LINE, partial(_parse_yolo_line, names=names))
    yield Picture(name_of(path), parse(read_limited(path), str(path)))


def _parse_yolo_line(line: str, names: dict[str, str]) -> Instance:
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
    read=_read_yolo,
    by_stem=True,
    view="displayed",
    fractions=True,
)
