"""The protocols by name, and what they count in a dataset."""

from collections.abc import Callable, Iterable, Sequence

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


def count_scenes(scenes: Iterable[Scene], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Count the N images of a dataset by some protocols: (N, 4) float64 each, rows of `Row`."""
    rows = [[PROTOCOLS[name](scene) for name in names] for scene in scenes]
    counts = np.array(rows, np.float64).reshape(len(rows), len(names), len(Row._fields))
    return {name: counts[:, index] for index, name in enumerate(names)}
