import argparse
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope

from dbnet.cli.console import INTERRUPTED, command
from dbnet.cli.progress import with_progress
from dbnet.cli.report_path import check_report_path
from dbnet.config.load import load_config
from dbnet.data_check.inspection import WHOLE_FILE, Inspection, Place, inspect_entry, read_entries
from dbnet.data_check.kinds import ERROR, Finding
from dbnet.data_check.reports import findings_file, format_report, verdict, write_page
from dbnet.data_check.summary import Example, Summary
from dbnet.data_check.whole_files import (
    TARGETS,
    measure_growing_back,
    measure_training,
    mixed_levels,
)
from dbnet.errors import UserError
from dbnet.models.postprocessors import DBPostprocessor
from dbnet.registry import MODELS
from dbnet.remote.paths import shown
from dbnet.utils.parallel import in_order

MARK = b"dbnet check"  # near the beginning of each report


@command("check")
def main(args: argparse.Namespace) -> int:
    """Print what is wrong with datasets; return the exit status."""
    try:
        check_arguments(args)
        files = [read_entries(path) for path in args.annotations]
        summary = check(files, args)
        if args.html:
            write_page(args.html, summary, files, args.test_size)
    except KeyboardInterrupt:
        print("interrupted; no report", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:  # of a report: no space, no permission, ...
        raise UserError(f"{error.filename or args.html}: {error.strerror or error}") from error
    # A JSON string may hold half a surrogate pair, which cannot be printed.
    print(format_report(summary).encode("utf-8", "replace").decode())
    print(f"\n{verdict(summary)}{'' if args.html else '; --html report.html shows them'}")
    return 1 if summary.count(ERROR) else 0


def check_arguments(args: argparse.Namespace) -> None:
    """Ensure that no file is given twice, and that no report overwrites something else."""
    resolved = [path.resolve() for path in args.annotations]
    for index, path in enumerate(args.annotations):
        if resolved[index] in resolved[:index]:
            raise UserError(f"{path} is given twice; leave one out")
    if args.html and args.json and args.html.resolve() == args.json.resolve():
        raise UserError(f"--html and --json are both {args.html}; give each its own file")
    for report in filter(None, (args.html, args.json)):
        check_report_path(report, MARK)


def check(files: list[list[Any]], args: argparse.Namespace) -> Summary:
    """Check the entries of all files, and write the findings as they come if asked to."""
    summary = Summary(args.annotations)
    written = findings_file(args.json, summary, args.test_size) if args.json else nullcontext()
    with written:
        for inspection in with_progress(inspect_all(files, args), sum(map(len, files))):
            summary.add(inspection)
        found = [*twin_examples(summary, files), *summary.find_empty()]
        for number, entries in enumerate(files):
            place = Place(number, WHOLE_FILE)
            found += [Example(place, "", finding) for finding in mixed_levels(entries)]
        for example in [*found, *config_examples(summary, files, args)]:
            summary.add_finding(example)
    return summary


def config_examples(
    summary: Summary, files: list[list[Any]], args: argparse.Namespace
) -> Iterator[Example]:
    """Measure the words of the first file as a config's training and post-processing see them."""
    config = load_config(args.config)
    init_default_scope(config.default_scope)
    dataset = config.train_dataloader.dataset
    while "pipeline" not in dataset and "datasets" in dataset:
        dataset = dataset.datasets[0]
    if "pipeline" not in dataset:
        raise UserError(f"--config {args.config}: its training data have no pipeline; leave it out")
    entries, path = files[0], args.annotations[0]
    size = measure_training(entries, path.parent, dataset.pipeline)
    if size.num_words:
        summary.remarks.append(f"{path}: {size.describe()} of {args.config}")
    for finding in size.findings():
        yield Example(Place(0, WHOLE_FILE), "", finding)
    yield from _lost_examples(summary, entries, config, dataset.pipeline, args)


def _lost_examples(
    summary: Summary, entries: list[Any], config: Config, pipeline: list, args: argparse.Namespace
) -> Iterator[Example]:
    postprocessor = MODELS.build(config.model.postprocessor)
    if not isinstance(postprocessor, DBPostprocessor):
        return
    targets: dict = next((step for step in pipeline if step["type"] == TARGETS), {})
    ratio = targets.get("shrink_ratio", 0.4)
    num_tried, lost = measure_growing_back(entries, args.test_size, postprocessor, ratio)
    if lost:
        summary.remarks.append(
            f"{args.annotations[0]}: {len(lost)} of {num_tried} words are lost by the "
            f"post-processing of {args.config} even if its maps are perfect"
        )
    for each in lost:
        name = shown(entries[each.item]["img_path"])
        yield Example(Place(0, each.item), name, each.finding())


def inspect_all(files: list[list[Any]], args: argparse.Namespace) -> Iterator[Inspection]:
    """Check all entries, in order."""
    tasks = (
        functools.partial(inspect_entry, Place(file, index), entry, path.parent, args.test_size)
        for file, (path, entries) in enumerate(zip(args.annotations, files))
        for index, entry in enumerate(entries)
    )
    workers = args.workers or os.cpu_count() or 1
    return in_order(tasks, workers, num_ahead=4 * workers)


def twin_examples(summary: Summary, files: list[list[Any]]) -> Iterator[Example]:
    """Find the pictures that look the same as one before."""
    for kind, place, twin in summary.find_twins():
        other = shown(files[twin.file][twin.item]["img_path"])
        detail = f"like {summary.files[twin.file].path}: data_list[{twin.item}] {other}"
        name = shown(files[place.file][place.item]["img_path"])
        yield Example(place, name, Finding(kind, detail), twin)
