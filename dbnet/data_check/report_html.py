"""The report as one HTML page, made from `report.html.jinja`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbnet.data_check.histograms import SCALES
from dbnet.data_check.inspection import WHOLE_FILE, Inspection, Place
from dbnet.data_check.kinds import ERROR, KINDS, WARNING
from dbnet.data_check.pictures import draw_entry
from dbnet.data_check.raw_entries import entry_problem
from dbnet.data_check.report_text import amount, file_table, verdict
from dbnet.data_check.summary import Example, KindSummary, Summary
from dbnet.visualization import page

Files = list[list[Any]]  # the entries of each annotation file

NUM_PICTURES = 3  # of a kind
NUM_LINES = 4  # below a picture of one of the worst images
BAR_LENGTH = 210  # pixels of the longest bar
TEMPLATE = Path(__file__).with_name("report.html.jinja")


class Figure(NamedTuple):
    """Pictures as data URIs, and the lines below them."""

    sources: list[str]
    lines: list[str]


class Bar(NamedTuple):
    """A bar of a histogram: its label, the lengths of its parts in pixels, and its number."""

    label: str
    counted: float
    ignored: float
    number: str


def write_page(path: Path, summary: Summary, files: Files, test_size: tuple[int, int]) -> None:
    """Write the report; the entries of `files` are those that were summed up."""
    worst = summary.worst.in_order()
    page.write_page(
        path,
        TEMPLATE,
        verdict=verdict(summary),
        worst_severity=next((name for name in (ERROR, WARNING) if summary.count(name)), "good"),
        test_size=test_size,
        file_table=file_table(summary),
        sections=[
            (name, KINDS[name], found, _examples(summary, found, files))
            for name, found in summary.by_severity()
        ],
        worst_images=_figures(_worst(summary, image, files) for _, image in worst),
        amount=amount,
        files=summary.files,
        scales=SCALES,
        bars=bars,
    )


def bars(labels: Sequence[str], counts: np.ndarray) -> list[Bar]:
    """Compute the stacked bars of a histogram from its `counts`, (2, bins): counted and ignored."""
    totals = counts.sum(axis=0)
    longest, everything = max(int(totals.max()), 1), max(int(totals.sum()), 1)
    found = []
    for label, total, parts in zip(labels, totals.tolist(), counts.T.tolist()):
        counted, ignored = (
            max(round(n / longest * BAR_LENGTH, 1), 1.0) if n else 0.0 for n in parts
        )
        share = "<1%" if total < 0.005 * everything else f"{total / everything:.0%}"
        found.append(Bar(label, counted, ignored, f"{total} ({share})" if total else "0"))
    return found


def _examples(summary: Summary, found: KindSummary, files: Files) -> list[Figure]:
    return _figures(_example(summary, example, files) for example in found.examples[:NUM_PICTURES])


def _example(summary: Summary, example: Example, files: Files) -> Figure:
    place, finding = example.place, example.finding
    words = {word for word in (finding.word, finding.twin) if word is not None}
    sources = [_draw(summary, place, words, files, close=bool(words))]
    if example.twin is not None:
        sources.append(_draw(summary, example.twin, set(), files))
    return Figure(list(filter(None, sources)), [example.img_path, finding.describe()])


def _worst(summary: Summary, image: Inspection, files: Files) -> Figure:
    found = [f for f in image.findings if KINDS[f.kind].severity in (ERROR, WARNING)]
    words = {finding.word for finding in found if finding.word is not None}
    lines = [f"{finding.kind}: {finding.describe()}" for finding in found[:NUM_LINES]]
    lines += [f"... and {len(found) - NUM_LINES} more"] if len(found) > NUM_LINES else []
    source = _draw(summary, image.place, words, files)
    return Figure([source] if source else [], [image.img_path, *lines])


def _figures(figures: Iterator[Figure]) -> list[Figure]:
    return [figure for figure in figures if figure.sources]


def _draw(
    summary: Summary, place: Place, words: set[int], files: Files, close: bool = False
) -> str | None:
    if place.item == WHOLE_FILE:
        return None
    entry = files[place.file][place.item]
    if entry_problem(entry):
        return None
    return draw_entry(summary.files[place.file].path.parent, entry, words, close)
