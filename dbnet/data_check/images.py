"""Check image files: there, whole, of the size that was annotated, not turned by EXIF."""

import os
from pathlib import Path
from typing import NamedTuple

import cv2

from dbnet.data_check.fingerprints import fingerprint
from dbnet.data_check.kinds import MAX_ASPECT, MAX_PIXELS, MIN_SIDE, Finding
from dbnet.errors import UserError
from dbnet.images import probe, read_image

Size = tuple[int, int]

# What viewers do with EXIF's tag 274, from 2 on.
TURNS = (
    *("mirror it", "turn it by 180 degrees", "mirror it", "mirror and turn it"),
    *("turn it right", "mirror and turn it", "turn it left"),
)


class ImageFacts(NamedTuple):
    """What was learnt from an image file.

    Attributes:
        shape: (H, W) in pixels as stored, None if the file cannot be read.
        fingerprint: Perceptual hash.
        findings: What is wrong with it.
    """

    shape: Size | None
    fingerprint: int | None
    findings: list[Finding]


def check_image(path: Path, stated: Size | None) -> ImageFacts:
    """Decode an image file as training does, and compare it with the entry's (height, width)."""
    if not os.path.isfile(path):  # False too for a name that no file can have
        return ImageFacts(None, None, [Finding("missing-image", "not found")])
    header = probe(path)
    findings = check_size(header.shape, stated, header.orientation) if header.shape else []
    if header.shape and header.damage:
        findings.append(Finding("damaged-image", header.damage))
        return ImageFacts(header.shape, None, findings)
    try:
        image = read_image(str(path))
    except (UserError, cv2.error) as error:
        reason = " ".join(str(error).split()).removeprefix(f"image {path}: ")
        return ImageFacts(header.shape, None, [*findings, Finding("unreadable-image", reason)])
    shape = (image.shape[0], image.shape[1])
    if header.shape is None:
        findings = check_size(shape, stated, header.orientation)
    return ImageFacts(shape, fingerprint(image), findings)


def check_size(shape: Size, stated: Size | None, orientation: int) -> list[Finding]:
    """Find what is odd about an image's size and orientation.

    Args:
        shape: (H, W) as stored in the file.
        stated: (height, width) of the entry.
        orientation: EXIF's, 1..8.
    """
    findings = []
    here = f"the file is {shape[1]}x{shape[0]}"
    turn = TURNS[orientation - 2] if orientation > 1 else ""
    if stated and stated != shape:
        exif = f" (viewers {turn})" if turn else ""
        detail = f"{here}{exif}, the entry says {stated[1]}x{stated[0]}"
        findings.append(Finding("wrong-size", detail))
    elif turn:
        findings.append(Finding("turned-image", f"EXIF orientation {orientation}: viewers {turn}"))
    short, long = sorted(shape)
    if short < MIN_SIDE or short * long > MAX_PIXELS or long > MAX_ASPECT * short:
        findings.append(Finding("extreme-size", here))
    return findings
