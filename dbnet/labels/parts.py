"""Folders of users' data: its parts "train", "val" and "test", their images and text files."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from dbnet.errors import UserError
from dbnet.images import SUFFIXES
from dbnet.labels.entries import Request
from dbnet.labels.files import innermost_folder, list_files, to_folder, walk
from dbnet.utils.files import is_visible
from dbnet.utils.text import natural_key

PART_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
IMAGE_FOLDERS = ("images", "imgs", "img", "image", "jpegimages")
LABEL_FOLDERS = ("gt", "gts", "labels", "label", "annotations", "txt", "texts")
KNOWN = (
    "known are images and texts side by side, images/ or imgs/ with gt/ or labels/, these below "
    "train/, val/ and test/, images/train/ with labels/train/, train_images/ with train_gts/, and "
    "images/ beside gt_*.txt; or name the folders with --images DIR --labels DIR"
)


def part_of(stem: str) -> str:
    """Return the part that a file's name states; "" for none, or for more than one."""
    words = set(re.findall(r"[a-z]+", stem.lower()))
    parts = [part for part, its_words in PART_WORDS.items() if words & set(its_words)]
    return parts[0] if len(parts) == 1 else ""


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
    to_folder(source, request)
    return out / source.name


def find_part_folders(raw: Path) -> dict[str, Path]:
    """Find the folders of the parts below `raw`; if there are none, all of `raw` is "train"."""
    return sub_folders(raw) or {"train": raw}


def list_visible(folder: Path, suffixes: Collection[str]) -> list[Path]:
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
    """Find the folders of the parts directly in a folder."""
    found: dict[str, Path] = {}
    for path in sorted(raw.iterdir()):
        part = next((p for p, words in PART_WORDS.items() if path.name.lower() in words), None)
        if part is None or not path.is_dir():
            continue
        if part in found:
            raise UserError(f"{found[part]} and {path} are both the part {part!r}, rename one")
        found[part] = path
    return {part: found[part] for part in PART_WORDS if part in found}


class Layout(NamedTuple):
    """Where a part's images are, and its text files."""

    images: Path
    labels: Path


def find_layouts(request: Request, suffixes: Sequence[str]) -> dict[str, Layout]:
    """Find the folders of every part; label files end in one of `suffixes`."""
    raw = open_raw(request)
    given = [request.images or raw, request.labels or raw]
    if raw not in given:
        images, labels = map(sub_folders, given)
        both = {p: Layout(images[p], labels[p]) for p in PART_WORDS if p in images and p in labels}
        return both or {"train": Layout(*given)}
    return {
        part: Layout(
            request.images or _choose(folders, SUFFIXES, IMAGE_FOLDERS, "images"),
            request.labels or _choose(folders, suffixes, LABEL_FOLDERS, "text files"),
        )
        for part, folders in _part_roots(raw).items()
    }


def _part_roots(raw: Path) -> dict[str, list[Path]]:
    """Return the folders of each part: `train`, or `train_images` and `train_gts`, or several."""
    if own := sub_folders(raw):
        return {part: [folder] for part, folder in own.items()}
    inside = innermost_folder(raw)
    if list_files(inside, SUFFIXES):
        return {"train": [inside]}
    folders = visible_folders(inside)
    named = [(part_of(folder.name), folder) for folder in folders]
    deeper = [pair for folder in folders for pair in sub_folders(folder).items()]
    for pairs in (named, deeper):
        roots = {part: [f for p, f in pairs if p == part] for part in PART_WORDS}
        if any(roots.values()):
            return {part: found for part, found in roots.items() if found}
    return {"train": [inside]}


def _choose(
    roots: Sequence[Path], suffixes: Sequence[str], names: Sequence[str], what: str
) -> Path:
    """Choose the folder that holds such files: of a usual name, or of `roots`, or in them."""
    looked = [folder for root in roots for folder in (root, *visible_folders(root))]
    holding = [folder for folder in looked if list_files(folder, suffixes)]
    usual = [folder for folder in holding if folder.name.lower() in names]
    found = usual or [folder for folder in holding if folder in roots] or holding
    if not found:
        first = " or ".join(map(str, looked[:4])) + (", ..." if len(looked) > 4 else "")
        raise UserError(f"no {what} in {first}; {KNOWN}")
    if len(found) > 1:
        raise UserError(
            f"{found[0]} and {found[1]} both hold {what}; name the folders with --images DIR "
            "--labels DIR"
        )
    return found[0]
