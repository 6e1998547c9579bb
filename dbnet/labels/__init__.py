"""Formats of labels: a preparer for each public dataset and each format that users have."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dbnet.errors import UserError
from dbnet.labels import public
from dbnet.labels.entries import Entries, Request
from dbnet.labels.json_formats import AZURE_READ, DOCTR, GOOGLE_VISION, SUPERVISELY, TEXTRACT, VIA
from dbnet.labels.label_studio import LABEL_STUDIO
from dbnet.labels.labelme import prepare_labelme
from dbnet.labels.other_datasets import (
    prepare_cocotext,
    prepare_synthtext,
    prepare_textocr,
    prepare_totaltext,
)
from dbnet.labels.part_formats import COCO, MMOCR, MMOCR0, PADDLEOCR
from dbnet.labels.parts import list_visible
from dbnet.labels.text_formats import YOLO, prepare_icdar_folder
from dbnet.labels.tool_format import ToolFormat, read_start
from dbnet.labels.xml_formats import ALTO, CVAT, HOCR, PAGE, VOC

# Returns the entries of "train", "test" and other parts.
Preparer = Callable[[Request], Mapping[str, Entries]]

# Of labelling tools, digitised pages and OCR services.
TOOLS: dict[str, ToolFormat] = {
    "labelstudio": LABEL_STUDIO,
    "cvat": CVAT,
    "doctr": DOCTR,
    "via": VIA,
    "voc": VOC,
    "yolo": YOLO,
    "supervisely": SUPERVISELY,
    "page": PAGE,
    "alto": ALTO,
    "hocr": HOCR,
    "textract": TEXTRACT,
    "google_vision": GOOGLE_VISION,
    "azure_read": AZURE_READ,
}
PUBLIC: dict[str, Preparer] = {
    "icdar2013": public.ICDAR2013,
    "icdar2013_born_digital": public.ICDAR2013_BORN_DIGITAL,
    "icdar2015": public.ICDAR2015,
    "icdar2017_mlt": public.ICDAR2017_MLT,
    "icdar2019_mlt": public.ICDAR2019_MLT,
    "totaltext": prepare_totaltext,
    "ctw1500": public.CTW1500,
    "td500": public.TD500,
    "synthtext": prepare_synthtext,
    "cocotext": prepare_cocotext,
    "textocr": prepare_textocr,
}
# Formats that users have, whose folders may be named one by one.
OWN_DATA: dict[str, Preparer] = {
    "icdar_folder": prepare_icdar_folder,
    "coco": COCO,
    "labelme": prepare_labelme,
    "mmocr": MMOCR,
    "mmocr0": MMOCR0,
    "paddleocr": PADDLEOCR,
    **TOOLS,
}
PREPARERS = {**PUBLIC, **OWN_DATA}


def describe(preparer: Preparer) -> str:
    """Return a line for `dbnet prepare --list`."""
    return getattr(preparer, "about", None) or (preparer.__doc__ or "").splitlines()[0]


# What begins the label files of a format: suffixes, and an expression as `ToolFormat.mark`.
MARKS: dict[str, tuple[Sequence[str], str]] = {
    "labelme": ([".json"], '"shapes"'),
    "mmocr": ([".json"], '"data_list"'),
    "paddleocr": ([".txt"], r"\A[^\t\n]+\t\s*\["),
    **{name: (tool.suffixes, tool.mark) for name, tool in TOOLS.items()},
    "coco": ([".json"], r'"(images|categories|annotations)"\s*:\s*\['),
    "icdar_folder": ([".txt"], r"\A(\xef\xbb\xbf)?\s*-?\d+(\.\d+)?\s*,"),
}


def recognise(folder: Path) -> str:
    """Return the format of the labels in a folder, by what its files begin with.

    A `UserError` if they have no known format, or there are several.
    """
    found: dict[str, Path] = {}
    for path in list_visible(
        folder, {suffix for suffixes, _ in MARKS.values() for suffix in suffixes}
    ):
        start = read_start(path)
        fitting = (
            name
            for name, (suffixes, mark) in MARKS.items()
            if start.strip() and path.suffix.lower() in suffixes and re.search(mark.encode(), start)
        )
        found.setdefault(next(fitting, ""), path)
    found.pop("", None)
    if len(found) == 1:
        return next(iter(found))
    several = " and ".join(f"{path} of {name}" for name, path in [*found.items()][:2])
    raise UserError(f"{folder} has {several or 'no label file that is known'}; pass --from FORMAT")
