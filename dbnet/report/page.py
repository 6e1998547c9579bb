"""The page of `dbnet report`, made from `report.html.jinja`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dbnet.evaluation.files import GroundTruth
from dbnet.geometry import transform
from dbnet.report.causes import FALSE_ALARMS, MISSES
from dbnet.report.examination import (
    FIGURES,
    Change,
    Examined,
    Point,
    changes_of,
    differences_of,
    read_or_none,
)
from dbnet.report.slices import SLICES
from dbnet.visualization.detections import layers_of
from dbnet.visualization.draw import draw_layers, resize_to_fit
from dbnet.visualization.page import to_source, write_page

TEMPLATE = Path(__file__).with_name("report.html.jinja")
SIZE = (800, 600)  # (W, H) of a picture at most
NUM_WORST = 12  # pictures of one result; of two, half as many each
NUM_CHANGED = 4  # images that gained most, and as many that lost most, two pictures each
NUM_CHANGES = 200  # lines of the table of changed images
PLOT = (60, 10, 360, 300)  # left, top, width and height of the curve's axes
NAMES = {"icdar2015": "icdar2015: all predictions, the official hmean"}


class Picture(NamedTuple):
    """An image drawn for each result, None where it cannot be read, with the lines below it."""

    sources: list[str | None]
    lines: list[str]


def write_report(
    path: Path,
    results: Sequence[Examined],
    truths: Mapping[str, GroundTruth],
    images: Sequence[str | None],
    notes: Sequence[str],
) -> None:
    """Write the page of one or two results, after `examine_images`, on the N images."""
    stems, two = list(truths), len(results) == 2
    changes = changes_of(*results) if two else []
    ends = [c for c in changes[:NUM_CHANGED] if c.net > 0]
    ends += [c for c in changes[::-1][:NUM_CHANGED] if c.net < 0]
    most = sorted(changes, key=lambda c: (-len(c.gained) - len(c.lost) - abs(c.false_alarms), c))
    write_page(
        path,
        TEMPLATE,
        results=results,
        num_images=len(truths),
        num_ignored=sum(sum(truth.ignored) for truth in truths.values()),
        num_texts=sum(len(truth.ignored) for truth in truths.values()),
        notes=notes,
        names=FIGURES | {key: NAMES.get(key, key) for key in results[0].counts if key != "icdar"},
        figures=[result.figures() for result in results],
        differences=differences_of(*results) if two else {},
        causes=list(zip(("Misses", "False alarms"), (MISSES, FALSE_ALARMS))),
        num_causes=[result.causes() for result in results],
        slices=SLICES,
        plot=PLOT,
        place=place,
        path_of=path_of,
        stems=stems,
        changes=most[:NUM_CHANGES],
        num_changes=len(changes),
        gained=sum(len(c.gained) for c in changes),
        lost=sum(len(c.lost) for c in changes),
        changed=[_changed(results, stems, images, c) for c in ends],
        worst=[
            [_picture([result], images[i], i, [f"{stems[i]}: {_errors(result, i)}"]) for i in most_]
            for result in results
            for most_ in [result.worst(NUM_WORST // len(results))]
        ],
    )


def place(point: Point) -> tuple[float, float]:
    """Return where a point of recall (to the right) and precision (upwards) is in the plot."""
    left, top, width, height = PLOT
    return round(left + width * point.recall, 1), round(top + height * (1 - point.precision), 1)


def path_of(curve: Iterable[Point]) -> str:
    """Write a curve as the points of an SVG polyline, each place once."""
    return " ".join(dict.fromkeys("{},{}".format(*place(point)) for point in curve))


def _changed(
    results: Sequence[Examined], stems: Sequence[str], images: Sequence[str | None], change: Change
) -> Picture:
    lines = [f"{stems[change.image]}: {describe(change)}"]
    lines += [f"{result.name}: {_errors(result, change.image)}" for result in results]
    return _picture(results, images[change.image], change.image, lines)


def describe(change: Change) -> str:
    """State what a second result gained and lost in an image."""
    return (
        f"gained {len(change.gained)}, lost {len(change.lost)}, "
        f"false alarms {change.false_alarms:+d}"
    )


def _errors(result: Examined, image: int) -> str:
    judgement = result.judgements[image]
    alarms = "false alarm" if len(judgement.false_alarms) == 1 else "false alarms"
    kinds = (("missed", judgement.misses), (alarms, judgement.false_alarms))
    parts = [f"{len(of)} {name}{_by_cause(list(of.values()))}" for name, of in kinds if of]
    return "; ".join(parts) or "no errors"


def _by_cause(causes: list[str]) -> str:
    return f" ({', '.join(f'{cause} {causes.count(cause)}' for cause in dict.fromkeys(causes))})"


def _picture(
    results: Sequence[Examined], path: str | None, image: int, lines: list[str]
) -> Picture:
    picture = read_or_none(path)
    if picture is None:
        return Picture([], [*lines, "(no picture)"])
    small, matrix = resize_to_fit(picture, SIZE)
    sources = []
    for result in results:
        scene, verdict = result.scenes[image], result.judgements[image].verdict
        texts = [transform(polygon, matrix) for polygon in scene.texts]
        predictions = [transform(polygon, matrix) for polygon in scene.predictions]
        sources.append(to_source(draw_layers(small, layers_of(verdict, texts, predictions))))
    return Picture(list(sources), lines)
