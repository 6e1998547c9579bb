"""Preparers: one module per public data set or label format, from its files to entries."""

from collections.abc import Callable, Mapping
from pathlib import Path

from dbnet.labels.annotation import Entries
from dbnet.labels.coco import prepare_coco
from dbnet.labels.coco_text import prepare_cocotext
from dbnet.labels.ctw1500 import prepare_ctw1500
from dbnet.labels.icdar2013 import prepare_icdar2013, prepare_icdar2013_born_digital
from dbnet.labels.icdar2015 import prepare_icdar2015
from dbnet.labels.icdar_folder import prepare_icdar_folder
from dbnet.labels.labelme import prepare_labelme
from dbnet.labels.mlt import prepare_icdar2017_mlt, prepare_icdar2019_mlt
from dbnet.labels.mmocr import prepare_mmocr
from dbnet.labels.mmocr0 import prepare_mmocr0
from dbnet.labels.paddleocr import prepare_paddleocr
from dbnet.labels.synthtext import prepare_synthtext
from dbnet.labels.td500 import prepare_td500
from dbnet.labels.textocr import prepare_textocr
from dbnet.labels.totaltext import prepare_totaltext

# (raw folder, output folder, whether to copy) -> entries of "train", "test". The first line of
# the function's docstring is what `--list` prints.
Preparer = Callable[[Path, Path, bool], Mapping[str, Entries]]

PREPARERS: dict[str, Preparer] = {
    "icdar2013": prepare_icdar2013,
    "icdar2013_born_digital": prepare_icdar2013_born_digital,
    "icdar2015": prepare_icdar2015,
    "icdar2017_mlt": prepare_icdar2017_mlt,
    "icdar2019_mlt": prepare_icdar2019_mlt,
    "totaltext": prepare_totaltext,
    "ctw1500": prepare_ctw1500,
    "td500": prepare_td500,
    "synthtext": prepare_synthtext,
    "cocotext": prepare_cocotext,
    "textocr": prepare_textocr,
    "icdar_folder": prepare_icdar_folder,
    "coco": prepare_coco,
    "labelme": prepare_labelme,
    "mmocr": prepare_mmocr,
    "mmocr0": prepare_mmocr0,
    "paddleocr": prepare_paddleocr,
}
