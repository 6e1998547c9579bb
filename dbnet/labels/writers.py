"""The formats that labels and predictions are written in, one function for each."""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from dbnet.geometry import signed_area
from dbnet.labels.entries import Instance, relative_path
from dbnet.labels.label_files import Page, Writer
from dbnet.labels.text_formats import NUMBER
from dbnet.labels.text_lines import UNREADABLE

Files = Iterator[tuple[str, str]]

TEXT = "text"  # the class of what is not ignored
DECIMALS = 3  # of pixels
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
LABEL_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <PolygonLabels name="label" toName="image">
    <Label value="text" background="#1f77b4"/>
    <Label value="###" background="#7f7f7f"/>
  </PolygonLabels>
  <TextArea name="transcription" toName="image" perRegion="true" editable="true"/>
</View>
"""
CVAT_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><size>{size}</size><mode>annotation</mode><labels><label><name>text</name><attributes>
    <attribute><name>text</name><mutable>False</mutable><input_type>text</input_type>
      <default_value></default_value><values></values></attribute>
    <attribute><name>ignore</name><mutable>False</mutable><input_type>checkbox</input_type>
      <default_value>false</default_value><values>false</values></attribute>
  </attributes></label></labels></task></meta>"""
DATA_YAML = """# Put the images into images/ beside labels/.
path: .
train: images
val: images
names:
  0: text
  1: '###'
"""


def labelme(pages: Sequence[Page], out: Path, model: str) -> Files:
    """A JSON for each image, with the scores of predictions as X-AnyLabeling has them."""
    for page in pages:
        name = str(PurePosixPath(page.name).with_suffix(".json"))
        shapes = [
            dict(
                label=TEXT,
                points=_rounded(word.polygon).tolist(),
                group_id=None,
                description=word.text,
                shape_type="polygon",
                flags={"ignore": True} if word.ignored else {},
                **score,
            )
            for word, score in _scored(page)
        ]
        document: dict[str, Any] = dict(
            version="5.5.0",
            flags={},
            shapes=shapes,
            imagePath=relative_path(page.image, (out / name).parent),
            imageData=None,
            imageHeight=page.shape[0],
            imageWidth=page.shape[1],
        )
        yield name, _dump(document, indent=1)


def paddleocr(pages: Sequence[Page], out: Path, model: str) -> Files:
    """`Label.txt`, and `fileState.txt` with the images whose labels are no predictions."""
    lines = []
    for page in pages:
        texts = [
            dict(
                transcription=_or_unreadable(word),
                points=_rounded(word.polygon).tolist(),
                difficult=word.ignored and _or_unreadable(word) != UNREADABLE,
            )
            for word in page.instances
        ]
        lines.append(f"{page.folder}/{page.name}\t{_dump(texts)}\n")
    yield "Label.txt", "".join(lines)
    yield "fileState.txt", "".join(f"{page.image}\t1\n" for page in pages if page.scores is None)


def coco(pages: Sequence[Page], out: Path, model: str) -> Files:
    """`instances.json`, in which the texts of an image are its annotations."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, page in enumerate(pages, 1):
        height, width = page.shape
        images.append(dict(id=number, file_name=page.name, height=height, width=width))
        for word, score in _scored(page):
            polygon = _rounded(word.polygon)
            corner, size = polygon.min(axis=0), np.ptp(polygon, axis=0)
            annotation = dict(
                id=len(annotations) + 1,
                image_id=number,
                category_id=1,
                segmentation=[polygon.ravel().tolist()],
                bbox=[*corner.tolist(), *size.round(DECIMALS).tolist()],
                area=round(abs(signed_area(polygon)), 2),
                iscrowd=int(word.ignored),
                text=word.text,
            )
            annotations.append({**annotation, **score})
    categories = [dict(id=1, name=TEXT, supercategory="")]
    document = dict(images=images, annotations=annotations, categories=categories)
    yield "instances.json", _dump(document)


def icdar(pages: Sequence[Page], out: Path, model: str) -> Files:
    """`gt_IMAGE.txt` for each image, a text in a line."""
    for page in pages:
        path = PurePosixPath(page.name)
        lines = [f"{_joined(word.polygon, 2)},{_icdar_text(word)}\n" for word in page.instances]
        yield str(path.with_name(f"gt_{path.stem}.txt")), "".join(lines)


def _icdar_text(word: Instance) -> str:
    """Write a transcription in a line, in quotes where it would be read as a coordinate."""
    text = " ".join(UNREADABLE.split() if word.ignored else word.text.split())
    if NUMBER.fullmatch(text.split(",")[0]) or text.startswith('"'):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return text


def labelstudio(pages: Sequence[Page], out: Path, model: str) -> Files:
    """`tasks.json` for the import, and `label_config.xml`, the template that fits it."""
    tasks = []
    for page in pages:
        numbers = range(len(page.instances))
        results = list(chain.from_iterable(_regions(page, number) for number in numbers))
        if page.scores is None:
            done: dict[str, Any] = dict(annotations=[dict(result=results)])
        else:
            score = float(np.mean(page.scores)) if len(page.scores) else 0.0
            done = dict(predictions=[dict(model_version=model, score=score, result=results)])
        url = f"/data/local-files/?d={quote(f'{page.folder}/{page.name}')}"
        tasks.append(dict(data={"image": url}, **done))
    yield "tasks.json", _dump(tasks, indent=1)
    yield "label_config.xml", LABEL_CONFIG


def _regions(page: Page, number: int) -> Iterator[dict[str, Any]]:
    """Describe a text: its polygon in percent, and its transcription if there is one."""
    word, height, width = page.instances[number], *page.shape
    points = (np.asarray(word.polygon, np.float64) / (width, height) * 100).round(7).tolist()
    common = dict(
        id=f"text{number}",
        to_name="image",
        original_width=width,
        original_height=height,
        image_rotation=0,
    )
    value: dict[str, Any] = dict(points=points, closed=True)
    label = UNREADABLE if word.ignored else TEXT
    score = {} if page.scores is None else {"score": float(page.scores[number])}
    labelled = {**value, "polygonlabels": [label]}
    yield {**common, "from_name": "label", "type": "polygonlabels", "value": labelled, **score}
    if word.text:
        said = {**value, "text": [word.text]}
        yield {**common, "from_name": "transcription", "type": "textarea", "value": said}


def cvat(pages: Sequence[Page], out: Path, model: str) -> Files:
    """`annotations.xml` of version 1.1 for images."""
    lines = [CVAT_HEAD.format(size=len(pages))]
    for number, page in enumerate(pages):
        height, width = page.shape
        name = quoteattr(NOT_IN_XML.sub("?", page.name))
        lines.append(f'  <image id="{number}" name={name} width="{width}" height="{height}">')
        source = "manual" if page.scores is None else "auto"
        for word in page.instances:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in np.asarray(word.polygon).tolist())
            values = [("text", word.text)] if word.text else []
            values += [("ignore", "true")] if word.ignored else []
            inner = "".join(
                f'<attribute name="{key}">{escape(NOT_IN_XML.sub("?", value))}</attribute>'
                for key, value in values
            )
            lines.append(
                f'    <polygon label="{TEXT}" source="{source}" occluded="0" points="{points}" '
                f'z_order="0">{inner}</polygon>'
            )
        lines.append("  </image>")
    yield "annotations.xml", "\n".join([*lines, "</annotations>", ""])


def yolo(pages: Sequence[Page], out: Path, model: str) -> Files:
    """`labels/IMAGE.txt` and `data.yaml`: turned boxes, polygons where there are more corners."""
    for page in pages:
        size = np.array(page.shape[::-1])
        lines = [
            f"{int(word.ignored)} {_joined(word.polygon / size, 8, ' ')}\n"
            for word in page.instances
        ]
        yield f"labels/{PurePosixPath(page.name).with_suffix('.txt')}", "".join(lines)
    yield "data.yaml", DATA_YAML


def _scored(page: Page) -> list[tuple[Instance, dict[str, float]]]:
    if page.scores is None:
        return [(word, {}) for word in page.instances]
    return [(word, {"score": float(score)}) for word, score in zip(page.instances, page.scores)]


def _or_unreadable(word: Instance) -> str:
    return UNREADABLE if word.ignored and not word.text else word.text


def _rounded(polygon: np.ndarray) -> np.ndarray:
    return np.asarray(polygon, np.float64).round(DECIMALS)


def _joined(polygon: np.ndarray, decimals: int, separator: str = ",") -> str:
    """Write the coordinates of a polygon, whole numbers without a point.

    >>> _joined(np.array([[0, 0.5], [1.25, 2]]), 2)
    '0,0.5,1.25,2'
    """
    numbers = [f"{n:.{decimals}f}".rstrip("0").rstrip(".") for n in np.ravel(polygon).tolist()]
    return separator.join("0" if number in ("-0", "") else number for number in numbers)


def _dump(value: object, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


WRITERS = {
    "labelme": Writer("LabelMe, X-AnyLabeling", "displayed", labelme),
    "paddleocr": Writer("PPOCRLabel", "displayed", paddleocr),
    "coco": Writer("COCO's tools", "stored", coco),
    "icdar": Writer("text files in ICDAR's manner", "stored", icdar),
    "labelstudio": Writer("Label Studio", "displayed", labelstudio),
    "cvat": Writer("CVAT", "displayed", cvat),
    "yolo": Writer("Ultralytics", "displayed", yolo),
}
