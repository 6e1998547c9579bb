"""The report in a terminal."""

from dbnet.data_check.inspection import WHOLE_FILE
from dbnet.data_check.kinds import KINDS, SEVERITIES
from dbnet.data_check.summary import Example, Summary
from dbnet.utils.tables import format_table

NUM_EXAMPLES = 3  # of a kind


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
