"""What was found in a terminal, as a JSON file for programs, and as one HTML page."""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dbnet.data_check.inspection import WHOLE_FILE, Inspection, Place, entry_problem
from dbnet.data_check.kinds import ERROR, KINDS, SEVERITIES, WARNING
from dbnet.data_check.pictures import draw_entry
from dbnet.data_check.summary import SCALES, Example, FileSummary, Summary
from dbnet.utils.files import replace_when_complete
from dbnet.utils.text import format_table
from dbnet.visualization import page

Files = list[list[Any]]  # the entries of each annotation file

NUM_PICTURES = 3  # of a kind
NUM_LINES = 4  # below a picture of one of the worst images
BAR_LENGTH = 210  # pixels of the longest bar
TEMPLATE = Path(__file__).with_name("report.html.jinja")
NUM_EXAMPLES = 3  # of a kind, in a terminal


def format_report(summary: Summary) -> str:
    """Format files and findings in lines, the most serious first."""
    blocks = ["\n".join([*format_table(file_table(summary)), *summary.remarks])]
    for name, kind in summary.by_severity():
        severity, rule, fix = KINDS[name]
        lines = [f"{severity}: {name}: {amount(kind.num_findings, kind.num_images)}", f"  {rule}"]
        lines += [f"    {locate(summary, ex)}" for ex in kind.examples[:NUM_EXAMPLES]]
        left = kind.num_findings - NUM_EXAMPLES
        lines += [f"    ... and {left} more"] if left > 0 else []
        blocks.append("\n".join([*lines, f"  fix: {fix}"]))
    return "\n\n".join(blocks)


def file_table(summary: Summary) -> list[list[str]]:
    """Return a row of headings, and one for each file."""
    rows = [[str(file.path), *map(str, file.counts().values())] for file in summary.files]
    return [["file", *summary.files[0].counts()], *rows]


def amount(num_findings: int, num_images: int) -> str:
    """Describe how often something was found, and in how many images if that differs."""
    images = f"{num_images} image{'s' * (num_images != 1)}"
    return images if num_findings == num_images else f"{num_findings} in {images}"


def locate(summary: Summary, example: Example) -> str:
    """Describe in a line where a finding is, and what it is."""
    place, path = example.place, summary.files[example.place.file].path
    name = f" {example.img_path}" if example.img_path else ""
    entry = "" if place.item == WHOLE_FILE else f" data_list[{place.item}]{name}:"
    return f"{path}:{entry} {example.finding.describe()}"


def verdict(summary: Summary) -> str:
    """Count errors, warnings and notes in a line."""
    counts = ((summary.count(severity), severity) for severity in SEVERITIES)
    return ", ".join(f"{count} {severity}{'s' * (count != 1)}" for count, severity in counts)


@contextmanager
def findings_file(path: Path, summary: Summary, test_size: tuple[int, int]) -> Iterator[None]:
    """Write findings as a summary counts them, then the counts; the file appears, complete."""
    with replace_when_complete(path) as partial, partial.open("w", encoding="utf-8") as stream:
        stream.write('{"generator": "dbnet check", "findings": [')
        separators = itertools.chain([""], itertools.repeat(","))

        def record(example: Example) -> None:
            place, finding = example.place, example.finding
            told = {
                "severity": KINDS[finding.kind].severity,
                "kind": finding.kind,
                "file": str(summary.files[place.file].path),
                "index": None if place.item == WHOLE_FILE else place.item,
                "img_path": example.img_path,
                "word": finding.word,
                "detail": finding.describe(),
            }
            stream.write(f"{next(separators)}\n{json.dumps(told)}")

        summary.record = record
        yield
        end: dict[str, Any] = {
            "test_size": test_size,
            "counts": {name: kind.num_findings for name, kind in summary.kinds.items()},
            "files": [describe_file(file) for file in summary.files],
        }
        stream.write(f"\n], {json.dumps(end)[1:]}\n")


def describe_file(file: FileSummary) -> dict[str, Any]:
    """Return the counts of an annotation file; of histograms, (counted, ignored) per bin."""
    histograms = {
        name: dict(bins=SCALES[name].labels(), **dict(zip(("counted", "ignored"), counts.tolist())))
        for name, counts in file.histograms.items()
    }
    return {"path": str(file.path), **file.counts(), "histograms": histograms}


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
            (
                name,
                KINDS[name],
                found,
                _figures(_example(summary, e, files) for e in found.examples[:NUM_PICTURES]),
            )
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
