"""The report in a terminal."""

from dbnet.data_check.kinds import KINDS, SEVERITIES
from dbnet.data_check.summary import Example, FileSummary, Summary
from dbnet.utils.tables import format_table

NUM_EXAMPLES = 3  # of a kind
HEADINGS = ("file", "images", "words", "counted", "ignored", *(f"{name}s" for name in SEVERITIES))


def format_report(summary: Summary) -> str:
    """Format files and findings in lines, the most serious first."""
    blocks = ["\n".join(format_table([HEADINGS, *(row(file) for file in summary.files)]))]
    for name, kind in summary.by_severity():
        severity, rule, fix = KINDS[name]
        lines = [f"{severity}: {name}: {amount(kind.num_findings, kind.num_images)}", f"  {rule}"]
        lines += [f"    {locate(summary, ex)}" for ex in kind.examples[:NUM_EXAMPLES]]
        left = kind.num_findings - NUM_EXAMPLES
        lines += [f"    ... and {left} more"] if left > 0 else []
        blocks.append("\n".join([*lines, f"  fix: {fix}"]))
    return "\n\n".join(blocks)


def row(file: FileSummary) -> list[str]:
    """Return the cells of a file's row, in the order of `HEADINGS`."""
    numbers = (file.num_images, file.num_words, file.num_counted, file.num_ignored)
    severities = (file.severities[severity] for severity in SEVERITIES)
    return [str(file.path), *(str(number) for number in (*numbers, *severities))]


def amount(num_findings: int, num_images: int) -> str:
    """Describe how often something was found, and in how many images if that differs."""
    images = f"{num_images} image{'s' * (num_images != 1)}"
    return images if num_findings == num_images else f"{num_findings} in {images}"


def locate(summary: Summary, example: Example) -> str:
    """Describe in a line where a finding is, and what it is."""
    place, path = example.place, summary.files[example.place.file].path
    name = f" {example.img_path}" if example.img_path else ""
    return f"{path}: data_list[{place.item}]{name}: {example.finding.describe()}"


def verdict(summary: Summary) -> str:
    """Count errors, warnings and notes in a line."""
    counts = ((summary.count(severity), severity) for severity in SEVERITIES)
    return ", ".join(f"{count} {severity}{'s' * (count != 1)}" for count, severity in counts)
