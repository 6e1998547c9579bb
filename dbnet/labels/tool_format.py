"""Formats of tools whose label files, of one image or of many, lie anywhere below a folder."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Entry, Instance, Request
from dbnet.labels.faults import note_doubt, note_fault, watched
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.json_node import JsonNode
from dbnet.labels.parts import PART_WORDS, image_folder, is_output, list_visible, open_raw, part_of
from dbnet.labels.text_lines import UNREADABLE
from dbnet.labels.user_entries import make_user_entry

MARK_WITHIN = 1 << 16  # bytes of a file, in which its format's mark must be
ONE_PAGE = "{} pages; a file for each page is needed"
OTHERS = "files without the mark of this format are left alone"
FINER = "words are read and lines left out, or the reverse with --keep line"
LEVELS = ("word", "line")  # classes of texts, of which one alone is read if nobody says which
TEXT_KEYS = ("text", "transcription", "utf8_string", "ocr")
IGNORE_KEYS = ("ignore", "difficult", "illegible")
CLASS_KEYS = ("label", "class", "type", "name")


class Picture(NamedTuple):
    """What a label file says of an image."""

    name: JsonNode  # that of its file; or of the label file, for an image of the same name
    instances: Sequence[Instance]
    size: JsonNode | None = None  # an object with `height` and `width`


@dataclass(frozen=True)
class ToolFormat:
    """A preparer of the labels of a tool; see `make_user_entry` for `view` and `fractions`."""

    about: str  # what `dbnet prepare --list` prints
    suffixes: Sequence[str]  # of label files, in lower case
    mark: str  # an expression that is found near the beginning of each label file, and of no others
    read: Callable[[Path], Iterable[Picture]]  # leaves out what is noted as a fault
    by_stem: bool = False  # whether images are named as their label files are
    view: str | None = None
    fractions: bool = False

    def __call__(self, request: Request) -> dict[str, list[Entry]]:
        """Read the entries of every part."""
        raw = request.labels or open_raw(request)
        found = list_visible(raw, self.suffixes)
        files = [path for path in found if not is_output(path, request.out) and self.fits(path)]
        if not files:
            raise UserError(
                f"{raw} has no label file of this format (*{', *'.join(self.suffixes)} with "
                f"{self.mark}); put it there, or choose another format"
            )
        for path in sorted({*found} - {*files}):
            note_doubt(path, OTHERS)
        parts: dict[str, list[Path]] = {}
        for path, part in zip(files, _parts_of(files, raw)):
            parts.setdefault(part, []).append(path)
        return {p: self._read_part(parts[p], p, raw, request) for p in PART_WORDS if p in parts}

    def fits(self, path: Path) -> bool:
        """Return whether a file has the mark of the format."""
        return re.search(self.mark.encode(), read_start(path)) is not None

    def _read_part(self, files: list[Path], part: str, raw: Path, request: Request) -> list[Entry]:
        finder = ImageFinder(image_folder(raw, request), part, request)
        entries: list[Entry] = []
        for path in watched(files):
            try:
                for picture in self.read(path):
                    self._add(picture, path, finder, entries)
            except UserError as error:
                note_fault(error)
            except RecursionError:
                note_fault(UserError(f"{path}: too many values in each other; export it again"))
        return entries

    def _add(self, picture: Picture, path: Path, finder: ImageFinder, entries: list[Entry]) -> None:
        """Add the entry of a picture, or note why there is none."""
        name, instances, size = picture
        try:
            look_up = finder.partner if self.by_stem else finder.look_up
            image = finder.claim(look_up(name, path), name)
            words = instances if finder.request.keep else one_level(instances, path)
            settings = (finder.request, words, size)
            entry = make_user_entry(image, *settings, view=self.view, fractions=self.fractions)
            entries.append(entry)
        except UserError as error:
            note_fault(error)


def read_start(path: Path) -> bytes:
    """Read the beginning of a file, of UTF-16 as if it were ASCII."""
    with path.open("rb") as file:
        return file.read(MARK_WITHIN).replace(b"\0", b"")


def one_level(instances: Sequence[Instance], path: Path) -> Sequence[Instance]:
    """Leave out the lines of a page whose words are there too."""
    levels = {word.label for word in instances}
    if not levels.issuperset(LEVELS):
        return instances
    note_doubt(path, FINER)
    return [word for word in instances if word.label != LEVELS[1]]


def make_instance(
    polygon: np.ndarray, text: str = "", label: str = "", marked: bool = False
) -> Instance:
    """Make a text, ignored if it is marked so or `###` is its transcription or class."""
    return Instance(polygon, text, marked or UNREADABLE in (text, label), label)


def first_text(node: JsonNode | None, keys: Sequence[str]) -> str:
    """Return the first text that is there by one of the keys; "" if none is."""
    values = node.value if node and isinstance(node.value, dict) else {}
    return next((v for key in keys if isinstance(v := values.get(key), str) and v), "")


def is_marked(node: JsonNode | None) -> bool:
    """Return whether an object of free attributes says that a text is to be ignored."""
    values = node.value if node and isinstance(node.value, dict) else {}
    return any(str(values.get(key)).lower() in ("1", "true", "yes") for key in IGNORE_KEYS)


def stated_size(node: JsonNode, height: str = "height", width: str = "width") -> JsonNode:
    """Return the size that an object states as one with `height` and `width`."""
    sides = [side.number() if (side := node.optional(key)) else None for key in (height, width)]
    return node.with_value({"height": sides[0], "width": sides[1]})


def name_of(path: Path) -> JsonNode:
    """Return the name of a label file as that of its image."""
    return JsonNode(path.name, str(path))


def _parts_of(files: Sequence[Path], raw: Path) -> list[str]:
    """Return the part of each file: by its folders, else by the names if all tell."""

    def by_folder(path: Path) -> str:
        names = [name.lower() for name in path.relative_to(raw).parts[:-1]]
        return next((p for p, words in PART_WORDS.items() if {*words} & {*names}), "")

    named = [part_of(path.stem) for path in files]
    return [by_folder(f) or (stem if all(named) else "train") for f, stem in zip(files, named)]
