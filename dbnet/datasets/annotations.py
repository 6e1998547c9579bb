"""The annotations of a dataset, small and shared."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dbnet.datasets.annotation_file import Entry
from dbnet.datasets.annotation_table import columns_of, join_columns, read_table
from dbnet.datasets.mapped_arrays import Holders, share
from dbnet.remote import local_copy
from dbnet.remote.paths import SCHEME, is_url, join


class Annotations:
    """Images and texts as a few arrays, which this process shares with its workers.

    Args:
        holders: Of the arrays of `read_table`.
        folder: That paths are relative to, which may be a URL.
    """

    def __init__(self, holders: Holders, folder: str | Path = Path()) -> None:
        self.holders, self.folder = holders, folder
        self.paths = holders["paths"]
        self.path_ends = holders["path_ends"]
        self.sizes = holders["sizes"]
        self.word_ends = holders["word_ends"]
        self.point_ends = holders["point_ends"]
        self.points = holders["points"]
        self.ignored = holders["ignored"]
        self.num_chars = holders["num_chars"]

    @classmethod
    def read(cls, path: str | Path, max_damaged: float = 0.1) -> "Annotations":
        """Read an annotation file, which may lie at a URL; see `read_table`."""
        if is_url(str(path)):
            return cls(read_table(local_copy(str(path)), max_damaged), join(str(path), ".."))
        return cls(read_table(Path(path), max_damaged), Path(path).parent)

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Annotations":
        """Hold entries that come from no file."""
        return cls(share(join_columns([columns_of(entry, "") for entry in entries], [], 0)))

    def __len__(self) -> int:
        return len(self.sizes.array)

    def __getitem__(self, item: int) -> dict:
        """Return `img_path`, `polygons` (read-only), `ignored` and `num_chars` of an image."""
        if not 0 <= item < len(self):
            raise IndexError(f"index {item} of {len(self)} images")
        first, last = self.word_ends.array[item : item + 2].tolist()
        ends = self.point_ends.array[first : last + 1].tolist()
        return dict(
            img_path=self.path_of(item),
            polygons=[self.points.array[start:end] for start, end in itertools.pairwise(ends)],
            ignored=self.ignored.array[first:last].tolist(),
            num_chars=self.num_chars.array[first:last].tolist(),
        )

    def path_of(self, item: int) -> str:
        """Return the path of an image."""
        start, end = self.path_ends.array[item : item + 2].tolist()
        name = self.paths.array[start:end].tobytes().decode(errors="surrogateescape")
        if SCHEME.match(name) or not isinstance(self.folder, Path):
            return join(str(self.folder), name)
        return str(self.folder / name)

    def size_of(self, item: int) -> tuple[int, int] | None:
        """Return (H, W) of an image as the file states it, if it does."""
        height, width = self.sizes.array[item].tolist()
        return (height, width) if height else None

    def take(self, items: Sequence[int] | np.ndarray) -> "Annotations":
        """Hold some of the images, in the order given."""
        order = np.asarray(items, np.int64)
        letters, path_ends = gather(self.path_ends.array, order)
        words, word_ends = gather(self.word_ends.array, order)
        vertices, point_ends = gather(self.point_ends.array, words)
        places = dict(paths=letters, sizes=order, points=vertices, ignored=words, num_chars=words)
        taken = {name: self.holders[name].array[place] for name, place in places.items()}
        ends = dict(path_ends=path_ends, word_ends=word_ends, point_ends=point_ends)
        return Annotations(share(taken | ends), self.folder)


def gather(ends: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the members of groups that are taken in another order, and their new ends.

    `ends`, (G + 1,), are one past the last member of each group, after a 0.

    >>> gather(np.array([0, 2, 5]), np.array([1, 0]))  # groups {0, 1} and {2, 3, 4}
    (array([2, 3, 4, 0, 1]), array([0, 3, 5]))
    """
    lengths = np.diff(ends)[order]
    taken = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return np.repeat(ends[order] - taken[:-1], lengths) + np.arange(taken[-1]), taken
