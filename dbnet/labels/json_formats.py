"""Formats in JSON: docTR, VGG Image Annotator, Supervisely, and the answers of OCR services."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dbnet.errors import UserError
from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode, parse_json, read_json, read_limited
from dbnet.labels.shapes import no_outline, points_xy, sized_box
from dbnet.labels.text_lines import to_utf8
from dbnet.labels.tool_format import (
    CLASS_KEYS,
    ONE_PAGE,
    TEXT_KEYS,
    Picture,
    ToolFormat,
    first_text,
    is_marked,
    make_instance,
    name_of,
    stated_size,
)

VIA_BOX = ("x", "y", "width", "height")
AZURE_OUTLINES = ("boundingBox", "boundingPolygon", "polygon")  # of its versions
AZURE_TEXTS = ("text", "content")


def _read_doctr(path: Path) -> Iterator[Picture]:
    """Read polygons by the names of images, in a list or by their classes."""
    document = read_json(path)

    def read_image(name: str) -> Picture:
        node = document.field(name)
        polygons = node.field("polygons")
        by_class = polygons.value if isinstance(polygons.value, dict) else {"": polygons.value}
        words: list[Instance] = []
        for label in by_class:
            outlines = polygons.field(label) if label else polygons
            found = readable(JsonNode.points, outlines.items())
            words += [make_instance(polygon, label=label) for polygon in found]
        return Picture(node.with_value(name), words)

    return readable(read_image, document.names())


def _read_via(path: Path) -> Iterator[Picture]:
    """Read the project, the JSON, or the CSV with a row for each region."""
    if path.suffix.lower() == ".csv":
        return _read_via_rows(path)
    document = read_json(path)
    images = document.optional("_via_img_metadata") or document
    return readable(lambda key: _read_via_image(images.field(key)), images.names())


def _read_via_image(node: JsonNode) -> Picture:
    regions = node.field("regions")
    if isinstance(regions.value, dict):  # of version 1
        regions = regions.with_value([*regions.value.values()])
    return Picture(node.field("filename"), list(readable(_via_region, regions.items())))


def _via_region(node: JsonNode) -> Instance:
    return _via_instance(node.field("shape_attributes"), node.optional("region_attributes"))


def _read_via_rows(path: Path) -> Iterator[Picture]:
    """Read the CSV; a row with an empty shape is of an image without text."""
    text = to_utf8(read_limited(path), str(path)).decode("utf-8")
    pictures: dict[str, Picture] = {}

    def read_row(row: dict[str, str]) -> None:
        source = f"{path}, line {rows.line_num}"
        missing = [key for key in ("filename", "region_shape_attributes") if not row.get(key)]
        if missing:
            raise UserError(f"{source}: no {missing[0]!r}; export it again")
        name = JsonNode(row["filename"], source, "filename")
        words: list = pictures.setdefault(name.value, Picture(name, [])).instances  # type: ignore[assignment]
        shape = parse_json(row["region_shape_attributes"].encode(), source)
        if shape.value:
            attributes = row.get("region_attributes") or "{}"
            words.append(_via_instance(shape, parse_json(attributes.encode(), source)))

    rows = csv.DictReader(io.StringIO(text, newline=""))
    rows.fieldnames = [name.lstrip("#") for name in rows.fieldnames or ()]
    for _ in readable(read_row, rows):
        pass
    return iter(pictures.values())


def _via_instance(shape: JsonNode, attributes: JsonNode | None) -> Instance:
    kind = shape.field("name").text()
    if kind == "polygon":
        axes = [shape.field(f"all_points_{axis}").numbers() for axis in "xy"]
        if len(axes[0]) != len(axes[1]):
            shape.fail(f"{len(axes[0])} x and {len(axes[1])} y; fix it")
        polygon = shape.with_value(np.transpose(axes).tolist()).points()
    elif kind == "rect":
        polygon = sized_box(shape, VIA_BOX)
    else:
        no_outline(shape, kind)
    text, label = first_text(attributes, TEXT_KEYS), first_text(attributes, CLASS_KEYS)
    return make_instance(polygon, text, label, is_marked(attributes))


def _read_supervisely(path: Path) -> Iterator[Picture]:
    document = read_json(path)
    words = list(readable(_read_object, document.field("objects").items()))
    yield Picture(name_of(path), words, stated_size(document.field("size")))


def _read_object(node: JsonNode) -> Instance:
    kind = node.field("geometryType").text()
    if kind not in ("polygon", "rectangle"):
        no_outline(node, kind)
    exterior = node.field("points").field("exterior")
    named = [(tag.field("name").text(), tag.optional("value")) for tag in node.items_of("tags")]
    # Most have no value.
    attributes = node.with_value({name: value.value if value else "1" for name, value in named})
    polygon = exterior.corners() if kind == "rectangle" else exterior.points()
    label, text = node.field("classTitle").text(), first_text(attributes, TEXT_KEYS)
    return make_instance(polygon, text, label, is_marked(attributes))


def _read_textract(path: Path) -> Iterator[Picture]:
    def read_block(node: JsonNode) -> Instance:
        polygon = node.field("Geometry").field("Polygon").points_by("XY")
        return make_instance(polygon, node.field("Text").text(), node.value["BlockType"].lower())

    blocks = list(read_json(path).field("Blocks").items())
    kinds = [block.field("BlockType").text() for block in blocks]
    _one_page([block for block, kind in zip(blocks, kinds) if kind == "PAGE"])
    texts = [block for block, kind in zip(blocks, kinds) if kind in ("WORD", "LINE")]
    yield Picture(name_of(path), list(readable(read_block, texts)))


def _one_page(pages: list[JsonNode]) -> None:
    if len(pages) > 1:
        pages[1].fail(ONE_PAGE.format(len(pages)))


def _read_google(path: Path) -> Iterator[Picture]:
    document = read_json(path)
    pages = list(document.find_all("pages"))
    _one_page(pages)
    size = next((stated_size(page) for page in pages), None)
    yield Picture(name_of(path), list(readable(_google_word, document.find_all("words"))), size)


def _google_word(node: JsonNode) -> Instance:
    text = "".join(symbol.field("text").text() for symbol in node.items_of("symbols"))
    return make_instance(points_xy(node.field("boundingBox").field("vertices")), text, "word")


def _read_azure(path: Path) -> Iterator[Picture]:
    document = read_json(path)
    pages = [*document.find_all("readResults"), *document.find_all("pages")]
    _one_page(pages)
    for page in pages:
        unit = page.optional("unit")
        if unit and unit.text() != "pixel":
            unit.fail(f"coordinates in {unit.text()}, of a PDF; send the picture of the page")
    levels = (("words", "word"), ("lines", "line"))
    found = [(node, label) for key, label in levels for node in document.find_all(key)]
    words = list(readable(lambda pair: _azure_text(*pair), found))
    sized = pages[0] if pages else document.optional("metadata")
    yield Picture(name_of(path), words, stated_size(sized) if sized else None)


def _azure_text(node: JsonNode, label: str) -> Instance:
    outline = next((found for key in AZURE_OUTLINES if (found := node.optional(key))), None)
    if outline is None:
        node.fail(f"no {AZURE_OUTLINES[0]!r}; this is no answer of Azure Read")
    is_flat = all(isinstance(item.value, int | float) for item in outline.items())
    polygon: np.ndarray = outline.flat_polygon() if is_flat else points_xy(outline)
    text = next((found.text() for key in AZURE_TEXTS if (found := node.optional(key))), "")
    return make_instance(polygon, text, label)


DOCTR = ToolFormat(
    "Prepare your data of docTR: labels.json with img_dimensions, img_hash and polygons.",
    suffixes=[".json"],
    mark=r'"img_dimensions"|\A\s*\{\s*"[^"]+"\s*:\s*\{\s*"(img_hash|polygons)"',
    read=_read_doctr,
    view="stored",
)
VIA = ToolFormat(
    "Prepare your data of VGG Image Annotator 1 or 2: JSON, CSV or the project.",
    suffixes=[".json", ".csv"],
    mark=r"region_shape_attributes|shape_attributes|_via_img_metadata|\"file_attributes\"",
    read=_read_via,
    view="displayed",
)
SUPERVISELY = ToolFormat(
    "Prepare your data of Supervisely: img/1.jpg with ann/1.jpg.json; polygons and rectangles.",
    suffixes=[".json"],
    mark=r'"geometryType"|"classTitle"|"objects":\s*\[\s*\]',
    read=_read_supervisely,
    by_stem=True,
)
TEXTRACT = ToolFormat(
    "Prepare labels by AWS Textract: the answer of detect_document_text for each image.",
    suffixes=[".json"],
    mark=r'"BlockType"',
    read=_read_textract,
    by_stem=True,
    fractions=True,
)
GOOGLE_VISION = ToolFormat(
    "Prepare labels by Google Vision: the answer of DOCUMENT_TEXT_DETECTION for each image.",
    suffixes=[".json"],
    mark=r'"(fullTextAnnotation|textAnnotations)"',
    read=_read_google,
    by_stem=True,
)
AZURE_READ = ToolFormat(
    "Prepare labels by Azure: the answer of Read, or of prebuilt-read, for each image.",
    suffixes=[".json"],
    mark=r'"(analyzeResult|readResults?)"',
    read=_read_azure,
    by_stem=True,
)
