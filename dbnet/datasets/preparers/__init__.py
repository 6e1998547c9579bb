"""Preparers: one module per public data set, from its downloads to annotation entries."""

from collections.abc import Callable
from pathlib import Path

from dbnet.datasets.preparers.annotation import Entry
from dbnet.datasets.preparers.icdar2015 import prepare_icdar2015

# (raw folder, output folder, whether to copy) -> entries of "train" and "test". The first line of
# the function's docstring is what `--list` prints.
Preparer = Callable[[Path, Path, bool], dict[str, list[Entry]]]

PREPARERS: dict[str, Preparer] = {
    "icdar2015": prepare_icdar2015,
}
