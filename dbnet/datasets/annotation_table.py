"""Annotation files as a few arrays: read in blocks, and kept beside a large file."""

import contextlib
import gc
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbnet.datasets.annotation_file import Entry, parse_entry, read_data_list, stated_size
from dbnet.datasets.json_stream import NotStreamed, stream_list
from dbnet.datasets.mapped_arrays import Arrays, Holders, cached_arrays, share
from dbnet.datasets.repair import check_share, sides_may_cross
from dbnet.utils.files import refuse_special

NODES_AT_ONCE = 4096
KEPT_FROM = 64_000_000  # bytes; a smaller file is read in seconds
# Of the square of the largest coordinate: polygons of a smaller area are looked at one by one.
SMALL_AREA = 1e-6

FAULTS = (AttributeError, KeyError, TypeError, ValueError, OverflowError)


class Columns(NamedTuple):
    """Images and their texts, N images with W texts of P vertices together."""

    names: list[str]  # N paths, relative to the file's folder
    sizes: np.ndarray  # (N, 2) int32, (H, W) as stated, or zeros
    num_words: list[int]  # N counts
    num_points: np.ndarray  # W counts
    points: np.ndarray  # (P, 2) float32
    ignored: list[bool]  # W flags
    num_chars: list[int]  # W lengths of transcriptions, -1 without one
    faults: list[str]  # a line for each instance that was not taken as the file has it
    num_stated: int  # instances in the file


def read_table(path: Path, max_damaged: float) -> Holders:
    """Read a file into the arrays of `Annotations`; warn of damage, or stop if it is too much.

    Those of a large file are kept beside it and mapped from then on, once on a machine.
    `max_damaged` is the share of the images, and of the words, that may be damaged.
    """
    if path.is_file() and path.stat().st_size >= KEPT_FROM:
        table = cached_arrays(path, lambda: make_table(path))
    else:
        table = share(make_table(path))
    notes = json.loads(table["notes"].array.tobytes())
    check_share("images", notes["faulty"], notes["num_images"], max_damaged, str(path))
    check_share("words", notes["faults"], notes["num_words"], max_damaged, str(path))
    return table


def make_table(path: Path) -> Arrays:
    """Read an annotation file, however large, in blocks."""
    try:
        refuse_special(path)
        with without_collection():
            return join_columns(*parse_nodes(stream_list(path, "data_list"), path))
    except (NotStreamed, OSError):  # what is wrong is told by who reads it whole
        return join_columns(*parse_nodes(iter(read_data_list(path)), path))


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Do not look for garbage in cycles: millions of small lists, none of which is in one."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parse_nodes(nodes: Iterator[Any], path: Path) -> tuple[list[Columns], list[str], int]:
    """Parse the items of `data_list`; return columns, lines of those that are none, and a count."""
    columns, faulty, done = list[Columns](), list[str](), 0
    while block := list(itertools.islice(nodes, NODES_AT_ONCE)):
        columns += parse_block(block, done, path, faulty)
        done += len(block)
    if not done:
        raise NotStreamed("is empty")
    return columns, faulty, done


def parse_block(nodes: list, first: int, path: Path, faulty: list[str]) -> Iterator[Columns]:
    """Parse items together, those with an odd text one by one."""
    try:
        found = quick_columns(nodes)
    except FAULTS:
        found = set(range(len(nodes)))
    if isinstance(found, Columns):
        yield found
        return
    place = 0
    for odd in sorted(found):
        if odd > place:
            yield from parse_block(nodes[place:odd], first + place, path, faulty)
        place = odd + 1
        where = f"data_list[{first + odd}]"
        try:
            yield columns_of(parse_entry(nodes[odd]), where)
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else str(error)
            faulty.append(f"{where}: {reason}; the image is left out")
    if place < len(nodes):
        yield from parse_block(nodes[place:], first + place, path, faulty)


def columns_of(entry: Entry, where: str) -> Columns:
    return Columns(
        names=[entry.img_path],
        sizes=np.array([entry.size or (0, 0)], np.int32),
        num_words=[len(entry.lengths)],
        num_points=np.array(entry.lengths, np.int64),
        points=entry.points,
        ignored=entry.ignored,
        num_chars=entry.num_chars,
        faults=[f"{where} {fault}" for fault in entry.faults],
        num_stated=entry.num_words,
    )


def quick_columns(nodes: Sequence[dict]) -> Columns | set[int]:
    """Parse items whose texts need no repair; else return the places of those that may.

    One of `FAULTS` is raised where an item is not in the format.
    """
    items = [item for node in nodes for item in node["instances"]]
    polygons = [item["polygon"] for item in items]
    texts = [item.get("text") for item in items]
    num_words = [len(node["instances"]) for node in nodes]
    lengths = np.fromiter(map(len, polygons), np.int64, len(polygons))
    images = np.repeat(np.arange(len(nodes)), num_words)
    if (unusual := (lengths % 2 == 1) | (lengths < 6)).any():
        return set(images[unusual].tolist())
    flat = np.array(list(itertools.chain.from_iterable(polygons)), np.float64)
    if flat.ndim != 1:
        raise TypeError("polygon is no list of x, y, x, y, ...")
    with np.errstate(over="ignore"):
        points = flat.astype(np.float32).reshape(-1, 2)
    if (unusual := needs_repair(points, lengths // 2)).any():
        return set(images[unusual].tolist())
    names = [node["img_path"] for node in nodes]
    if not all(isinstance(name, str) for name in names):
        raise TypeError("img_path is no text")
    return Columns(
        names=names,
        sizes=np.array([stated_size(node) or (0, 0) for node in nodes], np.int32),
        num_words=num_words,
        num_points=lengths // 2,
        points=points,
        ignored=[bool(item["ignore"]) for item in items],
        num_chars=[len(text) if isinstance(text, str) else -1 for text in texts],
        faults=[],
        num_stated=len(items),
    )


def needs_repair(points: np.ndarray, num_points: np.ndarray) -> np.ndarray:
    """Check which polygons may not be taken as they are, (W,); see `read_polygon`.

    Args:
        points: (P, 2) float32, vertices one polygon after the other.
        num_points: (W,), at least 3 each.
    """
    if not len(num_points):
        return np.zeros(0, bool)
    ends = np.cumsum(num_points)
    starts = ends - num_points
    next_ones = np.arange(1, len(points) + 1)
    next_ones[ends - 1] = starts
    vertices = points.astype(np.float64)
    following = vertices[next_ones]
    with np.errstate(invalid="ignore", over="ignore"):
        crosses = vertices[:, 0] * following[:, 1] - vertices[:, 1] * following[:, 0]
        areas = 0.5 * np.abs(np.add.reduceat(crosses, starts))
        reach = np.maximum.reduceat(np.abs(vertices).max(axis=1), starts)
        unusual = ~(areas > SMALL_AREA * reach**2)  # NaN is
    quads = np.flatnonzero(num_points == 4)
    corners = vertices[starts[quads][:, None] + np.arange(4)]
    unusual[quads] |= sides_may_cross(corners)
    return unusual


def join_columns(columns: Sequence[Columns], faulty: Sequence[str], num_images: int) -> Arrays:
    """Join columns to the arrays of `Annotations`, with notes on what was damaged."""
    faults = [fault for part in columns for fault in part.faults]
    num_words = sum(part.num_stated for part in columns)
    notes = dict(faulty=faulty, faults=faults, num_images=num_images, num_words=num_words)
    paths = [name.encode(errors="surrogateescape") for part in columns for name in part.names]
    return dict(
        paths=np.frombuffer(b"".join(paths), np.uint8),
        path_ends=ends_of(map(len, paths)),
        sizes=joined([part.sizes for part in columns], (0, 2), np.int32),
        word_ends=ends_of(n for part in columns for n in part.num_words),
        point_ends=np.cumsum(
            joined([np.zeros(1, np.int64), *(p.num_points for p in columns)], (0,), np.int64)
        ),
        points=joined([part.points for part in columns], (0, 2), np.float32),
        ignored=np.array([flag for part in columns for flag in part.ignored], bool),
        num_chars=np.array([n for part in columns for n in part.num_chars], np.int32),
        notes=np.frombuffer(json.dumps(notes).encode(errors="surrogateescape"), np.uint8),
    )


def joined(arrays: Sequence[np.ndarray], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(shape, dtype), *arrays])


def ends_of(counts: Iterable[int]) -> np.ndarray:
    return np.fromiter(itertools.accumulate(counts, initial=0), np.int64)
