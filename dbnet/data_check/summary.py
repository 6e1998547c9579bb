"""Counts of what was found, with a few examples of each kind."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dbnet.data_check.fingerprints import earlier_twins
from dbnet.data_check.inspection import WHOLE_FILE, Inspection, Place
from dbnet.data_check.kinds import ERROR, KINDS, PICTURELESS, SEVERITIES, WARNING, Finding
from dbnet.utils.bins import INFINITE, Bins
from dbnet.utils.worst import Worst

MAX_EXAMPLES = 20  # kept of a kind
NUM_WORST = 12  # images with the most findings
SCALES = {  # by the names of measures; whose counts are (2, bins) int64, (counted, ignored)
    "words": Bins("words per image", (0, 1, 2, 3, 5, 9, 17, 33, 65, 129, INFINITE), whole=True),
    "short_side": Bins(
        "short side of words, pixels at the test size",
        (0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, INFINITE),
    ),
    "area": Bins(
        "area of words, square pixels at the test size",
        (0, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, INFINITE),
    ),
    "aspect": Bins(
        "long by short side of words", (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, INFINITE)
    ),
    "angle": Bins("angle of the long side, degrees clockwise", (*range(-90, 91, 15),)),
}


class Example(NamedTuple):
    """A finding and where it is; for two pictures alike, where the `twin` is."""

    place: Place
    img_path: str
    finding: Finding
    twin: Place | None = None


@dataclass
class KindSummary:
    """How often something was found, and the first examples."""

    num_findings: int = 0
    num_images: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass
class FileSummary:
    """Counts of an annotation file."""

    path: Path  # of the file
    num_images: int = 0  # entries
    num_words: int = 0  # items of `instances`
    num_counted: int = 0  # those of them that are neither ignored nor dropped
    num_ignored: int = 0  # those that are ignored
    num_unlearnable: int = 0  # those that count, yet are too small or outside of their image
    severities: Counter[str] = field(default_factory=Counter)  # number of findings of each severity
    # Counted and ignored ones in each bin of `SCALES`, (2, bins); images are in the first row.
    histograms: dict[str, np.ndarray] = field(
        default_factory=lambda: {n: np.zeros((2, len(b.edges) - 1), int) for n, b in SCALES.items()}
    )

    def counts(self) -> dict[str, int]:
        """Return the counts by their names in reports."""
        return {
            "images": self.num_images,
            "words": self.num_words,
            "counted": self.num_counted,
            "ignored": self.num_ignored,
            **{f"{severity}s": self.severities[severity] for severity in SEVERITIES},
        }


class Summary:
    """What was found in annotation files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.files = [FileSummary(path) for path in paths]  # in the order given
        self.kinds = {kind: KindSummary() for kind in KINDS}  # in their order
        self.remarks: list[str] = []  # lines below the table of the files
        self.worst = Worst[Inspection](NUM_WORST)  # readable images with most errors and warnings
        self.record: Callable[[Example], object] = lambda example: None  # of each that is counted
        self._fingerprints = array("Q")
        self._places = array("q")  # file, index, file, index, ...

    def add(self, inspection: Inspection) -> None:
        """Add an entry; entries come in the order of their files."""
        file = self.files[inspection.place.file]
        file.num_images += 1
        file.num_words += inspection.num_words
        file.num_ignored += int(inspection.ignored.sum())
        file.num_counted += int((~inspection.ignored).sum())
        file.num_unlearnable += inspection.num_unlearnable
        file.histograms["words"][0] += SCALES["words"].counts_of(np.array([inspection.num_words]))
        for name, values in inspection.measures._asdict().items():
            for row, chosen in enumerate((~inspection.ignored, inspection.ignored)):
                file.histograms[name][row] += SCALES[name].counts_of(values[chosen])
        for finding in inspection.findings:
            self.add_finding(Example(inspection.place, inspection.img_path, finding))
        kinds = {finding.kind for finding in inspection.findings}
        for kind in kinds:
            self.kinds[kind].num_images += 1
        if inspection.fingerprint is not None:
            self._fingerprints.append(inspection.fingerprint)
            self._places.extend(inspection.place)
        severities = [KINDS[finding.kind].severity for finding in inspection.findings]
        errors, warnings = severities.count(ERROR), severities.count(WARNING)
        if errors + warnings and not kinds & PICTURELESS:
            first = -sum(file.num_images for file in self.files)  # of two as bad ones, the first
            self.worst.add((errors, warnings, first), lambda: inspection)

    def find_empty(self) -> Iterator[Example]:
        """Yield a finding for each file in which no word can be learnt."""
        for number, file in enumerate(self.files):
            if file.num_counted <= file.num_unlearnable:
                detail = (
                    f"{file.num_words} words, {file.num_ignored} of them ignored and "
                    f"{file.num_unlearnable} too small or outside"
                )
                yield Example(Place(number, WHOLE_FILE), "", Finding("nothing-counts", detail))

    def add_finding(self, example: Example) -> None:
        """Count a finding, and keep it if it is among the first of its kind."""
        kind = self.kinds[example.finding.kind]
        self.record(example)
        kind.num_findings += 1
        if len(kind.examples) < MAX_EXAMPLES:
            kind.examples.append(example)
        self.files[example.place.file].severities[KINDS[example.finding.kind].severity] += 1

    def find_twins(self) -> Iterator[tuple[str, Place, Place]]:
        """Yield kind, place and earlier place of pictures that look the same; call it once."""
        hashes = np.array(self._fingerprints, dtype=np.uint64)
        places = np.array(self._places, dtype=np.int64).reshape(-1, 2)
        same, other = earlier_twins(hashes, places[:, 0])
        for kind, twins in (("duplicate-image", same), ("leak", other)):
            for one in np.flatnonzero(twins >= 0).tolist():
                self.kinds[kind].num_images += 1
                yield kind, Place(*places[one].tolist()), Place(*places[twins[one]].tolist())

    def count(self, severity: str) -> int:
        """Count the findings of a severity."""
        return sum(file.severities[severity] for file in self.files)

    def by_severity(self) -> list[tuple[str, KindSummary]]:
        """List the kinds with at least one finding, the most serious first."""
        found = [(name, kind) for name, kind in self.kinds.items() if kind.num_findings]
        return sorted(found, key=lambda pair: SEVERITIES.index(KINDS[pair[0]].severity))
