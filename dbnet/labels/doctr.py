"""docTR's `labels.json`: polygons by the names of images, in a list or by their classes."""

from collections.abc import Iterator
from pathlib import Path

from dbnet.labels.entries import Instance
from dbnet.labels.faults import readable
from dbnet.labels.json_node import JsonNode, read_json
from dbnet.labels.tool_format import Picture, ToolFormat, make_instance


def _read(path: Path) -> Iterator[Picture]:
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
        return Picture(JsonNode(name, node.source, node.path), words)

    return readable(read_image, document.names())


DOCTR = ToolFormat(
    "Prepare your data of docTR: labels.json with img_dimensions, img_hash and polygons.",
    suffixes=[".json"],
    mark=r'"img_dimensions"|\A\s*\{\s*"[^"]+"\s*:\s*\{\s*"(img_hash|polygons)"',
    read=_read,
    view="stored",
)
