"""Public datasets in forms of their own: Total-Text and SynthText, COCO-Text V2 and TextOCR.

The first two have MATLAB's files; the others JSON with `imgs` and `anns` by their ids, and
`imgToAnns`. Where images are too many to keep in memory, they are read on demand.
"""

import ast
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Entries, Instance, Request
from dbnet.labels.faults import readable
from dbnet.labels.files import (
    find_archive,
    find_downloads,
    find_folder,
    list_files,
    pair_files,
    to_folder,
)
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.lazy import LabelledImage, LazyEntries, read_pairs
from dbnet.labels.text_lines import parse_records, split_lines, to_polygon

TOTALTEXT = "https://github.com/cs-chan/Total-Text-Dataset (images, and polygons as .txt or .mat)"
DOWNLOADS = [["Images", "totaltext"], ["groundtruth_text", "txt_format", "Polygon", "Groundtruth"]]
PREFIX = "poly_gt_"
UNREADABLE = "#"  # transcription or orientation of a word that does not count
RECORD = re.compile(
    r"x:\s*\[\[(?P<x>[^\]]*)\]\],\s*y:\s*\[\[(?P<y>[^\]]*)\]\],"
    r"\s*ornt:\s*(?P<orientation>\[.*?\]),\s*transcriptions:\s*(?P<text>\[.*\])\s*",
    re.DOTALL,
)
SYNTHTEXT = "https://www.robots.ox.ac.uk/~vgg/data/scenetext (SynthText.zip, 41 GB, for research)"
TRUTH = "gt.mat"
COCOTEXT_ORIGIN = (
    "https://bgshih.github.io/cocotext (cocotext.v2.json) and https://cocodataset.org (train2014)"
)
COCOTEXT_TRUTH = "cocotext.v2.json"
COCOTEXT_DOWNLOADS = [["train2014"], [COCOTEXT_TRUTH, "cocotext.v2"]]
SET_OF_PART = {"train": "train", "test": "val"}
TEXTOCR_ORIGIN = "https://textvqa.org/textocr/dataset (CC BY 4.0)"
TEXTOCR_DOWNLOADS = [
    ["train_val_images", "train_images"],
    ["TextOCR_0.1_train.json"],
    ["TextOCR_0.1_val.json"],
]
TEXTOCR_UNREADABLE = "."  # the transcription of a word that is ignored
MIN_NUMBERS = 6  # of a polygon, x and y of three points


def read_variable(file: Path | BinaryIO, source: str, name: str) -> np.ndarray:
    """Read one variable of a `.mat` file; the others are skipped and take no memory.

    `source` is its name for messages. Nothing else of the project needs SciPy.
    """
    try:
        from scipy.io import loadmat, matlab
    except ImportError:
        raise UserError(f"{source} is a MATLAB file: pip install scipy, and run again") from None
    try:
        content = file.open("rb") if isinstance(file, Path) else file
        with content:
            variables = loadmat(content, variable_names=[name])
    # What SciPy raises for other files, newer ones (NotImplementedError), and cut off ones.
    except (ValueError, TypeError, NotImplementedError, matlab.MatReadError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{source}: not a MATLAB 5 file, or damaged ({reason}); download it again"
        ) from error
    if name not in variables:
        raise UserError(f"{source} has no variable {name!r}; this is not the official file")
    return variables[name]


def prepare_totaltext(request: Request) -> dict[str, Entries]:
    """Prepare Total-Text: 1255 training and 300 test images, words as polygons."""
    downloads = find_downloads(request.raw, DOWNLOADS, TOTALTEXT)
    images, truths = (to_folder(download, request) for download in downloads)
    if (truths / "Polygon").is_dir():  # next to the rectangles of the same words
        truths = truths / "Polygon"
    return {part: _read_part(images, truths, part, request.out) for part in ("train", "test")}


def _read_part(images: Path, truths: Path, part: str, out: Path) -> LazyEntries:
    image_folder, truth_folder = (find_folder(f, part, TOTALTEXT) for f in (images, truths))
    suffix = ".txt" if list_files(truth_folder, [".txt"], PREFIX) else ".mat"
    pairs = pair_files([image_folder], truth_folder, PREFIX, suffix)
    return read_pairs(pairs, parse_polygons if suffix == ".txt" else parse_matlab, out)


def parse_polygons(content: bytes, source: str) -> list[Instance]:
    """Parse records `x: [[..]], y: [[..]], ornt: [u'c'], transcriptions: [u'..']`."""
    expected = "x: [[..]], y: [[..]], ornt: [..], transcriptions: [..]"
    return parse_records(_split_records(content, source), source, expected, _parse_record)


def parse_matlab(content: bytes, source: str) -> list[Instance]:
    """Parse the variable `polygt` of a .mat file: rows "x:", xs, "y:", ys, text, orientation."""

    def parse_row(numbered: tuple[int, np.ndarray]) -> Instance:
        number, row = numbered
        try:
            _, x, _, y, *strings = row
            text, orientation = (str(np.ravel(s)[0]) if np.size(s) else "" for s in strings)
            return _instance(np.ravel(x).tolist(), np.ravel(y).tolist(), text, orientation)
        except (ValueError, TypeError) as error:
            raise UserError(f"{source}, row {number} of polygt: {error}") from error

    rows = read_variable(io.BytesIO(content), source, "polygt")
    return list(readable(parse_row, enumerate(rows, start=1)))


def _split_records(content: bytes, source: str) -> list[tuple[int, bytes]]:
    """Join the lines of each record, which begins with `x:`; add its first line's number."""
    records: list[tuple[int, bytes]] = []
    for number, line in enumerate(split_lines(content, source), start=1):
        if line.startswith(b"x:") or not records:
            records.append((number, line))
        else:
            first, begun = records[-1]
            records[-1] = first, begun + b"\n" + line
    return records


def _parse_record(record: str) -> Instance:
    match = RECORD.fullmatch(record)
    if match is None:
        raise ValueError(f"it is {record!r}")
    x, y = (re.split(r"[\s,]+", match[axis].strip()) for axis in "xy")
    return _instance(x, y, _unquote(match["text"]), _unquote(match["orientation"]))


def _instance(x: list, y: list, text: str, orientation: str) -> Instance:
    if len(x) != len(y):
        raise ValueError(f"there are {len(x)} x and {len(y)} y")
    polygon = to_polygon([number for point in zip(x, y) for number in point])
    return Instance(polygon, text, text in ("", UNREADABLE) or orientation == UNREADABLE)


def _unquote(strings: str) -> str:
    """Read a list of strings as Python prints it; a comma joins several."""
    try:
        return ",".join(map(str, ast.literal_eval(strings)))
    except (SyntaxError, ValueError):  # typed by hand, such as [u'DON'T']
        return re.sub(r"\A\[\s*u?['\"]?|['\"]?\s*\]\Z", "", strings)


def prepare_synthtext(request: Request) -> dict[str, Entries]:
    """Prepare SynthText: 858,750 drawn images to pretrain on, words as quads; needs SciPy."""
    folder = find_archive(request, ["SynthText"], [TRUTH], SYNTHTEXT)
    truth = folder / TRUTH
    # One variable after the other, each reduced before the next is read; the largest, charBB, is
    # not read at all.
    names = [str(name[0]) for name in read_variable(truth, str(truth), "imnames").ravel()]
    texts = ["\n".join(lines) for lines in read_variable(truth, str(truth), "txt").ravel()]
    boxes = read_variable(truth, str(truth), "wordBB").ravel()
    if not len(names) == len(texts) == len(boxes):
        raise UserError(
            f"{truth}: {len(names)} imnames, {len(texts)} txt and {len(boxes)} wordBB; download "
            "it again"
        )

    def read_image(numbered: tuple[int, tuple[str, str, np.ndarray]]) -> LabelledImage:
        number, (name, text, box) = numbered
        source = f"{truth}, image {number} ({name})"
        return LabelledImage(folder / name, to_instances(box, text, source))

    def read() -> Iterator[LabelledImage]:
        return readable(read_image, enumerate(zip(names, texts, boxes), start=1))

    return {"train": LazyEntries(len(names), read, request.out)}


def to_instances(boxes: np.ndarray, text: str, source: str) -> list[Instance]:
    """Divide an image's text into its words, none of which is ignored.

    `boxes` are the words' corners, x and y in pixels, (2, 4, M), or (2, 4) for a single word.
    """
    words = text.split()
    shape = boxes.shape if boxes.ndim == 3 else (*boxes.shape, 1)
    if shape != (2, 4, len(words)):
        raise UserError(f"{source}: wordBB of shape {boxes.shape} for {len(words)} words in txt")
    if not np.isfinite(boxes).all():
        raise UserError(f"{source}: a coordinate of wordBB is not finite")
    # Hundredths of a pixel in double precision: 420.58956909179688 doubles the file's size.
    quads = boxes.reshape(shape).transpose(2, 1, 0).astype(np.float64).round(2)
    return [Instance(quad, word, False) for quad, word in zip(quads, words)]


def prepare_cocotext(request: Request) -> dict[str, Entries]:
    """Prepare COCO-Text V2: 43,686 training and 10,000 validation images, words as polygons.

    The ground truth of the test images is not public, so the validation images are "test". Images
    without words are among the entries, in the order of the file.
    """
    images, truth = find_downloads(request.raw, COCOTEXT_DOWNLOADS, COCOTEXT_ORIGIN)
    image_folder = to_folder(images, request)
    is_json = truth.suffix == ".json"
    document = read_json(truth if is_json else to_folder(truth, request) / COCOTEXT_TRUTH)
    imgs = document.field("imgs")
    set_of = {name: imgs.field(name).field("set").text() for name in _image_ids(document)}
    parts: dict[str, Entries] = {}
    for part, wanted in SET_OF_PART.items():
        ids = [image_id for image_id, found in set_of.items() if found == wanted]
        parts[part] = _read_images(document, ids, image_folder, _parse_cocotext, request.out)
    return parts


def prepare_textocr(request: Request) -> dict[str, Entries]:
    """Prepare TextOCR: 21,778 training and 3124 validation images, words as polygons.

    The ground truth of the test images is not public, so the validation images are "test".
    """
    images, train, val = find_downloads(request.raw, TEXTOCR_DOWNLOADS, TEXTOCR_ORIGIN)
    folder = to_folder(images, request)
    parts: dict[str, Entries] = {}
    for part, truth in (("train", train), ("test", val)):
        document = read_json(truth)
        parts[part] = _read_images(
            document, _image_ids(document), folder, _parse_textocr, request.out
        )
    return parts


def _parse_cocotext(ann: JsonNode) -> Instance:
    legible = ann.field("legibility").text() == "legible"
    return Instance(_polygon_or_box(ann, "mask"), ann.text_of("utf8_string"), not legible)


def _parse_textocr(ann: JsonNode) -> Instance:
    text = ann.field("utf8_string").text()
    return Instance(_polygon_or_box(ann, "points"), text, text == TEXTOCR_UNREADABLE)


def _polygon_or_box(ann: JsonNode, key: str) -> np.ndarray:
    """Return the polygon (N, 2) of an item of `anns`, or the corners of its `bbox` (x, y, w, h).

    The box replaces an outline of fewer than three points, so that a slip somewhere in a public
    file, which nobody would fix by hand, does not exclude its images.
    """
    numbers, box = ann.field(key), ann.optional("bbox")
    if box is None or len(list(numbers.items())) >= MIN_NUMBERS:
        return numbers.flat_polygon()
    return box.box()


def _image_ids(document: JsonNode) -> list[str]:
    imgs = document.field("imgs")
    if not isinstance(imgs.value, dict):
        imgs.fail("expected an object with an image per id; this is not the official file")
    return list(imgs.value)


def _read_images(
    document: JsonNode,
    ids: Sequence[str],
    folder: Path,
    parse: Callable[[JsonNode], Instance],
    out: Path,
) -> LazyEntries:
    """Read the texts of some images, by their ids, on demand; `parse` parses an item of `anns`."""
    if not ids:
        raise UserError(f"{document.source}: no images of this part among imgs")
    imgs, anns = document.field("imgs"), document.field("anns")
    anns_of_image = document.field("imgToAnns")

    def read_image(image_id: str) -> LabelledImage:
        name = PurePosixPath(imgs.field(image_id).field("file_name").text()).name
        numbers = anns_of_image.optional(image_id)
        items = [anns.field(str(n.value)) for n in numbers.items()] if numbers else []
        return LabelledImage(folder / name, list(readable(parse, items)))

    def read() -> Iterator[LabelledImage]:
        return readable(read_image, ids)

    return LazyEntries(len(ids), read, out)
