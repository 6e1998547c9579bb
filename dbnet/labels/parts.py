"""Users' data: find its parts "train", "val" and "test", label files, and the images they name."""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote

from dbnet.errors import UserError
from dbnet.images import SUFFIXES, probe
from dbnet.labels.entries import Entry, Instance, make_entry
from dbnet.labels.faults import note_doubt
from dbnet.labels.files import list_files, to_folder, walk
from dbnet.labels.json_node import JsonNode
from dbnet.labels.request import Request
from dbnet.utils.files import is_visible
from dbnet.utils.text import natural_key

PART_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
LABEL_FOLDERS = ("", "annotations")  # in the folder itself, and where COCO's own layout has them
MOVED = "images are found by their names, in other folders than the labels give"
RESPELT = "images are found whose names differ from the labels' in case or Unicode form"
RENAMED = "images are found by the names of their label files, since imagePath names none"
UPRIGHT = "magick mogrify -auto-orient"


@dataclass(frozen=True)
class LabelFormat:
    """A preparer of data with one label file per part.

    Attributes:
        about: What `dbnet prepare --list` prints.
        suffixes: What the names of label files end in, in lower case.
        preferred: If some names begin so, in lower case, other files are skipped.
        read: Reads the entries of a label file.
        may_be_output: Whether the outputs of other runs are labels too.
    """

    about: str
    suffixes: Sequence[str]
    preferred: str
    read: "Callable[[Path, ImageFinder], list[Entry]]"
    may_be_output: bool = False

    def __call__(self, request: Request) -> dict[str, list[Entry]]:
        """Read the entries of every part."""
        raw, out = open_raw(request), request.out
        files = self.find_files(request.labels or raw, out)
        for path, _ in files.values():
            if is_output(path, out):
                raise UserError(f"--out {out}: {path} would be overwritten, choose another --out")
        return {
            part: self.read(path, ImageFinder(image_folder(folder, request), part, request))
            for part, (path, folder) in files.items()
        }

    def find_files(self, raw: Path, out: Path) -> dict[str, tuple[Path, Path]]:
        """Find the label file of each part, with the part's folder.

        The files of `raw` whose names have a part's word (`instances_train2017.json`) come first,
        then the files in the folders of the parts, then the only file of `raw`, which is "train".
        """
        own = self._list_files(raw, out)
        named: dict[str, list[Path]] = {}
        for path in own:
            named.setdefault(part_of(path.stem), []).append(path)
        named.pop("", None)
        if named:
            return {part: (_only(named[part], part), raw) for part in PART_WORDS if part in named}
        folders = sub_folders(raw)
        files = {part: self._list_files(folder, out) for part, folder in folders.items()}
        if not any(files.values()):
            folders, files = {"train": raw}, {"train": own}
        return {p: (self._only_named(files[p], p, folder), folder) for p, folder in folders.items()}

    def _list_files(self, folder: Path, out: Path) -> list[Path]:
        def list_in(folders: Iterable[Path]) -> list[Path]:
            return [
                path
                for inside in folders
                for path in list_files(inside, self.suffixes)
                if self.may_be_output or not is_output(path, out)
            ]

        usual = [folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()]
        found = list_in(usual) or list_in(
            other
            for other in visible_folders(folder)
            if other not in usual and not part_of(other.name)
        )
        return [path for path in found if path.name.lower().startswith(self.preferred)] or found

    def _only_named(self, files: list[Path], part: str, folder: Path) -> Path:
        if not files:
            raise UserError(
                f"{folder} and its folders have no label file (*{', *'.join(self.suffixes)}); put "
                "it there, or name its folder with --labels DIR"
            )
        return _only([path for path in files if part_of(path.stem) == part] or files, part)


def part_of(stem: str) -> str:
    """Return the part that a file's name states; "" for none, or for more than one."""
    words = set(re.findall(r"[a-z]+", stem.lower()))
    parts = [part for part, its_words in PART_WORDS.items() if words & set(its_words)]
    return parts[0] if len(parts) == 1 else ""


def _only(files: list[Path], part: str) -> Path:
    if len(files) > 1:
        raise UserError(
            f"{files[0]} and {files[1]} may both be the labels of the part {part!r}; move one "
            "away, or put train, val or test into the names"
        )
    return files[0]


def open_raw(request: Request) -> Path:
    """Check that `raw` is a folder; return it, or its copy below `out`."""
    raw, out, copy = request.raw, request.out, request.copy
    if not raw.is_dir():
        raise UserError(f"--raw {raw} is not a folder; pass that of the unpacked labels and images")
    source, target = raw.resolve(), out.resolve()
    if not copy or source.is_relative_to(target):
        return raw
    if target.is_relative_to(source):
        raise UserError(f"--copy: --out {out} is inside --raw {raw}; choose an --out outside of it")
    to_folder(source, out, copy)
    return out / source.name


def find_part_folders(raw: Path) -> dict[str, Path]:
    """Find the folders of the parts below `raw`; if there are none, all of `raw` is "train"."""
    return sub_folders(raw) or {"train": raw}


def list_visible(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """List the visible files below a folder, however deep, in natural order of their paths."""
    found = {
        path.relative_to(folder).as_posix(): path
        for path in walk(folder)
        if path.suffix.lower() in suffixes and is_visible(path.relative_to(folder))
    }
    return [found[name] for name in sorted(sorted(found), key=natural_key)]


def visible_folders(folder: Path) -> list[Path]:
    """List the visible folders directly in a folder."""
    inside = sorted(path for path in folder.iterdir() if is_visible(Path(path.name)))
    return [path for path in inside if path.is_dir()]


def image_folder(folder: Path, request: Request) -> Path:
    """Return where the images of the labels in `folder` are looked for."""
    if request.images:
        return request.images
    return request.raw if request.labels else folder


def is_output(path: Path, out: Path) -> bool:
    """Return whether a file is an annotation file that a run writes."""
    is_named_so = re.fullmatch(r"textdet_(train|trainpart|val|test)\.json", path.name)
    return bool(is_named_so) and path.resolve().parent == out.resolve()


def sub_folders(raw: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(raw.iterdir()):
        part = next((p for p, words in PART_WORDS.items() if path.name.lower() in words), None)
        if part is None or not path.is_dir():
            continue
        if part in found:
            raise UserError(f"{found[part]} and {path} are both the part {part!r}, rename one")
        found[part] = path
    return {part: found[part] for part in PART_WORDS if part in found}


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

    Args:
        folder: The part's folder.
        part: The part.
        request: What the user asked for.
    """

    def __init__(self, folder: Path, part: str, request: Request) -> None:
        self.folder = folder
        self.request = request
        self.part = part
        self.by_name: dict[str, list[Path]] | None = None
        self.named: dict[str, JsonNode] = {}

    def find(self, name: JsonNode, label_file: Path) -> Path:
        """Find the image that a label file names.

        Raises:
            UserError: There is no such file, there are several, or it was named before.
        """
        return self.claim(self.look_up(name, label_file), name)

    def claim(self, found: Path | None, name: JsonNode) -> Path:
        """Note that `name` means the image that was found for it, once.

        Raises:
            UserError: None was found, or it was claimed before.
        """
        if found is None:
            name.fail(
                f"no image {name.text()} in {self.folder}; put it there, or delete its labels"
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
                _first_file(bases, [path])
                or self._ending_in(path, name)
                or _first_file(bases, shorter)
            )
            if found:
                return found
        return self._named(paths, name)

    def by_stem(self, name: JsonNode, label_file: Path) -> Path | None:
        """Find the image that is named as its label file, for one that was renamed."""
        stem = _plain(label_file.stem)
        alike = [path for paths in self._index().values() for path in paths]
        alike = [path for path in alike if _plain(path.stem) == stem]
        beside = [path for path in alike if path.parent == label_file.parent]
        return self._only(beside or alike, name, RENAMED)

    def _named(self, paths: Sequence[PurePosixPath], name: JsonNode) -> Path | None:
        """Find the image by its name alone."""
        for path in paths:
            if found := self._index().get(path.name):
                return self._only(found, name, MOVED)
        wanted = {_plain(path.name) for path in paths}
        names = [known for known in self._index() if _plain(known) in wanted]
        return self._only([p for known in names for p in self._index()[known]], name, RESPELT)

    def _ending_in(self, path: PurePosixPath, name: JsonNode) -> Path | None:
        images = self._index().get(path.name, [])
        return self._only([p for p in images if p.parts[-len(path.parts) :] == path.parts], name)

    def _only(self, images: Sequence[Path], name: JsonNode, doubt: str = "") -> Path | None:
        """Return the only image, or the only one in a folder named for the part."""
        of_part = [image for image in images if self._folders(image) & {*PART_WORDS[self.part]}]
        found = of_part or images
        if len(found) > 1:
            name.fail(f"{found[0]} and {found[1]} are both named so; move one away")
        if found and doubt:
            note_doubt(f"{name.source}: {name.path}", doubt)
        return found[0] if found else None

    def _folders(self, path: Path) -> set[str]:
        return {part.lower() for part in path.relative_to(self.folder).parts[:-1]}

    def _index(self) -> dict[str, list[Path]]:
        """List the images below the part's folder by their names, once."""
        if self.by_name is None:
            self.by_name = {}
            for path in list_visible(self.folder, SUFFIXES):
                self.by_name.setdefault(path.name, []).append(path)
        return self.by_name


def _first_file(bases: Sequence[Path], names: Sequence[PurePosixPath]) -> Path | None:
    paths = (base / name for name in names for base in bases)
    return next((path for path in paths if os.path.isfile(path)), None)  # False for any odd name


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
    return list(dict.fromkeys(found))


def _plain(name: str) -> str:
    """Return a name without its case and Unicode form; macOS decomposes letters with accents."""
    return unicodedata.normalize("NFC", name).casefold()


def make_checked_entry(
    image: Path,
    request: Request,
    instances: Sequence[Instance],
    labels: JsonNode,
    keys: tuple[str, str] = ("height", "width"),
) -> Entry:
    """Make the entry of an image whose labels may state its size.

    Args:
        image: The image's file.
        request: What the user asked for.
        instances: The texts.
        labels: The object that may state height and width; 0 and -1, as some tools write, do not.
        keys: Of height and width.

    Raises:
        UserError: The stated size differs from that of the file.
    """
    entry = make_entry(image, request.out, instances)
    size = (entry["height"], entry["width"])
    nodes = [labels.optional(key) for key in keys]
    for node, side in zip(nodes, size):
        if node is None or node.value in (0, -1, side):
            continue
        swapped = [other and other.value for other in nodes] == [*size[::-1]]
        if swapped and probe(image).orientation != 1:
            node.fail(labels_are_upright(image))
        node.fail(
            f"{node.value}, but {image} is {size[1]} x {size[0]} pixels; the labels are of another "
            "image, or it was resized: put the right file there"
        )
    return entry


def labels_are_upright(image: Path) -> str:
    """Describe labels of the displayed image, whereas training reads the stored one."""
    return (
        f"the labels are of {image} as its EXIF orientation shows it, but training reads the "
        f"pixels as stored: turn them, for example by `{UPRIGHT} FILE`"
    )
