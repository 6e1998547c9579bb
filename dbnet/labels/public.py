"""Public datasets with one file of ground truth per image: a row and a parser each."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dbnet.errors import UserError
from dbnet.geometry import rectangle, rotated
from dbnet.labels.entries import Entries, Instance, Request
from dbnet.labels.faults import readable
from dbnet.labels.files import find_archive, find_downloads, pair_files, to_folder
from dbnet.labels.lazy import read_pairs
from dbnet.labels.text_lines import UNREADABLE, Parse, line_parser, to_polygon

RRC = "https://rrc.cvc.uab.es (challenge {}, registration needed)"


@dataclass(frozen=True)
class Part:
    """One part of a dataset: its downloads, and how ground truth is named and parsed."""

    # Names that each download of images may have, the preferred one first.
    images: Sequence[Sequence[str]]
    truth: Sequence[str]  # names that the download of the ground truth may have
    parse: Parse  # parses a file of ground truth
    # What names of these files begin with: `gt_img_7.txt` belongs to `img_7.jpg`.
    prefix: str = "gt_"
    suffix: str = ".txt"  # what they end in


@dataclass(frozen=True)
class PairedDataset:
    """A preparer of images and files of ground truth of corresponding names."""

    about: str  # what `dbnet prepare --list` prints
    origin: str  # where the downloads come from
    parts: Mapping[str, Part]  # the parts by their names
    archive: str = ""  # the one download whose folders the parts name; "" if each is a download

    def __call__(self, request: Request) -> dict[str, Entries]:
        """Read the entries of every part, in natural order of the images' names."""
        raw, out = request.raw, request.out
        names = [names for part in self.parts.values() for names in (*part.images, part.truth)]
        if self.archive:
            contents = list(dict.fromkeys(name for (name,) in names))
            root = find_archive(request, [self.archive], contents, self.origin)
            folders = iter([root / name for (name,) in names])
        else:
            downloads = find_downloads(raw, names, self.origin)
            folders = iter([to_folder(download, request) for download in downloads])
        entries: dict[str, Entries] = {}
        for name, part in self.parts.items():
            images = [next(folders) for _ in part.images]
            pairs = pair_files(images, next(folders), part.prefix, part.suffix)
            entries[name] = read_pairs(pairs, part.parse, out)
        return entries


def _quad_line(line: str, num_skipped: int = 0) -> Instance:
    """Parse x1,y1,...,x4,y4, some fields that are skipped, and the transcription."""
    num_fields = 8 + num_skipped
    *fields, text = line.split(",", num_fields)
    if len(fields) < num_fields:
        raise ValueError(
            f"there are {len(fields)} commas before the transcription, not {num_fields}"
        )
    return Instance(to_polygon(fields[:8]), text, text == UNREADABLE)


NUMBER = r"([^\s,\"]+)"
# Commas, spaces or both stand between the numbers: the two challenges and their parts differ.
RECTANGLE = re.compile(r"\s*" + r"(?:\s*,\s*|\s+)".join([NUMBER] * 4) + r'(?:\s*,\s*|\s+)"(.*)"\s*')


def _rectangle_line(line: str) -> Instance:
    r"""Parse left top right bottom "transcription", in which \" and \\ are escaped."""
    match = RECTANGLE.fullmatch(line)
    if match is None:
        raise ValueError(f"it is {line!r}")
    *numbers, quoted = match.groups()
    corners = to_polygon(numbers)
    text = re.sub(r'\\([\\"])', r"\1", quoted)
    return Instance(rectangle(*corners.ravel()), text, text == UNREADABLE)


def _ctw1500_line(line: str) -> Instance:
    *numbers, text = line.split(",", 28)
    polygon = to_polygon(numbers, 28)
    if not text.startswith("####"):
        raise ValueError(f"{text!r} follows the coordinates")
    text = text.removeprefix("####")
    return Instance(polygon, text, text == UNREADABLE)


def parse_ctw1500_xml(content: bytes, source: str) -> list[Instance]:
    """Parse `<box><label>text</label><segs>x1,y1,...</segs></box>` of the training part."""
    try:
        root = ET.fromstring(content)
    except ET.ParseError as error:
        line = error.position[0]
        raise UserError(f"{source}, line {line}: not XML ({error}), download it again") from error

    def parse_box(numbered: tuple[int, ET.Element]) -> Instance:
        number, box = numbered
        text = box.findtext("label") or ""
        try:
            polygon = to_polygon((box.findtext("segs") or "").split(","), 28)
        except ValueError as error:
            raise UserError(f"{source}, box {number}, segs: {error}") from error
        return Instance(polygon, text, text == UNREADABLE)

    return list(readable(parse_box, enumerate(root.iter("box"), start=1)))


def rotated_rectangle(x: float, y: float, width: float, height: float, theta: float) -> np.ndarray:
    """Return the corners (4, 2) of a rectangle, clockwise on the screen from its own top left.

    It is turned by `theta` radians about its centre, clockwise on the screen; x, y (left and top),
    width and height are those before, in pixels.
    """
    return rotated(rectangle(x, y, x + width, y + height), theta)


def _td500_line(line: str) -> Instance:
    """Parse a line of text without transcription; difficult ones are ignored."""
    fields = line.split()
    if len(fields) != 7:
        raise ValueError(f"there are {len(fields)} values, not 7")
    if fields[1] not in ("0", "1"):
        raise ValueError(f"difficult is {fields[1]!r}, not 0 or 1")
    with np.errstate(invalid="ignore"):  # to_polygon refuses what is not finite
        quad = rotated_rectangle(*map(float, fields[2:]))
    # Hundredths of a pixel: the ground truth is in whole pixels.
    return Instance(to_polygon(quad.ravel().round(2).tolist()), "", fields[1] == "1")


parse_rectangles = line_parser('left top right bottom "transcription"', _rectangle_line)
parse_quads = line_parser("x1,y1,x2,y2,x3,y3,x4,y4,transcription", _quad_line)
parse_mlt = line_parser(
    "x1,y1,x2,y2,x3,y3,x4,y4,script,transcription", lambda line: _quad_line(line, num_skipped=1)
)
parse_ctw1500 = line_parser("x1,y1,...,x14,y14,####transcription", _ctw1500_line)
parse_td500 = line_parser("index difficult x y w h theta", _td500_line)


def _icdar2013(challenge: str) -> dict[str, Part]:
    stems = {"train": f"{challenge}_Training", "test": f"{challenge}_Test"}
    return {
        part: Part([[f"{stem}_Task12_Images"]], [f"{stem}_Task1_GT"], parse_rectangles)
        for part, stem in stems.items()
    }


ICDAR2013 = PairedDataset(
    "Prepare ICDAR2013 Focused Scene Text: 229 training and 233 test images, words as rectangles.",
    RRC.format("2, 2013 to 2015"),
    _icdar2013("Challenge2"),
)
ICDAR2013_BORN_DIGITAL = PairedDataset(
    "Prepare ICDAR2013 Born-Digital Images: 410 for training, 141 for tests, words as rectangles.",
    RRC.format("1, 2013 to 2015"),
    _icdar2013("Challenge1"),
)
ICDAR2015 = PairedDataset(
    "Prepare ICDAR2015 Incidental Scene Text: 1000 training and 500 test images, words as quads.",
    RRC.format(4),
    {
        "train": Part(
            [["ch4_training_images"]], ["ch4_training_localization_transcription_gt"], parse_quads
        ),
        "test": Part(
            [["ch4_test_images"]],
            ["Challenge4_Test_Task1_GT", "Challenge4_Test_Task4_GT"],
            parse_quads,
        ),
    },
)
ICDAR2017_MLT = PairedDataset(
    "Prepare ICDAR2017 MLT: 7200 training and 1800 validation images (as test), 9 languages.",
    RRC.format(8),
    {
        "train": Part(
            [[f"ch8_training_images_{number}"] for number in range(1, 9)],
            ["ch8_training_localization_transcription_gt_v2"],
            parse_mlt,
        ),
        "test": Part(
            [["ch8_validation_images"]],
            ["ch8_validation_localization_transcription_gt_v2"],
            parse_mlt,
        ),
    },
)
ICDAR2019_MLT = PairedDataset(
    "Prepare ICDAR2019 MLT: 10000 training images, words of 10 languages.",
    RRC.format(15),
    {"train": Part([["ImagesPart1"], ["ImagesPart2"]], ["train_gt_t13"], parse_mlt, prefix="")},
)
CTW1500 = PairedDataset(
    "Prepare SCUT-CTW1500: 1000 training and 500 test images, text lines as polygons.",
    "https://github.com/Yuliang-Liu/Curve-Text-Detector (for research, not for commerce)",
    {
        "train": Part(
            [["train_images", "ctw1500_train_images"]],
            ["ctw1500_train_labels"],
            parse_ctw1500_xml,
            prefix="",
            suffix=".xml",
        ),
        "test": Part(
            [["test_images", "ctw1500_test_images"]],
            ["gt_ctw1500", "ctw1500_test_labels"],
            parse_ctw1500,
            prefix="000",  # 1001.jpg and 0001001.txt
        ),
    },
)
TD500 = PairedDataset(
    "Prepare MSRA-TD500: 300 training and 200 test images, text lines as rotated rectangles.",
    "http://www.iapr-tc11.org/mediawiki/index.php/MSRA_Text_Detection_500_Database_(MSRA-TD500)",
    {p: Part([[p]], [p], parse_td500, prefix="", suffix=".gt") for p in ("train", "test")},
    archive="MSRA-TD500",
)
