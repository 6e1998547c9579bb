"""What OCR services answer: AWS Textract, Google Vision and Azure Read, a JSON for each image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.shapes import points_xy
from dbnet.labels.tool_format import Picture, ToolFormat, make_instance, name_of, stated_size

OUTLINES = ("boundingBox", "boundingPolygon", "polygon")  # of Azure's versions
TEXTS = ("text", "content")


def _read_textract(path: Path) -> Iterator[Picture]:
    def read_block(node: JsonNode) -> Instance:
        points = [
            [point.field(axis).number() for axis in "XY"]
            for point in node.field("Geometry").field("Polygon").items()
        ]
        polygon = JsonNode(points, node.source, node.path).points()
        return make_instance(polygon, node.field("Text").text(), node.value["BlockType"].lower())

    blocks = list(read_json(path).field("Blocks").items())
    kinds = [block.field("BlockType").text() for block in blocks]
    pages = [block for block, kind in zip(blocks, kinds) if kind == "PAGE"]
    _one_page(pages)
    texts = [block for block, kind in zip(blocks, kinds) if kind in ("WORD", "LINE")]
    yield Picture(name_of(path), list(readable(read_block, texts)))


def _one_page(pages: list[JsonNode]) -> None:
    if len(pages) > 1:
        pages[1].fail(f"{len(pages)} pages; a file for each page is needed")


def _read_google(path: Path) -> Iterator[Picture]:
    document = read_json(path)
    pages = list(document.find_all("pages"))
    _one_page(pages)
    size = next((stated_size(page) for page in pages), None)
    yield Picture(name_of(path), list(readable(_google_word, document.find_all("words"))), size)


def _google_word(node: JsonNode) -> Instance:
    symbols = node.optional("symbols")
    texts = [s.field("text").text() for s in symbols.items()] if symbols else []
    return make_instance(
        points_xy(node.field("boundingBox").field("vertices")), "".join(texts), "word"
    )


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
    outline = next((found for key in OUTLINES if (found := node.optional(key))), None)
    if outline is None:
        node.fail(f"no {OUTLINES[0]!r}; this is no answer of Azure Read")
    flat = [item.value for item in outline.items()]
    is_flat = all(isinstance(value, int | float) for value in flat)
    polygon: np.ndarray = outline.flat_polygon() if is_flat else points_xy(outline)
    text = next((found.text() for key in TEXTS if (found := node.optional(key))), "")
    return make_instance(polygon, text, label)


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
