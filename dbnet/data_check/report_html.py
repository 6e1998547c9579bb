"""The report as one HTML page that needs nothing else: no script, no network, no other file."""

from html import escape
from pathlib import Path
from typing import Any

from dbnet.data_check.histograms import SCALES
from dbnet.data_check.kinds import ERROR, KINDS, SEVERITIES, WARNING
from dbnet.data_check.page_style import STYLE
from dbnet.data_check.pictures import draw_entry
from dbnet.data_check.report_text import HEADINGS, amount, row, verdict
from dbnet.data_check.summary import Example, KindSummary, Ranked, Summary
from dbnet.data_check.svg import bar_chart

Files = list[list[Any]]

NUM_PICTURES = 3  # of a kind
NOTHING = "Nothing stands in the way of training."
OUTLINES = (
    "Outlines: words found fault with thick and orange, others that count green, ignored ones "
    "dashed and grey. Images are shown as training takes them, without their EXIF orientation."
)


def write_page(path: Path, summary: Summary, files: Files, test_size: tuple[int, int]) -> None:
    """Write the report; the entries of `files` are those that were summed up."""
    parts = [
        _head(summary, test_size),
        _file_table(summary),
        _kind_table(summary),
        *(_kind_section(summary, name, kind, files) for name, kind in _by_severity(summary)),
        _worst_section(summary, files),
        _statistics(summary),
    ]
    body = "\n".join(filter(None, parts))
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="generator" content="dbnet check">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Data check</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(page, encoding="utf-8", errors="replace")
    partial.replace(path)


def _head(summary: Summary, test_size: tuple[int, int]) -> str:
    worst = next((name for name in (ERROR, WARNING) if summary.count(name)), "good")
    counts = verdict(summary) + ("." if summary.count(ERROR) else f". {NOTHING}")
    size = f"{test_size[0]} x {test_size[1]}"
    return (
        f'<header><h1>Data check</h1><p class="verdict {worst}">{counts}</p>'
        f'<p class="soft">Words are measured at the test size, {size} pixels at most. {OUTLINES}'
        "</p></header>"
    )


def _table(headings: list[str], rows: list[list[str]], numbers: range | tuple[int, ...]) -> str:
    """Build a table from cells that are HTML; columns in `numbers` are set to the right."""

    def cells(tag: str, values: list[str]) -> str:
        return "".join(
            f'<{tag} class="{"num" if i in numbers else "path"}">{value}</{tag}>'
            for i, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', values)}</tr>" for values in rows)
    head = f"<thead><tr>{cells('th', headings)}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _file_table(summary: Summary) -> str:
    rows = [[escape(cell) for cell in row(file)] for file in summary.files]
    return _table(list(HEADINGS), rows, range(1, len(HEADINGS)))


def _by_severity(summary: Summary) -> list[tuple[str, KindSummary]]:
    found = summary.found.items()
    return sorted(found, key=lambda item: SEVERITIES.index(KINDS[item[0]].severity))


def _kind_table(summary: Summary) -> str:
    rows = [
        [
            _badge(KINDS[name].severity),
            f'<a class="name" href="#{name}">{name}</a>',
            str(kind.num_images),
            str(kind.num_findings),
            escape(KINDS[name].rule),
        ]
        for name, kind in _by_severity(summary)
    ]
    if not rows:
        return ""
    headings = ["", "finding", "images", "cases", "rule"]
    return "<h2>Findings</h2>" + _table(headings, rows, (2, 3))


def _badge(severity: str) -> str:
    return f'<span class="badge {severity}">{severity}</span>'


def _kind_section(summary: Summary, name: str, kind: KindSummary, files: Files) -> str:
    """Explain a kind of finding, with pictures and the first cases."""
    severity, rule, way_out = KINDS[name]
    figures = [_example_figure(summary, example, files) for example in kind.examples[:NUM_PICTURES]]
    pictures = "".join(filter(None, figures))
    rows = [
        [
            escape(str(summary.files[example.place.file].path)),
            str(example.place.item),
            escape(example.img_path),
            escape(example.finding.describe()),
        ]
        for example in kind.examples
    ]
    left = kind.num_findings - len(rows)
    more = f'<p class="soft">... and {left} more; --json lists all.</p>' if left else ""
    title = (
        "The case" if len(rows) == 1 else f"The first {len(rows)} cases" if left else "All cases"
    )
    table = _table(["file", "data_list", "image", "what"], rows, (1,))
    return (
        f'<section class="kind" id="{name}"><h3>{_badge(severity)} {name}: '
        f"{amount(kind.num_findings, kind.num_images)}</h3>"
        f"<p>Rule: {escape(rule)}.</p><p>Way out: {escape(end_sentence(way_out))}</p>"
        + (f'<div class="pictures">{pictures}</div>' if pictures else "")
        + f"<details><summary>{title}</summary>{table}{more}</details></section>"
    )


def end_sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def _example_figure(summary: Summary, example: Example, files: Files) -> str | None:
    place, finding = example.place, example.finding
    words = {word for word in (finding.word, finding.twin) if word is not None}
    sources = [_draw(summary, place, words, files, close=bool(words))]
    if example.twin is not None:
        sources.append(_draw(summary, example.twin, set(), files, close=False))
    return _figure(sources, example.img_path, [finding.describe()])


def _draw(summary: Summary, place: Any, words: set[int], files: Files, close: bool) -> str | None:
    entry = files[place.file][place.item]
    if not isinstance(entry, dict) or not isinstance(entry.get("instances"), list):
        return None
    if not isinstance(entry.get("img_path"), str):
        return None
    return draw_entry(summary.files[place.file].path.parent, entry, words, close)


def _figure(sources: list[str | None], img_path: str, lines: list[str]) -> str | None:
    """Set pictures of an image above its name and some lines; None if there is no picture."""
    images = [f'<img src="{source}" alt="" loading="lazy">' for source in sources if source]
    if not images:
        return None
    text = "<br>".join(escape(line) for line in (img_path, *lines))
    return f"<figure>{''.join(images)}<figcaption>{text}</figcaption></figure>"


def _worst_section(summary: Summary, files: Files) -> str:
    figures = [_worst_figure(summary, ranked, files) for ranked in sorted(summary.worst)[::-1]]
    pictures = "".join(filter(None, figures))
    if not pictures:
        return ""
    return f'<h2>Images with the most findings</h2><div class="pictures">{pictures}</div>'


def _worst_figure(summary: Summary, ranked: Ranked, files: Files) -> str | None:
    found = [f for f in ranked.findings if KINDS[f.kind].severity in (ERROR, WARNING)]
    words = {finding.word for finding in found if finding.word is not None}
    lines = [f"{finding.kind}: {finding.describe()}" for finding in found[:4]]
    lines += [f"... and {len(found) - 4} more"] if len(found) > 4 else []
    source = _draw(summary, ranked.place, words, files, close=False)
    return _figure([source], ranked.img_path, lines)


def _statistics(summary: Summary) -> str:
    """Set the histograms of the files side by side."""
    blocks = []
    for name, scale in SCALES.items():
        charts = "".join(
            f'<div><p class="soft path">{escape(str(file.path))}</p>'
            f"{bar_chart(scale.title, scale.labels(), file.histograms.counts[name])}</div>"
            for file in summary.files
        )
        title = scale.title[0].upper() + scale.title[1:]
        blocks.append(f'<h3>{title}</h3><div class="charts">{charts}</div><br>')
    key = (
        '<p class="soft"><span class="key counted"></span>words that count (and images)'
        '<span class="key ignored"></span>ignored words</p>'
    )
    return f"<h2>Statistics</h2>{key}{''.join(blocks)}"
