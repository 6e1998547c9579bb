"""The competition's submission: a zip of one `res_img_N.txt` per image, a quad on each line."""

import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

import cv2
import numpy as np

from dbnet.errors import UserError
from dbnet.geometry import signed_area
from dbnet.remote.paths import file_name, is_url, shown
from dbnet.utils.files import refuse_special, replace_when_complete

PREFIX = "res_"  # of a file's name in the zip; the image's stem follows
MAX_COORDINATE = 2**24  # whole numbers up to this are exact in float32
LINE = re.compile(r"\s*,\s*".join([r"(-?[0-9]+)"] * 8))


def stem_of(name: str, prefix: str = "") -> str:
    """Name the image that a file or path stands for: `out/res_img_7.txt` is of `img_7`."""
    name = file_name(name) if is_url(name) else name
    return PureWindowsPath(name).stem.removeprefix(prefix)  # knows both slashes, on any system


def to_submission_quads(polygons: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Round polygons (K, 2) to what a submission holds: whole corners, clockwise on the screen.

    Four corners stay where they are, any other polygon becomes its minimum-area rectangle. Halves
    go to the even neighbour. The first corner stays the first. Returns (4, 2) float32 each, some
    perhaps without area.
    """
    return [_to_submission_quad(np.asarray(polygon, dtype=np.float32)) for polygon in polygons]


def _to_submission_quad(polygon: np.ndarray) -> np.ndarray:
    corners = polygon if len(polygon) == 4 else cv2.boxPoints(cv2.minAreaRect(polygon))
    quad = np.rint(corners)
    # After rounding, which can turn a thin quad around; the server refuses the whole zip then.
    return quad if signed_area(quad) >= 0 else quad[[0, 3, 2, 1]]


def parse_submission(content: bytes, source: str) -> list[np.ndarray]:
    """Parse lines of quads, (4, 2) float32 pixels, as strict as the competition's server.

    They are UTF-8 with or without a byte-order mark; empty ones are skipped.
    """
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: not a text file in UTF-8 ({error.reason})") from None
    quads = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            quads.append(_parse_line(line.strip()))
        except ValueError as error:
            raise UserError(
                f"{source}, line {number}: {error}, but it is {line.strip()!r}"
            ) from None
    return quads


def _parse_line(line: str) -> np.ndarray:
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError("expected x1,y1,x2,y2,x3,y3,x4,y4 in whole numbers and nothing else")
    numbers = [int(number) for number in match.groups()]
    if max(map(abs, numbers)) > MAX_COORDINATE:
        raise ValueError(f"expected coordinates of at most {MAX_COORDINATE}")
    quad = np.array(numbers, dtype=np.float32).reshape(4, 2)
    if signed_area(quad) < 0:
        raise ValueError("expected corners clockwise on the screen, as the competition's server")
    return quad


def check_submission_path(path: Path) -> None:
    """Check, before a long run, that a submission may be written to `path`.

    A `UserError` if it does not end in .zip, or is there and not a submission itself.
    """
    if path.suffix.lower() != ".zip":
        raise UserError(f"{path}: a submission is a zip, choose a name that ends in .zip")
    if not path.exists():
        return
    try:
        refuse_special(path)
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        names = [""]
    if not all(re.fullmatch(r"res_[^/\\]+\.txt", name) for name in names):
        raise UserError(f"{path} is there already and no submission, choose another name")


def submission_names(paths: Iterable[str]) -> list[str]:
    """Name the files of images in a submission; a `UserError` if two images have one stem."""
    owners: dict[str, str] = {}
    for path in paths:
        name = f"{PREFIX}{stem_of(path)}.txt"
        if name in owners:
            raise UserError(
                f"two images would be {name} in a submission, {owners[name]} and {shown(path)}: "
                "rename one, or leave out --submit"
            )
        owners[name] = shown(path)
    return list(owners)


def write_submission(path: Path, images: Sequence[dict]) -> None:
    """Write the zip atomically; an earlier submission is replaced, see `check_submission_path`.

    Each image has `img_path` and `polygons`, flat lists [x1, y1, ...] in pixels of the original
    image, as in `results.json`. Without polygons it gets an empty file.
    """
    names = submission_names(image["img_path"] for image in images)
    check_submission_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_complete(path) as partial, zipfile.ZipFile(partial, "w") as archive:
            for name, image in zip(names, images):
                # Without today's date, so that equal predictions give equal bytes.
                content = _format_lines(image["polygons"])
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    except OSError as error:  # no space, no permission, ...
        raise UserError(f"{path}: {error.strerror or error}") from error


def _format_lines(polygons: Iterable[Sequence[float]]) -> str:
    points = [np.asarray(polygon, dtype=np.float32).reshape(-1, 2) for polygon in polygons]
    quads = np.array(to_submission_quads(points), dtype=np.int64).reshape(-1, 8)
    return "".join(",".join(map(str, quad)) + "\n" for quad in quads.tolist())
