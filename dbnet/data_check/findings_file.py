"""All findings as a JSON file, for programs."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from dbnet.data_check.histograms import SCALES
from dbnet.data_check.inspection import WHOLE_FILE
from dbnet.data_check.kinds import KINDS
from dbnet.data_check.summary import Example, FileSummary, Summary
from dbnet.utils.files import replace_when_complete


class FindingsWriter:
    """Write findings as they come, so that none has to be kept; `files` by the index they have."""

    def __init__(self, stream: TextIO, files: Sequence[Path]) -> None:
        self.files = files
        self._stream = stream
        self._separator = ""
        stream.write('{"generator": "dbnet check", "findings": [')

    def add(self, example: Example) -> None:
        """Write a finding."""
        finding = example.finding
        record = {
            "severity": KINDS[finding.kind].severity,
            "kind": finding.kind,
            "file": str(self.files[example.place.file]),
            "index": None if example.place.item == WHOLE_FILE else example.place.item,
            "img_path": example.img_path,
            "word": finding.word,
            "detail": finding.describe(),
        }
        self._stream.write(f"{self._separator}\n{json.dumps(record)}")
        self._separator = ","

    def finish(self, summary: Summary, test_size: tuple[int, int]) -> None:
        """Write the counts behind the findings."""
        end: dict[str, Any] = {
            "test_size": test_size,
            "counts": {name: kind.num_findings for name, kind in summary.kinds.items()},
            "files": [describe_file(file) for file in summary.files],
        }
        self._stream.write(f"\n], {json.dumps(end)[1:]}\n")


@contextmanager
def findings_writer(path: Path, files: Sequence[Path]) -> Iterator[FindingsWriter]:
    """Open a file of findings; it appears, complete, when the block ends."""
    with replace_when_complete(path) as partial, partial.open("w", encoding="utf-8") as stream:
        yield FindingsWriter(stream, files)


def describe_file(file: FileSummary) -> dict[str, Any]:
    """Return the counts of an annotation file; of histograms, (counted, ignored) per bin."""
    histograms = {
        name: dict(bins=SCALES[name].labels(), **dict(zip(("counted", "ignored"), counts.tolist())))
        for name, counts in file.histograms.counts.items()
    }
    return {"path": str(file.path), **file.counts(), "histograms": histograms}
