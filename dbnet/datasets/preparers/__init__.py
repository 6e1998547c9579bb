"""Preparers: one module per public data set or label format, from its files to entries."""

from collections.abc import Callable, Mapping
from pathlib import Path

from dbnet.datasets.preparers.annotation import Entries
from dbnet.datasets.preparers.coco import prepare_coco
from dbnet.datasets.preparers.coco_text import prepare_cocotext
from dbnet.datasets.preparers.ctw1500 import prepare_ctw1500
from dbnet.datasets.preparers.icdar2013 import prepare_icdar2013, prepare_icdar2013_born_digital
from dbnet.datasets.preparers.icdar2015 import prepare_icdar2015
from dbnet.datasets.preparers.icdar_folder import prepare_icdar_folder
from dbnet.datasets.preparers.labelme import prepare_labelme
from dbnet.datasets.preparers.mlt import prepare_icdar2017_mlt, prepare_icdar2019_mlt
from dbnet.datasets.preparers.mmocr import prepare_mmocr
from dbnet.datasets.preparers.mmocr0 import prepare_mmocr0
from dbnet.datasets.preparers.paddleocr import prepare_paddleocr
from dbnet.datasets.preparers.synthtext import prepare_synthtext
from dbnet.datasets.preparers.td500 import prepare_td500
from dbnet.datasets.preparers.textocr import prepare_textocr
from dbnet.datasets.preparers.totaltext import prepare_totaltext

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
