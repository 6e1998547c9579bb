"""The parts of a user's data, "train", "val" and "test", by the names of folders and files."""

import re
from collections.abc import Sequence
from pathlib import Path

from dbnet.errors import UserError
from dbnet.labels.downloads import to_folder
from dbnet.utils.text import natural_key

PART_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
LABEL_FOLDERS = ("", "annotations")  # in the folder itself, and where COCO's own layout has them


def open_raw(raw: Path, out: Path, copy: bool) -> Path:
    """Check that `raw` is a folder; give it, or its copy below `out`."""
    if not raw.is_dir():
        raise UserError(f"--raw {raw} is no folder; give the folder of labels and images, unpacked")
    source, target = raw.resolve(), out.resolve()
    if not copy or source.is_relative_to(target):
        return raw
    if target.is_relative_to(source):
        raise UserError(f"--copy: --out {out} lies in --raw {raw}; choose an --out beside it")
    to_folder(source, out, copy)
    return out / source.name


def find_part_folders(raw: Path) -> dict[str, Path]:
    """Find the folders of the parts below `raw`; if there are none, all of `raw` is "train"."""
    return _sub_folders(raw) or {"train": raw}


def find_label_files(
    raw: Path, out: Path | None, suffixes: Sequence[str], preferred: str
) -> dict[str, tuple[Path, Path]]:
    """Find the label file of each part, with the part's folder.

    The files of `raw` whose names have a part's word (`instances_train2017.json`) come first, then
    the files in the folders of the parts, then the only file of `raw`, which is "train".

    Args:
        raw: The user's folder.
        out: The folder of the annotation files, which are no labels; None if they may be.
        suffixes: What the names of label files end in, in lower case.
        preferred: Where names begin so, in lower case, other files are passed over.
    """
    own = _label_files(raw, out, suffixes, preferred)
    named: dict[str, list[Path]] = {}
    for path in own:
        named.setdefault(_part_of(path.stem), []).append(path)
    named.pop("", None)
    if named:
        return {part: (_only(named[part], part), raw) for part in PART_WORDS if part in named}
    folders = _sub_folders(raw)
    files = {part: _label_files(folders[part], out, suffixes, preferred) for part in folders}
    if any(files.values()):
        return {
            part: (_only_named(files[part], part, folders[part], suffixes), folders[part])
            for part in folders
        }
    return {"train": (_only_named(own, "train", raw, suffixes), raw)}


def list_visible(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """List the visible files below a folder, however deep, in natural order of their paths."""
    below = [(path.relative_to(folder), path) for path in folder.rglob("*")]
    shown = [
        (name.as_posix(), path)
        for name, path in below
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") or part == "__MACOSX" for part in name.parts)
        and path.is_file()
    ]
    return [path for _, path in sorted(sorted(shown), key=lambda pair: natural_key(pair[0]))]


def is_output(path: Path, out: Path) -> bool:
    """Tell whether a file is an annotation file that a run writes."""
    is_named_so = re.fullmatch(r"textdet_(train|trainpart|val|test)\.json", path.name)
    return bool(is_named_so) and path.resolve().parent == out.resolve()


def _sub_folders(raw: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(raw.iterdir()):
        part = next((p for p, words in PART_WORDS.items() if path.name.lower() in words), None)
        if part is None or not path.is_dir():
            continue
        if part in found:
            raise UserError(f"{found[part]} and {path} are both the part {part!r}, rename one")
        found[part] = path
    return {part: found[part] for part in PART_WORDS if part in found}


def _label_files(
    folder: Path, out: Path | None, suffixes: Sequence[str], preferred: str
) -> list[Path]:
    found = [
        path
        for name in LABEL_FOLDERS
        if (folder / name).is_dir()
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in suffixes
        and not path.name.startswith(".")
        and path.is_file()
        and not (out and is_output(path, out))
    ]
    return [path for path in found if path.name.lower().startswith(preferred)] or found


def _part_of(stem: str) -> str:
    """Give the part that a file's name says; "" for none, or for more than one."""
    words = re.findall(r"[a-z]+", stem.lower())
    parts = {part for part, its_words in PART_WORDS.items() if set(words) & set(its_words)}
    return parts.pop() if len(parts) == 1 else ""


def _only_named(files: list[Path], part: str, folder: Path, suffixes: Sequence[str]) -> Path:
    if not files:
        raise UserError(
            f"{folder} and its folder annotations hold no label file (*{', *'.join(suffixes)}); "
            "put it there"
        )
    return _only([path for path in files if _part_of(path.stem) == part] or files, part)


def _only(files: list[Path], part: str) -> Path:
    if len(files) > 1:
        raise UserError(
            f"{files[0]} and {files[1]} may both be the labels of the part {part!r}; move one "
            "away, or put train, val or test into the names"
        )
    return files[0]
