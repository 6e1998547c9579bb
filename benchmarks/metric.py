"""Time the metric against MMOCR's on the same predictions.

    python benchmarks/metric.py data/icdar2015/textdet_test.json [--pred results.json]

compares with MMOCR 1.0.1 where `mmocr` can be imported, see `make_mmocr_reference.py`; else it
times ours alone. Besides the predictions of a file it takes jittered copies of the ground truth
with false alarms among them.
"""

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from peers import importable

from dbnet.evaluation.files import GroundTruth, Prediction, read_ground_truth, read_predictions
from dbnet.evaluation.metrics import HmeanIOUMetric

Truths, Predictions = Mapping[str, GroundTruth], Mapping[str, Prediction]
KEYS = ("precision", "recall", "hmean")


def ours(truths: Truths, predictions: Predictions) -> dict[str, float]:
    metric = HmeanIOUMetric()
    for stem, truth in truths.items():
        meta = dict(gt_polygons=truth.polygons, gt_ignored=truth.ignored)
        metric.process(dict(metas=[meta]), [predictions[stem]._asdict()])
    return metric.compute_metrics(metric.results)


def find_mmocr() -> Callable[[Truths, Predictions], dict[str, float]] | None:
    """Give MMOCR's way to the same metrics, None if it cannot be imported."""
    if not importable("mmocr", "mmocr.evaluation.metrics"):
        return None
    from mmocr.evaluation.metrics import HmeanIOUMetric as Peer

    def theirs(truths: Truths, predictions: Predictions) -> dict[str, float]:
        metric = Peer()
        for stem, truth in truths.items():
            gt = dict(polygons=[p.flatten() for p in truth.polygons])
            gt["ignored"] = np.array(truth.ignored, dtype=bool)
            found = predictions[stem]
            pred = dict(polygons=[p.flatten() for p in found.polygons], scores=found.scores)
            metric.process({}, [dict(gt_instances=gt, pred_instances=pred)])
        return metric.compute_metrics(metric.results)

    return theirs


def jittered(truths: Truths) -> dict[str, Prediction]:
    """Move every corner by 2 pixels (standard deviation), add up to 3 false alarms per image."""
    rng = np.random.default_rng(0)
    predictions = {}
    for stem, truth in truths.items():
        near = [p + rng.normal(0, 2, p.shape) for p in truth.polygons]
        alarms = [p + rng.uniform(-300, 300, 2) for p in truth.polygons[:3]]
        polygons = [polygon.astype(np.float32) for polygon in near + alarms]
        predictions[stem] = Prediction(polygons, rng.random(len(polygons), dtype=np.float32))
    return predictions


def seconds(run: Callable, *arguments: object) -> float:
    start = time.perf_counter()
    run(*arguments)
    return time.perf_counter() - start


def compare(truths: Truths, predictions: Predictions, repeats: int) -> dict[str, float | int]:
    """Time both in turn; give the fastest run of each and the median ratio."""
    theirs = find_mmocr()
    times: list[tuple[float, float]] = []
    if theirs:
        expected, found = theirs(truths, predictions), ours(truths, predictions)
        if any(abs(expected[key] - found[key]) > 1e-9 for key in KEYS):
            raise SystemExit(f"metrics differ: {expected} of MMOCR, {found}")
    for _ in range(repeats):
        peer = seconds(theirs, truths, predictions) if theirs else np.nan
        times.append((seconds(ours, truths, predictions), peer))
    row: dict[str, float | int] = dict(
        images=len(truths),
        predictions=sum(len(found.polygons) for found in predictions.values()),
        ours_s=min(own for own, _ in times),
    )
    if theirs:
        row["mmocr_s"] = min(peer for _, peer in times)
        row["ratio"] = statistics.median(peer / own for own, peer in times)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the metric.")
    parser.add_argument("gt", type=Path, help="annotation file, zip or folder")
    parser.add_argument("--pred", type=Path, help="results.json of test.py")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="JSON")
    args = parser.parse_args()
    logging.disable(logging.INFO)  # MMOCR logs every threshold
    truths = read_ground_truth(args.gt)
    sets: dict[str, Predictions] = {"jittered ground truth": jittered(truths)}
    if args.pred:
        found = read_predictions(args.pred)
        nothing = Prediction([], np.zeros(0, np.float32))
        sets[args.pred.name] = {stem: found.get(stem, nothing) for stem in truths}
    rows = {name: compare(truths, found, args.repeats) for name, found in sets.items()}
    for name, row in rows.items():
        print(f"{name:24}", *(f"{key} {value:<8.4g}" for key, value in row.items()))
    if args.out:
        args.out.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
