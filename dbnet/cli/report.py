import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbnet.cli.console import command
from dbnet.cli.evaluate import NOTHING_FOUND, check_known, could_find, list_of
from dbnet.cli.progress import with_progress
from dbnet.cli.report_path import check_report_path
from dbnet.datasets.annotations import Annotations
from dbnet.errors import UserError
from dbnet.evaluation.files import GroundTruth, Prediction, read_both
from dbnet.report.examination import Examined, examine, examine_images
from dbnet.report.page import write_report

MARK = b"dbnet report"  # near the beginning of each report


@command("report")
def main(args: argparse.Namespace) -> int:
    """Write a page about one result or two; return the exit status."""
    paths = [args.results, *filter(None, [args.other])]
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError(f"{args.other} is given twice; leave one out, or give another result")
    check_report_path(args.html, MARK)
    read = [read_both(args.gt, path) for path in paths]
    truths = read[0][0]
    for path, (_, predictions) in zip(paths, read):
        check_known(path, predictions, args.gt, truths)
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = list(map(str, paths))
    results = [
        examine(name, truths, predictions, with_progress(range(len(truths)), len(truths), name))
        for name, (_, predictions) in zip(names, read)
    ]
    images = image_files(args.gt, truths)
    lost = [i for i in with_progress(examine_images(results, images), len(images)) if i >= 0]
    notes = [note for r, (_, p) in zip(results, read) for note in notes_of(r, truths, p)]
    notes += missing_notes([list(truths)[i] for i in lost], args.gt, images)
    for note in notes:
        print(note)
    try:
        write_report(args.html, results, truths, images, notes)
    except OSError as error:  # no space, no permission, ...
        raise UserError(f"{error.filename or args.html}: {error.strerror or error}") from error
    print(f"{args.html} has it, {args.html.stat().st_size / 1e6:.1f} MB")
    return 0


def image_files(gt: Path, truths: Mapping[str, GroundTruth]) -> Sequence[str | None]:
    """List the files of the images, in the order of `truths`; None where no annotation names it."""
    if gt.suffix.lower() != ".json":
        return [None] * len(truths)
    annotations = Annotations.read(gt)
    return [annotations.path_of(item) for item in range(len(annotations))]


def notes_of(
    result: Examined, truths: Mapping[str, GroundTruth], predictions: Mapping[str, Prediction]
) -> list[str]:
    """Tell what to know before reading the figures of a result."""
    notes = list(result.notes)
    without = [stem for stem in truths if stem not in predictions]
    if without:
        notes.append(f"no predictions for {list_of(without)}, counted as empty")
    if not result.counts["icdar2015"][:, 2].any() and could_find(truths, predictions):
        notes.append(NOTHING_FOUND.rstrip("?"))
    if result.threshold is None:
        notes.append("no scores, so there is no curve, and errors are those of all predictions")
    else:
        scores = [
            p.scores.min() for p in predictions.values() if p.scores is not None and p.polygons
        ]
        lowest = min(scores, default=0.0)
        if lowest > result.threshold:
            notes.append(
                f"the lowest score in the file is {lowest:.2f}: what the postprocessor left out "
                "below it cannot be told from no region"
            )
    return [f"{result.name}: {note}" for note in notes]


def missing_notes(stems: Sequence[str], gt: Path, images: Sequence[str | None]) -> list[str]:
    """Tell which images cannot be drawn, and that their contrast is not known."""
    if not stems:
        return []
    why = "cannot be read" if any(images) else "are not named by it"
    return [f"{gt}: images {why}, so without pictures and contrast: {list_of(stems)}"]
