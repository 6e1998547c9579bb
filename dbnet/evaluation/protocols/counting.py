"""The protocols by name, and the counts of a data set by one of them."""

from collections.abc import Callable

import numpy as np

from dbnet.evaluation.protocols.cleval import count_cleval
from dbnet.evaluation.protocols.overlap import (
    count_ctw1500,
    count_icdar2015,
    count_td500,
    count_tiou,
)
from dbnet.evaluation.protocols.scene import Row, Scene
from dbnet.evaluation.protocols.wolf import (
    count_deteval,
    count_icdar2013,
    count_icdar2013_deteval,
    count_totaltext,
)

PROTOCOLS: dict[str, Callable[[Scene], Row]] = {
    "icdar2015": count_icdar2015,
    "icdar2013": count_icdar2013,
    "icdar2013_deteval": count_icdar2013_deteval,
    "deteval": count_deteval,
    "totaltext": count_totaltext,
    "ctw1500": count_ctw1500,
    "td500": count_td500,
    "mlt": count_icdar2015,
    "cleval": count_cleval,
    "tiou": count_tiou,
}
