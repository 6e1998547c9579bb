"""Find the images that label files name."""

import os
import re
import unicodedata
from collections.abc import Sequence
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from dbnet.images import SUFFIXES
from dbnet.labels.entries import Request
from dbnet.labels.faults import note_doubt
from dbnet.labels.json_node import JsonNode
from dbnet.labels.parts import PART_WORDS, list_visible
from dbnet.remote.paths import shown

MOVED = "images are found by their names, in other folders than the labels give"
RESPELT = "images are found whose names differ from the labels' in case or Unicode form"
RENAMED = "images are found by the names of their label files, since imagePath names none"


class ImageFinder:
    """Find the images of one part, although they were moved; each may be named once.

    A name is looked for
    1. relative to the label file's folder, then to the part's;
    2. as the end of the path of one file below the part's folder, for the prefix such as `imgs/`
       that a config gave; among several, the one in a folder named for the part wins, such as
       `images/train/1.jpg`;
    3. as in 1, without its first folder, without the first two and so on, for the folder's own name
       that PPOCRLabel puts in front, and for the folders of another computer;
    4. as the name of the only file below the part's folder that has it, whatever the folders, then
       with another case or Unicode form.
    An address such as Label Studio's `/data/local-files/?d=1.jpg` and one with `%20` are tried as
    written, then as what they mean.
    Only `anywhere` lets images lie outside of the folders that the user named.
    """

    def __init__(self, folder: Path, part: str, request: Request, anywhere: bool = False) -> None:
        self.folder = folder
        named = (folder, request.raw, request.images, request.labels)
        self.roots = None if anywhere else {os.path.abspath(root) for root in named if root}
        self.request = request
        self.part = part
        self.by_name: dict[str, list[Path]] | None = None
        self.by_stems: dict[str, list[Path]] | None = None
        self.named: dict[str, JsonNode] = {}

    def find(self, name: JsonNode, label_file: Path) -> Path:
        """Find the image that a label file names; a fault if there is not one, or it was taken."""
        return self.claim(self.look_up(name, label_file), name)

    def claim(self, found: Path | None, name: JsonNode) -> Path:
        """Note that `name` means the image that was found for it; a fault if none was, or twice."""
        if found is None:
            name.fail(
                f"no image {shown(name.text())} in {self.folder}; put it there, name its folder "
                "with --images, or delete its labels"
            )
        place = os.path.normpath(found)  # not resolved: two links to a file are two images
        if place in self.named:
            first = self.named[place]
            name.fail(
                f"{found} has labels already, in {first.source}: {first.path}; join the two, or "
                "delete one"
            )
        self.named[place] = name
        return found

    def look_up(self, name: JsonNode, label_file: Path) -> Path | None:
        """Find the image that a label file names; None if there is none."""
        bases = (label_file.parent, self.folder)
        paths = [PurePosixPath(PureWindowsPath(s).as_posix()) for s in _spellings(name.text())]
        for path in paths:
            if not path.name:
                name.fail("the name of an image is empty; fill it in")
            shorter = [PurePosixPath(*path.parts[start:]) for start in range(1, len(path.parts))]
            found = (
                self._first_file(bases, [path])
                or self._ending_in(path, name)
                or self._first_file(bases, shorter)
            )
            if found:
                return found
        return self._named(paths, name)

    def by_stem(self, name: JsonNode, label_file: Path) -> Path | None:
        """Find the image that is named as its label file, for one that was renamed."""
        return self._only(self._stems(label_file.stem, label_file), name, RENAMED)

    def partner(self, name: JsonNode, label_file: Path) -> Path | None:
        """Find the image that is named as its label file: `1.jpg` for `1.xml` and `1.jpg.xml`."""
        stem = label_file.stem
        known = PurePosixPath(stem).suffix.lower() in SUFFIXES
        return self._only(
            self._stems(stem, label_file)
            or (self._stems(PurePosixPath(stem).stem, label_file) if known else []),
            name,
        )

    def _stems(self, stem: str, label_file: Path) -> list[Path]:
        """List the images of a stem, those beside the label file if there are some."""
        if self.by_stems is None:
            self.by_stems = {}
            for path in chain.from_iterable(self._index().values()):
                self.by_stems.setdefault(_plain(path.stem), []).append(path)
        alike = self.by_stems.get(_plain(stem), [])
        return [path for path in alike if path.parent == label_file.parent] or alike

    def _named(self, paths: Sequence[PurePosixPath], name: JsonNode) -> Path | None:
        """Find the image by its name alone."""
        for path in paths:
            if found := self._index().get(path.name):
                return self._only(found, name, MOVED)
        wanted = {_plain(path.name) for path in paths}
        names = [known for known in self._index() if _plain(known) in wanted]
        return self._only([p for known in names for p in self._index()[known]], name, RESPELT)

    def _first_file(self, bases: Sequence[Path], names: Sequence[PurePosixPath]) -> Path | None:
        paths = (base / name for name in names for base in bases)
        # Not a file is any odd name.
        return next((p for p in paths if os.path.isfile(p) and self._is_inside(p)), None)

    def _is_inside(self, path: Path) -> bool:
        place = os.path.abspath(path)
        return self.roots is None or any(os.path.commonpath([r, place]) == r for r in self.roots)

    def _ending_in(self, path: PurePosixPath, name: JsonNode) -> Path | None:
        images = self._index().get(path.name, [])
        return self._only([p for p in images if p.parts[-len(path.parts) :] == path.parts], name)

    def _only(self, images: Sequence[Path], name: JsonNode, doubt: str = "") -> Path | None:
        """Return the only image, or the only one in a folder named for the part."""
        words = {*PART_WORDS[self.part]}
        folders = [image.relative_to(self.folder).parts[:-1] for image in images]
        of_part = [i for i, parts in zip(images, folders) if words & {*map(str.lower, parts)}]
        found = of_part or images
        if len(found) > 1:
            name.fail(f"{found[0]} and {found[1]} are both named so; move one away")
        if found and doubt:
            note_doubt(name.place, doubt)
        return found[0] if found else None

    def _index(self) -> dict[str, list[Path]]:
        """List the images below the part's folder by their names, once."""
        if self.by_name is None:
            self.by_name = {}
            for path in list_visible(self.folder, SUFFIXES):
                self.by_name.setdefault(path.name, []).append(path)
        return self.by_name


def _spellings(name: str) -> list[str]:
    """Return an image's name as written, and what it means if it is an address.

    >>> _spellings("/data/local-files/?d=scans/a%20b.png")[-1]
    'scans/a b.png'
    """
    found = [name, unquote(name)]
    if "?d=" in name:  # Label Studio's local files
        found.append(unquote(name.partition("?d=")[2]))
    elif "://" in name:
        found.append(unquote(name.partition("?")[0].partition("#")[0]))
    elif "/upload/" in name:  # Label Studio's uploads, whose names get eight digits in front
        found.append(re.sub(r"^[0-9a-f]{8}-", "", unquote(name).rpartition("/")[2]))
    return list(dict.fromkeys(found))


def _plain(name: str) -> str:
    """Return a name without its case and Unicode form; macOS decomposes letters with accents."""
    return unicodedata.normalize("NFC", name).casefold()
