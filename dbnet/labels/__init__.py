"""Formats of labels: a preparer for each public dataset and each format that users have."""

from collections.abc import Callable, Mapping

from dbnet.labels import public
from dbnet.labels.coco import COCO
from dbnet.labels.cocotext_textocr import prepare_cocotext, prepare_textocr
from dbnet.labels.entries import Entries
from dbnet.labels.icdar_folder import prepare_icdar_folder
from dbnet.labels.labelme import prepare_labelme
from dbnet.labels.mmocr import MMOCR, MMOCR0
from dbnet.labels.paddleocr import PADDLEOCR
from dbnet.labels.request import Request
from dbnet.labels.synthtext import prepare_synthtext
from dbnet.labels.totaltext import prepare_totaltext

# Returns the entries of "train", "test" and other parts.
Preparer = Callable[[Request], Mapping[str, Entries]]

PREPARERS: dict[str, Preparer] = {
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
    "icdar_folder": prepare_icdar_folder,
    "coco": COCO,
    "labelme": prepare_labelme,
    "mmocr": MMOCR,
    "mmocr0": MMOCR0,
    "paddleocr": PADDLEOCR,
}
# Formats that users have, whose folders may be named one by one.
OWN_DATA = ("icdar_folder", "coco", "labelme", "mmocr", "mmocr0", "paddleocr")


def describe(preparer: Preparer) -> str:
    """Return a line for `dbnet prepare --list`."""
    return getattr(preparer, "about", None) or (preparer.__doc__ or "").splitlines()[0]
