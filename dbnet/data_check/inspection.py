"""Read annotation files of any quality into little memory; check their images, then their words."""

import os
from array import array
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from dbnet.data_check.fingerprints import fingerprint
from dbnet.data_check.kinds import MAX_ASPECT, MAX_PIXELS, MIN_SIDE, Finding
from dbnet.data_check.polygons import Measures, check_polygons, resize_factor
from dbnet.datasets.annotation_file import read_data_list, stated_size
from dbnet.datasets.repair import NOT_FINITE, read_polygon
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
KEPT = ("img_path", "height", "width", "instances", "polygon", "ignore", "text")


class Place(NamedTuple):
    """Where an entry is: number of the file and index in its `data_list`, from 0."""

    file: int
    item: int  # `WHOLE_FILE` for what concerns no entry alone


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


def read_entries(path: Path) -> list[Any]:
    """Read `data_list` of an annotation file, see `read_data_list`."""
    return read_data_list(path, object_hook=_slim)


def _slim(node: dict) -> dict:
    """Pack a polygon and drop what is not checked during reading, for a quarter of the memory."""
    if "data_list" in node:
        return node
    slim = {key: node[key] for key in KEPT if key in node}
    polygon = slim.get("polygon")
    if isinstance(polygon, list) and all(type(value) in (int, float, bool) for value in polygon):
        slim["polygon"] = array("d", map(_to_float, polygon))
    return slim


def _to_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return float("inf")


def entry_problem(entry: Any) -> str | None:
    """Describe what makes an entry of `data_list` unusable; None if nothing does."""
    if not isinstance(entry, dict):
        return f"is {type(entry).__name__}, not an object"
    if not isinstance(entry.get("img_path"), str):
        return "no img_path" if "img_path" not in entry else "img_path is no string"
    if "\0" in entry["img_path"]:
        return "img_path has a null character"
    if not isinstance(entry.get("instances"), list):
        return "no instances" if "instances" not in entry else "instances is no list"
    return None


def check_word(index: int, word: Any) -> tuple[Finding | None, np.ndarray | None]:
    """Read an item of `instances` as the loader does.

    Returns what is wrong, and its polygon (N, 2) float32, None if the loader leaves it out.
    """
    if not isinstance(word, dict) or "polygon" not in word:
        return Finding("bad-word", "no polygon", index), None
    if "ignore" not in word:
        return Finding("bad-word", "no ignore", index), None
    if word["ignore"] not in (True, False):
        detail = f"ignore is {word['ignore']!r}, not true or false"
        return Finding("bad-word", detail, index), None
    fault, polygon = read_polygon(word["polygon"])
    if fault is None:
        return None, polygon
    kind = "corner-order" if polygon is not None else _reason(fault, word["polygon"])
    return Finding(kind, fault, index), polygon


def _reason(fault: str, numbers: Any) -> str:
    """Name the kind of a polygon that is left out."""
    if fault == NOT_FINITE:
        return "not-finite"
    points = points_of(numbers)
    if points is None or np.size(numbers) % 2:
        return "bad-word"
    return "few-points" if len(points) < 3 else "no-area"


def points_of(numbers: Any) -> np.ndarray | None:
    """Return the points (N, 2) float64 of a polygon as written, without an odd last number."""
    try:
        flat = np.asarray(numbers, dtype=np.float64).ravel()
    except (TypeError, ValueError, OverflowError):
        return None
    return flat[: len(flat) // 2 * 2].reshape(-1, 2)


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
    """Return what is wrong with words; indices and polygons (N, 2) of what the loader keeps."""
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
