"""Check entry after entry of annotation files, several at a time, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dbnet.data_check.annotation import check_word, entry_problem
from dbnet.data_check.images import check_image
from dbnet.data_check.kinds import DONT_CARE, Finding
from dbnet.data_check.polygons import Measures, check_polygons, resize_factor
from dbnet.datasets.annotations import stated_size

Result = TypeVar("Result")


class Place(NamedTuple):
    """Where an entry stands: number of the file and index in its `data_list`, from 0."""

    file: int
    item: int


class Inspection(NamedTuple):
    """What is known of an entry once it has been checked.

    Attributes:
        place: Of the entry.
        img_path: As it is written there, "" if it is missing.
        shape: (H, W) that the entry states, else that of the file; None if neither is known.
        fingerprint: Perceptual hash of the image.
        num_words: Items of `instances`.
        findings: What is wrong.
        measures: Of the words that are not dropped, in pixels at the test size.
        ignored: Whether each of them is ignored, (N,) bool.
    """

    place: Place
    img_path: str
    shape: tuple[int, int] | None
    fingerprint: int | None
    num_words: int
    findings: list[Finding]
    measures: Measures
    ignored: np.ndarray


def inspect_entry(place: Place, entry: Any, folder: Path, test_size: tuple[int, int]) -> Inspection:
    """Check an entry of `data_list`: its image below `folder` and all of its words."""
    problem = entry_problem(entry)
    if problem:
        found = [Finding("bad-entry", problem)]
        _, measures = check_polygons([], [], None, 1.0)
        return Inspection(place, "", None, None, 0, found, measures, np.zeros(0, dtype=bool))
    stated = stated_size(entry)
    image = check_image(folder / entry["img_path"], stated)
    shape = stated or image.shape
    instances = entry["instances"]

    findings, kept, polygons = sort_words(instances)
    ignored = [bool(instances[index]["ignore"]) for index in kept]
    scale = resize_factor(shape, test_size) if shape else 1.0
    # Where the sizes differ, which is told, nobody knows what is outside.
    frame = shape if image.shape in (None, shape) else None
    found, measures = check_polygons(polygons, ignored, frame, scale)
    findings += [number_words(finding, kept) for finding in found]
    findings += check_marks(instances, kept, ignored)
    return Inspection(
        place=place,
        img_path=entry["img_path"],
        shape=shape,
        fingerprint=image.fingerprint,
        num_words=len(instances),
        findings=[*image.findings, *sorted(findings, key=lambda finding: finding.word or 0)],
        measures=measures,
        ignored=np.array(ignored, dtype=bool),
    )


def sort_words(instances: list[Any]) -> tuple[list[Finding], list[int], list[np.ndarray]]:
    """Read the words as the loader does.

    Returns:
        What is wrong with them, and the indices and polygons (N, 2) of those that are kept.
    """
    findings, kept, polygons = [], [], []
    for index, word in enumerate(instances):
        finding, polygon = check_word(index, word)
        if finding:
            findings.append(finding)
        if polygon is not None:
            kept.append(index)
            polygons.append(polygon)
    return findings, kept, polygons


def number_words(finding: Finding, kept: list[int]) -> Finding:
    """Turn the indices of kept words into indices of `instances`."""
    word, twin = (None if i is None else kept[i] for i in (finding.word, finding.twin))
    return finding._replace(word=word, twin=twin)


def check_marks(instances: list[Any], kept: list[int], ignored: list[bool]) -> list[Finding]:
    """Find images without words or none that counts, and unreadable words that count."""
    if not instances:
        return [Finding("no-words", "no words")]
    findings = [
        Finding("unmarked", f"text {DONT_CARE}, ignore false", index)
        for index, ignore in zip(kept, ignored)
        if not ignore and instances[index].get("text") == DONT_CARE
    ]
    if len(kept) == len(instances) and all(ignored):
        findings.append(Finding("all-ignored", f"{len(kept)} ignored"))
    return findings


def in_order(tasks: Iterable[Callable[[], Result]], workers: int) -> Iterator[Result]:
    """Call tasks in threads and give the results in order; few are under way at a time.

    Threads will do: decoding, which takes most of the time, leaves the interpreter free.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for task in tasks:
                pending.append(pool.submit(task))
                if len(pending) > 4 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
