"""Formats with one label file for each part of a user's data."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dbnet.errors import UserError
from dbnet.labels.entries import Entry, Request
from dbnet.labels.files import list_files
from dbnet.labels.image_finder import ImageFinder
from dbnet.labels.parts import (
    PART_WORDS,
    image_folder,
    is_output,
    open_raw,
    part_of,
    sub_folders,
    visible_folders,
)

LABEL_FOLDERS = ("", "annotations")  # in the folder itself, and where COCO's own layout has them


@dataclass(frozen=True)
class LabelFormat:
    """A preparer of data with one label file per part."""

    about: str  # what `dbnet prepare --list` prints
    suffixes: Sequence[str]  # of label files, in lower case
    preferred: str  # if some names begin so, in lower case, other files are skipped
    read: Callable[[Path, ImageFinder], list[Entry]]
    may_be_output: bool = False  # whether the outputs of other runs are labels too

    def __call__(self, request: Request) -> dict[str, list[Entry]]:
        """Read the entries of every part."""
        raw, out = open_raw(request), request.out
        files = self.find_files(request.labels or raw, out)
        for path, _ in files.values():
            if is_output(path, out):
                raise UserError(f"--out {out}: {path} would be overwritten, choose another --out")
        entries: dict[str, list[Entry]] = {}
        for part, (path, folder) in files.items():
            images = image_folder(folder, request)
            finder = ImageFinder(images, part, request, anywhere=self.may_be_output)
            entries[part] = self.read(path, finder)
        return entries

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


def _only(files: list[Path], part: str) -> Path:
    if len(files) > 1:
        raise UserError(
            f"{files[0]} and {files[1]} may both be the labels of the part {part!r}; move one "
            "away, or put train, val or test into the names"
        )
    return files[0]
