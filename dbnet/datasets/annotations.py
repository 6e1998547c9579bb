"""Annotation files in MMOCR 1.x's format: read them, and keep them small and shared."""

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbnet.datasets.repair import check_share, read_polygon
from dbnet.datasets.shared_memory import SharedArray
from dbnet.errors import UserError
from dbnet.utils.files import refuse_special


class Entry(NamedTuple):
    """One image of an annotation file.

    Attributes:
        img_path: Path of the image.
        size: (H, W) in pixels, if the file states it.
        points: (P, 2) float32, the vertices of all its polygons, one polygon after the other.
        lengths: Number of vertices of each polygon.
        ignored: "Don't care", for each polygon.
        num_chars: Length of the transcription of each polygon, -1 without one.
        faults: A line for each instance that was not taken as the file has it.
        num_words: Instances in the file.
    """

    img_path: str
    size: tuple[int, int] | None
    points: np.ndarray
    lengths: list[int]
    ignored: list[bool]
    num_chars: list[int]
    faults: list[str]
    num_words: int

    @property
    def polygons(self) -> list[np.ndarray]:
        """The polygons, each (K, 2) float32, pixels of the image."""
        ends = list(itertools.accumulate(self.lengths, initial=0))
        return [self.points[start:end] for start, end in itertools.pairwise(ends)]


class Annotations:
    """Entries as a few arrays, which this process and its workers, forked or spawned, share."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        paths = [entry.img_path.encode(errors="surrogateescape") for entry in entries]
        lengths = np.fromiter((n for entry in entries for n in entry.lengths), np.int64)
        self.paths = SharedArray(np.frombuffer(b"".join(paths), np.uint8))
        self.path_ends = SharedArray(_ends(map(len, paths)))
        self.sizes = SharedArray(np.array([entry.size or (0, 0) for entry in entries], np.int32))
        self.word_ends = SharedArray(_ends(len(entry.lengths) for entry in entries))
        self.point_ends = SharedArray(_ends(lengths))
        no_points = np.zeros((0, 2), np.float32)
        self.points = SharedArray(np.concatenate([no_points, *(e.points for e in entries)]))
        self.ignored = SharedArray(np.array([flag for e in entries for flag in e.ignored], bool))
        self.num_chars = SharedArray(np.array([n for e in entries for n in e.num_chars], np.int32))

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
        return self.paths.array[start:end].tobytes().decode(errors="surrogateescape")

    def size_of(self, item: int) -> tuple[int, int] | None:
        """Return (H, W) of an image as the file states it, if it does."""
        height, width = self.sizes.array[item].tolist()
        return (height, width) if height else None


def _ends(counts: Iterable[int]) -> np.ndarray:
    return np.fromiter(itertools.accumulate(counts, initial=0), np.int64)


def read_annotation(path: Path, max_damaged: float = 0.1) -> list[Entry]:
    """Read an annotation file; warn of damage, or stop if there is too much.

    Args:
        path: The file; image paths in it are relative to its folder.
        max_damaged: Share of the images, and of the words, that may be damaged.

    Raises:
        UserError: The file cannot be read, is not in the format, or more than that is damaged.
    """
    data_list = read_data_list(path, functools.partial(_entry_or_node, path.parent))
    entries, faulty = [], list[str]()
    for index, entry in enumerate(data_list):
        if isinstance(entry, Entry):
            faults = [f"data_list[{index}] {fault}" for fault in entry.faults]
            entries.append(entry._replace(faults=faults) if faults else entry)
        else:
            problem = _problem(path.parent, entry)
            faulty.append(f"data_list[{index}]: {problem}; the image is left out")
    check_share("images", faulty, len(data_list), max_damaged, str(path))
    faults = [fault for entry in entries for fault in entry.faults]
    num_words = sum(entry.num_words for entry in entries)
    check_share("words", faults, num_words, max_damaged, str(path))
    return entries


def _entry_or_node(folder: Path, node: dict) -> Entry | dict:
    """Parse an object of the JSON if it is an entry; one that is not in the format stays."""
    try:
        return parse_entry(folder, node) if "instances" in node else node
    except (AttributeError, KeyError, TypeError):
        return node


def _problem(folder: Path, node: Any) -> str:
    """Describe why an item of `data_list` is no entry."""
    try:
        parse_entry(folder, node)
    except (AttributeError, KeyError, TypeError) as error:
        return f"no {error}" if isinstance(error, KeyError) else str(error)
    raise AssertionError(node)


def parse_entry(folder: Path, node: dict) -> Entry:
    """Check an item of `data_list` and repair its polygons, see `dbnet.datasets.repair`.

    Args:
        folder: That of the annotation file.
        node: The item as the file has it.

    Raises:
        AttributeError, KeyError, TypeError: It is not in the format.
    """
    findings = [read_polygon(item["polygon"]) for item in node["instances"]]
    ignored = [bool(item["ignore"]) for item in node["instances"]]
    texts = [item.get("text") for item in node["instances"]]
    num_chars = [len(text) if isinstance(text, str) else -1 for text in texts]
    polygons = [finding.polygon for finding in findings if finding.polygon is not None]
    faults = [
        f"({node['img_path']}): instances[{i}]: {finding.fault}"
        + (", left out" if finding.polygon is None else "")
        for i, finding in enumerate(findings)
        if finding.fault
    ]
    return Entry(
        img_path=str(folder / node["img_path"]),
        size=stated_size(node),
        points=np.concatenate(polygons) if polygons else np.zeros((0, 2), np.float32),
        lengths=[len(polygon) for polygon in polygons],
        ignored=[flag for flag, finding in zip(ignored, findings) if finding.polygon is not None],
        num_chars=[n for n, finding in zip(num_chars, findings) if finding.polygon is not None],
        faults=faults,
        num_words=len(findings),
    )


def read_data_list(path: Path, object_hook: Callable[[dict], Any] | None = None) -> list[Any]:
    """Read `data_list`; what its entries are is not looked at.

    Args:
        path: The file, UTF-8 with or without a byte-order mark.
        object_hook: Takes each object of the JSON while it is being read, as in `json.loads`.

    Raises:
        UserError: The file is missing, cannot be read, or has no image in its `data_list`.
    """
    try:
        refuse_special(path)
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_hook=object_hook)
    except FileNotFoundError:
        raise UserError(
            f"annotation file {path} not found; make it with tools/prepare_data.py, or give "
            "its folder with --data-root"
        ) from None
    except OSError as error:
        raise UserError(
            f"annotation file {path}: {error.strerror}; --data-root is the folder of the "
            "annotation files"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("data_list"), list):
        raise UserError(f'{path}: no "data_list"; expected MMOCR 1.x\'s annotation format')
    if not content["data_list"]:
        raise UserError(f"{path}: data_list is empty; there is no image in it")
    return content["data_list"]


def stated_size(entry: dict) -> tuple[int, int] | None:
    """Read (height, width) of an entry; None if it states none."""
    height, width = entry.get("height"), entry.get("width")
    if type(height) is type(width) is int and height > 0 < width:
        return height, width
    return None
