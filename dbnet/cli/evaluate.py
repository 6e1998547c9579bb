import argparse
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from dbnet.cli.console import command
from dbnet.errors import UserError
from dbnet.evaluation.closing_lines import format_metrics
from dbnet.evaluation.counts import RESAMPLES, differences, intervals, metrics_of
from dbnet.evaluation.files import (
    GroundTruth,
    Prediction,
    count_predictions,
    evaluate_predictions,
    make_scenes,
    read_both,
    round_predictions,
)
from dbnet.evaluation.protocols import NAMES
from dbnet.evaluation.protocols.counting import count_scenes, notes_on
from dbnet.utils.text import natural_key

NOTHING_FOUND = "no prediction finds a text; are these results of another dataset?"


@command("evaluate")
def main(args: argparse.Namespace) -> int:
    """Print the metrics of predictions; return the exit status."""
    truths, predictions = read_both(args.gt, args.pred)
    check_known(args.pred, predictions, args.gt, truths)
    others = None
    if args.against:
        _, others = read_both(args.gt, args.against)
        check_known(args.against, others, args.gt, truths)

    print(f"{args.gt}: {describe(truths)}")
    missing = sorted(truths.keys() - predictions.keys(), key=natural_key)
    if missing:
        print(f"{args.pred}: no predictions for {list_of(missing)}, counted as empty")
    for note in notes_on(make_scenes(truths, predictions), chosen(args)):
        print(f"{args.pred}: {note}")
    show(args, truths, predictions, others)
    return 0


def chosen(args: argparse.Namespace) -> list[str]:
    """Name the protocols asked for, each once."""
    asked = args.protocol or ["icdar2015"]
    return list(NAMES) if "all" in asked else list(dict.fromkeys(asked))


def show(
    args: argparse.Namespace,
    truths: Mapping[str, GroundTruth],
    predictions: Mapping[str, Prediction],
    others: Mapping[str, Prediction] | None,
) -> None:
    """Print the metrics of each protocol asked for, and how `others` differ from it."""

    def count(found: Mapping[str, Prediction]) -> dict[str, np.ndarray]:
        if args.protocol:
            return count_scenes(make_scenes(truths, found), chosen(args))
        return {"icdar": count_predictions(truths, found)}

    counts = count(predictions)
    metrics = {
        f"{name}/{key}": float(value)
        for name, rows in counts.items()
        for key, value in metrics_of(rows.sum(axis=0)).items()
    }
    right = any(value for key, value in metrics.items() if key.endswith("precision"))
    if not right and could_find(truths, predictions):
        print(f"{args.pred}: {NOTHING_FOUND}")
    if not args.protocol:
        show_details(args, metrics, truths, predictions)
    for name, rows in counts.items() if args.bootstrap else ():
        if args.protocol:
            print(f"{name}:")
        print(*format_intervals(rows, args.bootstrap), sep="\n")
    for name, rows in count(others).items() if others is not None else ():
        lines = format_differences(counts[name], rows, args.bootstrap or RESAMPLES)
        heading = f"{name} against" if args.protocol else "against"
        print(f"{heading} {args.against}:", *lines, sep="\n")
    print(*format_metrics(metrics), sep="\n")


def show_details(
    args: argparse.Namespace,
    metrics: Mapping[str, float],
    truths: Mapping[str, GroundTruth],
    predictions: Mapping[str, Prediction],
) -> None:
    """Print what `HmeanIOUMetric` reports beside the closing lines."""
    if args.pred.suffix.lower() == ".json":
        rounded = evaluate_predictions(truths, round_predictions(predictions))
        change = rounded["icdar/official_hmean"] - metrics["icdar/official_hmean"]
        line = format_metrics(rounded)[-1].removeprefix("official: ")
        print(f"official if rounded to a submission: {line} ({change:+.4f})")
    if "icdar/max_hmean" in metrics:
        print(f"maximum matching: hmean {metrics['icdar/max_hmean']:.4f}")


def could_find(truths: Mapping[str, GroundTruth], predictions: Mapping[str, Prediction]) -> bool:
    """Check that there are predictions, and texts that count."""
    texts = any(not all(truth.ignored) for truth in truths.values())
    return texts and any(prediction.polygons for prediction in predictions.values())


def check_known(
    path: Path, predictions: Mapping[str, Prediction], gt: Path, truths: Mapping[str, GroundTruth]
) -> None:
    """Ensure that predictions are for images of the ground truth."""
    unknown = sorted(predictions.keys() - truths.keys(), key=natural_key)
    if unknown:
        raise UserError(f"{path} holds {list_of(unknown)}, which {gt} lacks")


def format_intervals(counts: np.ndarray, resamples: int) -> list[str]:
    """Write a metric and its 95 % interval over resampled images per line."""
    totals = metrics_of(counts.sum(axis=0))
    return [
        f"{name:20} {totals[name]:.4f}, 95 % interval {low:.4f} to {high:.4f}"
        for name, (low, high) in intervals(counts, resamples).items()
    ]


def format_differences(counts: np.ndarray, others: np.ndarray, resamples: int) -> list[str]:
    """Write how much higher each metric is than another result's per line."""
    return [
        f"{name:20} {d.change:+.4f}, 95 % interval {d.low:+.4f} to {d.high:+.4f}, higher in "
        f"{d.share:.1%} of the resamples"
        for name, d in differences(counts, others, resamples).items()
    ]


def describe(truths: dict[str, GroundTruth]) -> str:
    """Count images, texts and texts that are not ignored."""
    ignored = [flag for truth in truths.values() for flag in truth.ignored]
    return f"{len(truths)} images, {len(ignored)} texts, {ignored.count(False)} that count"


def list_of(stems: Collection[str]) -> str:
    """Name the first of some images and count the others."""
    others = f" and {len(stems) - 1} more" if len(stems) > 1 else ""
    return f"{next(iter(stems))}{others}"
