"""The image files that labels name, found although the data were moved since."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from dbnet.labels.json_node import JsonNode
from dbnet.labels.parts import PART_WORDS, list_visible

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")


class ImageFinder:
    """Find the images of one part; each may be named once.

    A name is looked for
    1. relative to the label file's folder, then to the part's;
    2. as the end of the path of one file below the part's folder, for the prefix such as `imgs/`
       that a config gave; among several, the one in a folder named for the part wins, such as
       `images/train/1.jpg`;
    3. as in 1, less its first folder, less the first two and so on, for the folder's own name that
       PPOCRLabel puts in front, and for the folders of another computer.

    Args:
        folder: The part's folder.
        part: The part.
    """

    def __init__(self, folder: Path, part: str) -> None:
        self.folder = folder
        self.part = part
        self.by_name: dict[str, list[Path]] | None = None
        self.named: dict[str, JsonNode] = {}

    def find(self, name: JsonNode, label_file: Path) -> Path:
        """Find the image that a label file names.

        Raises:
            UserError: There is no such file, there are several, or it was named before.
        """
        found = self.look_up(name, label_file)
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
        path = PurePosixPath(PureWindowsPath(name.text()).as_posix())
        if not path.name:
            name.fail("the name of an image is empty; fill it in")
        bases = (label_file.parent, self.folder)
        shorter = [PurePosixPath(*path.parts[start:]) for start in range(1, len(path.parts))]
        return (
            _first_file(bases, [path]) or self._ending_in(path, name) or _first_file(bases, shorter)
        )

    def _ending_in(self, path: PurePosixPath, name: JsonNode) -> Path | None:
        images = self._index().get(path.name, [])
        alike = [image for image in images if image.parts[-len(path.parts) :] == path.parts]
        of_part = [image for image in alike if self._folders(image) & {*PART_WORDS[self.part]}]
        found = of_part or alike
        if len(found) > 1:
            name.fail(f"{found[0]} and {found[1]} are both named so; move one away")
        return found[0] if found else None

    def _folders(self, path: Path) -> set[str]:
        return {part.lower() for part in path.relative_to(self.folder).parts[:-1]}

    def _index(self) -> dict[str, list[Path]]:
        """List the images below the part's folder by their names, once."""
        if self.by_name is None:
            self.by_name = {}
            for path in list_visible(self.folder, IMAGE_SUFFIXES):
                self.by_name.setdefault(path.name, []).append(path)
        return self.by_name


def _first_file(bases: Sequence[Path], names: Sequence[PurePosixPath]) -> Path | None:
    paths = (base / name for name in names for base in bases)
    return next((path for path in paths if path.is_file()), None)
