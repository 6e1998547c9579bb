"""The protocols by name, what they count in a dataset, and what to know of their figures."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dbnet.evaluation.protocols import cleval, overlap, wolf
from dbnet.evaluation.protocols.scene import Array, Row, Scene

OF_BOXES = ("icdar2013", "icdar2013_deteval")
OF_POLYGONS = ("totaltext", "ctw1500")
PROTOCOLS: dict[str, Callable[[Scene], Row]] = {
    "icdar2015": overlap.count_icdar2015,
    "icdar2013": wolf.count_icdar2013,
    "icdar2013_deteval": wolf.count_icdar2013_deteval,
    "deteval": wolf.count_deteval,
    "totaltext": wolf.count_totaltext,
    "ctw1500": overlap.count_ctw1500,
    "td500": overlap.count_td500,
    "mlt": overlap.count_icdar2015,
    "cleval": cleval.count_cleval,
    "tiou": overlap.count_tiou,
}


def count_scenes(scenes: Iterable[Scene], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Count the N images of a dataset by some protocols: (N, 4) float64 each, rows of `Row`."""
    rows = [[PROTOCOLS[name](scene) for name in names] for scene in scenes]
    counts = np.array(rows, np.float64).reshape(len(rows), len(names), len(Row._fields))
    return {name: counts[:, index] for index, name in enumerate(names)}


def notes_on(scenes: Sequence[Scene], names: Iterable[str]) -> list[str]:
    """Compare what is to be measured with what the named protocols do; nothing is refused."""
    texts = [polygon for scene in scenes for polygon in scene.texts]
    predictions = [polygon for scene in scenes for polygon in scene.predictions]
    outlines = [*texts, *predictions]
    notes = []
    empty = sum(int((scene.areas[1] == 0).sum()) for scene in scenes)
    if empty:
        notes.append(
            f"{_of(empty, len(predictions), 'predictions')} have no area, such as two points"
        )
    for name in names:
        if name in OF_BOXES and (others := sum(not _is_box(p) for p in outlines)):
            which = _of(others, len(outlines), "outlines")
            notes.append(f"{name} measures boxes: {which} are none and became their bounding boxes")
        if name == "td500" and (others := sum(len(p) != 4 for p in outlines)):
            which = _of(others, len(outlines), "outlines")
            notes.append(f"td500 measures rectangles: {which} became their least rectangles")
        if name in OF_POLYGONS and _all_quads(predictions) and not _all_quads(texts):
            notes.append(
                f"{name} measures polygons, but all predictions have four corners; a postprocessor "
                'with text_repr_type="poly" gives polygons'
            )
        if name == "cleval" and (others := sum(s.num_chars.count(-1) for s in scenes)):
            which = _of(others, len(texts), "texts")
            notes.append(f"cleval: {which} have no transcription, their shape tells their length")
    return notes


def _of(some: int, number: int, name: str) -> str:
    return f"{some} of {number} {name}"


def _all_quads(polygons: Sequence[Array]) -> bool:
    return all(len(polygon) == 4 for polygon in polygons)


def _is_box(polygon: Array) -> bool:
    """Check for four sides, level and upright in turn."""
    steps = np.roll(polygon, -1, axis=0) - polygon
    first = steps[:, 0] == 0
    upright = len(polygon) == 4 and (first[0] != first[1]) and (first[:2] == first[2:]).all()
    return bool(upright and (steps == 0).any(axis=1).all())
