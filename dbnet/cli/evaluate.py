import argparse
from collections.abc import Collection

from dbnet.cli.console import command
from dbnet.errors import UserError
from dbnet.evaluation.files import (
    GroundTruth,
    evaluate_predictions,
    read_both,
    round_predictions,
)
from dbnet.evaluation.hmean_iou import format_metrics
from dbnet.utils.text import natural_key


@command("evaluate")
def main(args: argparse.Namespace) -> int:
    """Print the metrics of predictions; return the exit status."""
    truths, predictions = read_both(args.gt, args.pred)
    unknown = sorted(predictions.keys() - truths.keys(), key=natural_key)
    if unknown:
        raise UserError(f"{args.pred} holds {_list(unknown)}, which {args.gt} lacks")
    metrics = evaluate_predictions(truths, predictions)

    print(f"{args.gt}: {describe(truths)}")
    missing = sorted(truths.keys() - predictions.keys(), key=natural_key)
    if missing:
        print(f"{args.pred}: no predictions for {_list(missing)}, counted as empty")
    if args.pred.suffix.lower() == ".json":
        rounded = evaluate_predictions(truths, round_predictions(predictions))
        change = rounded["icdar/official_hmean"] - metrics["icdar/official_hmean"]
        line = format_metrics(rounded)[-1].removeprefix("official: ")
        print(f"official if rounded to a submission: {line} ({change:+.4f})")
    if "icdar/max_hmean" in metrics:
        print(f"maximum matching: hmean {metrics['icdar/max_hmean']:.4f}")
    print(*format_metrics(metrics), sep="\n")
    return 0


def describe(truths: dict[str, GroundTruth]) -> str:
    """Count images, texts and texts that are not ignored."""
    ignored = [flag for truth in truths.values() for flag in truth.ignored]
    return f"{len(truths)} images, {len(ignored)} texts, {ignored.count(False)} that count"


def _list(stems: Collection[str]) -> str:
    """Name the first of some images and count the others."""
    others = f" and {len(stems) - 1} more" if len(stems) > 1 else ""
    return f"{next(iter(stems))}{others}"
