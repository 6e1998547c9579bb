"""Formats of labels: a preparer for each public dataset and each format that users have."""

from collections.abc import Callable, Mapping

from dbnet.labels import public
from dbnet.labels.coco import COCO
from dbnet.labels.cocotext_textocr import prepare_cocotext, prepare_textocr
from dbnet.labels.cvat import CVAT
from dbnet.labels.doctr import DOCTR
from dbnet.labels.entries import Entries
from dbnet.labels.icdar_folder import prepare_icdar_folder
from dbnet.labels.label_studio import LABEL_STUDIO
from dbnet.labels.labelme import prepare_labelme
from dbnet.labels.mmocr import MMOCR, MMOCR0
from dbnet.labels.paddleocr import PADDLEOCR
from dbnet.labels.pages import ALTO, HOCR, PAGE
from dbnet.labels.request import Request
from dbnet.labels.services import AZURE_READ, GOOGLE_VISION, TEXTRACT
from dbnet.labels.supervisely import SUPERVISELY
from dbnet.labels.synthtext import prepare_synthtext
from dbnet.labels.tool_format import ToolFormat
from dbnet.labels.totaltext import prepare_totaltext
from dbnet.labels.via import VIA
from dbnet.labels.voc import VOC
from dbnet.labels.yolo import YOLO

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
