"""A folder of images and a folder of text files, in ICDAR's manner."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dbnet.geometry import rectangle
from dbnet.labels.entries import Entry, Instance, make_entry
from dbnet.labels.faults import readable
from dbnet.labels.files import list_files, pair_files
from dbnet.labels.parts import find_part_folders, open_raw
from dbnet.labels.request import Request
from dbnet.labels.text_lines import UNREADABLE, line_parser, split_lines, to_polygon

PREFIX = "gt_"
LINE = (
    "x1,y1,x2,y2,x3,y3,x4,y4,... or left,top,right,bottom and, if there is one, the transcription"
)
# Not what float() takes, which reads the words "nan" and "Infinity" and the text "1_000" too.
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class LineStyle(NamedTuple):
    """What the lines of a folder have in common.

    transcribed: Some line has a transcription: an odd number of numbers, or what is no number.
    boxes: Some line has four coordinates.
    polygons: Some line has ten coordinates or more before what is no number.
    """

    transcribed: bool
    boxes: bool
    polygons: bool


def prepare_icdar_folder(request: Request) -> dict[str, list[Entry]]:
    """Prepare your data in ICDAR's manner: img_7.jpg with gt_img_7.txt or img_7.txt.

    The folder, or a folder for each part in it, has images in `images` or in itself, and texts in
    `gt` or next to the images.
    """
    folders = find_part_folders(open_raw(request))
    return {part: _read_part(folder, request) for part, folder in folders.items()}


def line_style(lines: Iterable[str]) -> LineStyle:
    """Describe the lines of a folder."""
    fields = [line.split(",") for line in lines if line.strip()]
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
    fields = line.split(",")
    count = _count_coordinates(fields, style)
    if count < 4:
        raise ValueError(f"there are {_count_numbers(fields)} numbers before the transcription")
    text = ",".join(fields[count:])
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


def _read_part(folder: Path, request: Request) -> list[Entry]:
    images = folder / "images" if (folder / "images").is_dir() else folder
    texts = folder / "gt" if (folder / "gt").is_dir() else images
    prefix = PREFIX if list_files(texts, [".txt"], PREFIX) else ""
    pairs = pair_files([images], texts, prefix)
    contents = [text.read_bytes() for _, text in pairs]
    style = line_style(
        line.decode("utf-8", errors="replace")
        for content in contents
        for line in split_lines(content)
    )
    parse = line_parser(LINE, lambda line: parse_line(line, style))

    def read(pair: tuple[tuple[Path, Path], bytes]) -> Entry:
        (image, text), content = pair
        return make_entry(image, request.out, parse(content, str(text)))

    return list(readable(read, zip(pairs, contents)))
