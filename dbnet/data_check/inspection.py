"""Check the entries of annotation files: their images, then their words."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from dbnet.data_check.fingerprints import fingerprint
from dbnet.data_check.kinds import MAX_ASPECT, MAX_PIXELS, MIN_SIDE, Finding
from dbnet.data_check.polygons import Measures, check_polygons, resize_factor
from dbnet.data_check.raw_entries import check_word, entry_problem
from dbnet.datasets.annotation_file import stated_size
from dbnet.errors import ImageError
from dbnet.images import decode, probe, read_content, read_image
from dbnet.labels.text_lines import UNREADABLE
from dbnet.remote.paths import is_url, join, shown

Size = tuple[int, int]

WHOLE_FILE = -1
UNLEARNABLE = ("too-small", "outside")  # findings of words that teach nothing

# What viewers do for the values of EXIF's tag 274, from 2 on.
TURNS = (
    *("mirror it", "turn it by 180 degrees", "mirror it", "mirror and turn it"),
    *("turn it right", "mirror and turn it", "turn it left"),
)


class Place(NamedTuple):
    """Where an entry is: number of the file and index in its `data_list`, from 0.

    The index is `WHOLE_FILE` for what concerns no entry alone.
    """

    file: int
    item: int


class Inspection(NamedTuple):
    """What is known of a checked entry."""

    place: Place  # of the entry
    img_path: str  # as it is written there, a URL without its query; "" if it is missing
    # (H, W) that the entry states, else that of the file; None if neither is known.
    shape: Size | None
    fingerprint: int | None  # perceptual hash of the image
    num_words: int  # items of `instances`
    num_unlearnable: int  # those that count, yet are too small at the test size or outside
    findings: list[Finding]  # of the image, then of the words
    measures: Measures  # of the words that are not dropped, in pixels at the test size
    ignored: np.ndarray  # whether each of them is ignored, (N,) bool


class ImageFacts(NamedTuple):
    """The result of checking an image file."""

    shape: Size | None  # (H, W) in pixels as stored, None if the file cannot be read
    fingerprint: int | None  # perceptual hash
    findings: list[Finding]  # what is wrong with it


def inspect_entry(place: Place, entry: Any, folder: Path, test_size: tuple[int, int]) -> Inspection:
    """Check an entry of `data_list`: its image below `folder` and all of its words."""
    problem = entry_problem(entry)
    if problem:
        found = [Finding("bad-entry", problem)]
        _, measures = check_polygons([], [], None, 1.0)
        return Inspection(place, "", None, None, 0, 0, found, measures, np.zeros(0, dtype=bool))
    stated = stated_size(entry)
    image = check_image(join(str(folder), entry["img_path"]), stated)
    shape = stated or image.shape
    instances = entry["instances"]

    findings, kept, polygons = sort_words(instances)
    ignored = [bool(instances[index]["ignore"]) for index in kept]
    scale = resize_factor(shape, test_size) if shape else 1.0
    # Where the sizes differ, which is reported, nobody knows what is outside.
    frame = shape if image.shape in (None, shape) else None
    found, measures = check_polygons(polygons, ignored, frame, scale)
    words = {finding.word for finding in found if finding.kind in UNLEARNABLE}
    unlearnable = [word for word in words if word is not None and not ignored[word]]
    if any(finding.kind == "turned-image" for finding in image.findings):
        found = [blame_orientation(finding) for finding in found]
    findings += [number_words(finding, kept) for finding in found]
    findings += check_marks(instances, kept, ignored)
    return Inspection(
        place=place,
        img_path=shown(entry["img_path"]),
        shape=shape,
        fingerprint=image.fingerprint,
        num_words=len(instances),
        num_unlearnable=len(unlearnable),
        findings=[*image.findings, *sorted(findings, key=lambda finding: finding.word or 0)],
        measures=measures,
        ignored=np.array(ignored, dtype=bool),
    )


def sort_words(instances: list[Any]) -> tuple[list[Finding], list[int], list[np.ndarray]]:
    """Read the words as the loader does.

    Returns what is wrong, and the indices and polygons (N, 2) of those that are kept.
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


def blame_orientation(finding: Finding) -> Finding:
    """Name the likely cause of a word outside an image that viewers turn."""
    if finding.kind not in ("outside", "partly-outside"):
        return finding
    return finding._replace(detail=f"{finding.detail}; its EXIF orientation is the likely cause")


def number_words(finding: Finding, kept: list[int]) -> Finding:
    """Turn the indices of kept words into indices of `instances`."""
    word, twin = (None if i is None else kept[i] for i in (finding.word, finding.twin))
    return finding._replace(word=word, twin=twin)


def check_marks(instances: list[Any], kept: list[int], ignored: list[bool]) -> list[Finding]:
    """Find images without words or none that counts, and unreadable words that count."""
    if not instances:
        return [Finding("no-words", "no words")]
    findings = [
        Finding("unmarked", f"text {UNREADABLE}, ignore false", index)
        for index, ignore in zip(kept, ignored)
        if not ignore and instances[index].get("text") == UNREADABLE
    ]
    if len(kept) == len(instances) and all(ignored):
        findings.append(Finding("all-ignored", f"{len(kept)} ignored"))
    return findings


def check_image(path: str | Path, stated: Size | None) -> ImageFacts:
    """Decode an image as training does; compare it with the entry's (height, width)."""
    path, content = os.fspath(path), None
    if is_url(path):
        try:
            content = read_content(path)
        except ImageError as error:
            return ImageFacts(None, None, [unreadable(path, error)])
    elif not os.path.isfile(path):  # False too for a name that no file can have
        return ImageFacts(None, None, [Finding("missing-image", "not found")])
    header = probe(path if content is None else content)
    findings = check_size(header.shape, stated, header.orientation) if header.shape else []
    if header.shape and header.damage:
        findings.append(Finding("damaged-image", header.damage))
        return ImageFacts(header.shape, None, findings)
    try:
        image = read_image(path) if content is None else decode(content, upright=False)
    except (ImageError, cv2.error) as error:  # the latter of a size beyond the memory
        return ImageFacts(header.shape, None, [*findings, unreadable(path, error)])
    shape = (image.shape[0], image.shape[1])
    if header.shape is None:
        findings = check_size(shape, stated, header.orientation)
    return ImageFacts(shape, fingerprint(image), findings)


def unreadable(path: str, error: Exception) -> Finding:
    reason = " ".join(str(error).split()).removeprefix(f"image {shown(path)}: ")
    return Finding("unreadable-image", reason)


def check_size(shape: Size, stated: Size | None, orientation: int) -> list[Finding]:
    """Check an image's (H, W) as stored and EXIF orientation, 1..8, against the stated (H, W)."""
    findings = []
    here = f"the file is {shape[1]}x{shape[0]}"
    turn = TURNS[orientation - 2] if orientation > 1 else ""
    if stated and stated != shape:
        exif = f" (viewers {turn})" if turn else ""
        detail = f"{here}{exif}, the entry states {stated[1]}x{stated[0]}"
        findings.append(Finding("wrong-size", detail))
    elif turn:
        findings.append(Finding("turned-image", f"EXIF orientation {orientation}: viewers {turn}"))
    short, long = sorted(shape)
    if short < MIN_SIDE or short * long > MAX_PIXELS or long > MAX_ASPECT * short:
        findings.append(Finding("extreme-size", here))
    return findings
