"""Where a user's images and their text files lie: found by what the folders hold."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dbnet.errors import UserError
from dbnet.images import SUFFIXES
from dbnet.labels.files import innermost_folder, list_files
from dbnet.labels.parts import PART_WORDS, open_raw, part_of, sub_folders, visible_folders
from dbnet.labels.request import Request

IMAGE_FOLDERS = ("images", "imgs", "img", "image", "jpegimages")
LABEL_FOLDERS = ("gt", "gts", "labels", "label", "annotations", "txt", "texts")
KNOWN = (
    "known are images and texts side by side, images/ or imgs/ with gt/ or labels/, these below "
    "train/, val/ and test/, images/train/ with labels/train/, train_images/ with train_gts/, and "
    "images/ beside gt_*.txt; or name the folders with --images DIR --labels DIR"
)


class Layout(NamedTuple):
    """The folder of a part's images, and that of its text files."""

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
    """Choose the folder that holds files of some kinds, `roots` or one in them.

    Of several, one of the usual names is taken, then one of `roots`.
    """
    looked = [folder for root in roots for folder in (root, *visible_folders(root))]
    holding = [folder for folder in looked if list_files(folder, suffixes)]
    usual = [folder for folder in holding if folder.name.lower() in names]
    found = usual or [folder for folder in holding if folder in roots] or holding
    if not found:
        raise UserError(f"no {what} in {_listed(looked)}; {KNOWN}")
    if len(found) > 1:
        raise UserError(
            f"{found[0]} and {found[1]} both hold {what}; name the folders with --images DIR "
            "--labels DIR"
        )
    return found[0]


def _listed(folders: Iterable[Path]) -> str:
    first, *others = map(str, folders)
    return " or ".join([first, *others[:3]]) + (", ..." if len(others) > 3 else "")
