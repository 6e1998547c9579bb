"""All findings as a JSON file, for programs."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from dbnet.data_check.histograms import SCALES
from dbnet.data_check.kinds import KINDS, SEVERITIES
from dbnet.data_check.summary import Example, FileSummary, Summary


class FindingsFile:
    """Write findings as they come, so that none of them has to be kept; a context manager.

    The file appears under its name once it is whole.

    Args:
        path: Of the file.
        files: The annotation files, by the index that findings have.
    """

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path = path
        self.files = files
        self._partial = path.with_name(f".{path.name}.partial")
        self._separator = ""

    def __enter__(self) -> "FindingsFile":
        self._stream: TextIO = self._partial.open("w", encoding="utf-8")
        self._stream.write('{"generator": "dbnet check", "findings": [')
        return self

    def add(self, example: Example) -> None:
        """Write a finding."""
        finding = example.finding
        record = {
            "severity": KINDS[finding.kind].severity,
            "kind": finding.kind,
            "file": str(self.files[example.place.file]),
            "index": example.place.item,
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()
        if error is None:
            self._partial.replace(self.path)
        else:
            self._partial.unlink()


def describe_file(file: FileSummary) -> dict[str, Any]:
    """Give the counts of an annotation file, histograms as rows of (counted, ignored) per bin."""
    histograms = {
        name: {
            "bins": SCALES[name].labels(),
            **dict(zip(("counted", "ignored"), counts.tolist())),
        }
        for name, counts in file.histograms.counts.items()
    }
    return {
        "path": str(file.path),
        "images": file.num_images,
        "words": file.num_words,
        "counted": file.num_counted,
        "ignored": file.num_ignored,
        **{f"{severity}s": file.severities[severity] for severity in SEVERITIES},
        "histograms": histograms,
    }
