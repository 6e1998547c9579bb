"""Folders of users' data: its parts "train", "val" and "test", and what lies below them."""

import re
from collections.abc import Collection
from pathlib import Path

from dbnet.errors import UserError
from dbnet.labels.files import to_folder, walk
from dbnet.labels.request import Request
from dbnet.utils.files import is_visible
from dbnet.utils.text import natural_key

PART_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


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
    found: dict[str, Path] = {}
    for path in sorted(raw.iterdir()):
        part = next((p for p, words in PART_WORDS.items() if path.name.lower() in words), None)
        if part is None or not path.is_dir():
            continue
        if part in found:
            raise UserError(f"{found[part]} and {path} are both the part {part!r}, rename one")
        found[part] = path
    return {part: found[part] for part in PART_WORDS if part in found}
