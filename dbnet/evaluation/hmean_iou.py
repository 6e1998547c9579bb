from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from mmengine.evaluator import BaseMetric

from dbnet.evaluation.matching import (
    MIN_IOU,
    first_come,
    match_image,
    maximum,
    precision_recall_hmean,
)
from dbnet.registry import METRICS

# Texts and predictions of hits, each (P,), to the indices (K,) of those that are matches.
Match = Callable[[np.ndarray, np.ndarray], np.ndarray]

# MMOCR's. Decimals instead of np.arange, whose 0.7000000000000002 drops a score of 0.7.
SCORE_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STRICT_IOUS = (0.5, 0.6, 0.7, 0.8)


@METRICS.register_module()
class HmeanIOUMetric(BaseMetric):
    """Precision, recall and hmean of text detection on ICDAR2015's terms.

    A prediction hits a text if their IoU exceeds 0.5. One with more than half of its area in a
    single ignored text does not count. Three ways of counting are reported, under `icdar/`:

    - `precision`, `recall`, `hmean`, `best_score_thr`: MMOCR's. Of the score thresholds 0.3, 0.4,
      ... 0.9 the one (the lowest, if several) with the best hmean, first-come matching. The
      threshold is chosen on the data that is evaluated.
    - `official_precision`, `official_recall`, `official_hmean`: the competition's. All predictions,
      whatever their score, first-come matching.
    - `max_hmean`: as `hmean`, but with a maximum bipartite matching. Its best threshold may be
      another one.

    How closely the outlines fit, counted as `official_*`:

    - `hmean_iou60`, `hmean_iou70`, `hmean_iou80`: hmean where a hit needs more than that IoU;
      `hmean_iou_mean`: the mean of it at 0.5, 0.6, 0.7 and 0.8.
    - `mean_iou`: mean IoU of the official matches, 0 if there is none.

    If a prediction comes without scores (None), only the official ones and these exist.
    """

    default_prefix = "icdar"

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep what a batch adds: a small matrix of IoU and the scores per image.

        Args:
            data_batch: `metas` holds a dict per image with `gt_polygons`, a list of (K, 2) arrays
                in pixels of the original image, and `gt_ignored`, as many flags.
            data_samples: A dict per image with `polygons`, a list of M arrays (K, 2) in the same
                frame, and `scores`, (M,) or None.
        """
        for meta, prediction in zip(data_batch["metas"], data_samples):
            polygons, scores = prediction["polygons"], prediction["scores"]
            if scores is not None and len(scores) != len(polygons):
                raise ValueError(f"{len(polygons)} polygons have {len(scores)} scores")
            iou, counted = match_image(meta["gt_polygons"], meta["gt_ignored"], polygons)
            if scores is not None:
                # In float32 a score of 0.3 passes the threshold 0.3, whatever type it came in.
                scores = np.asarray(scores, dtype=np.float32)[counted]
            self.results.append(dict(iou=iou, scores=scores))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Sum the counts over all images and form the metrics, plain floats without prefix.

        Args:
            results: What `process` kept of every image, gathered from all processes.
        """
        overlaps = join_overlaps(results)
        official = precision_recall_hmean(*count_at(None, overlaps))
        metrics = dict(zip(("official_precision", "official_recall", "official_hmean"), official))
        metrics |= fit_metrics(overlaps)
        if overlaps.scores is None:
            return metrics
        best_score_thr, best = best_threshold(overlaps, first_come)
        _, best_maximum = best_threshold(overlaps, maximum)
        return dict(
            **dict(zip(("precision", "recall", "hmean"), best)),
            best_score_thr=best_score_thr,
            **metrics,
            max_hmean=best_maximum[2],
        )


class Overlaps(NamedTuple):
    """The hits of a dataset of N images, numbered throughout, sorted by text, then by prediction.

    Attributes:
        texts: (P,) text of each pair whose IoU exceeds one half.
        predictions: (P,) its prediction.
        iou: (P,) float64.
        text_images: (G,) the image of each text.
        images: (M,) the image of each prediction.
        scores: (M,) float32 of the predictions, None if some image came without.
        num_images: N.
    """

    texts: np.ndarray
    predictions: np.ndarray
    iou: np.ndarray
    text_images: np.ndarray
    images: np.ndarray
    scores: np.ndarray | None
    num_images: int


def join_overlaps(results: Sequence[dict]) -> Overlaps:
    """Join the images of a dataset.

    Args:
        results: A dict per image with `iou`, (G, M) float64, and `scores`, (M,) float32 or None.
    """
    shapes = np.array([result["iou"].shape for result in results], dtype=np.intp).reshape(-1, 2)
    first_text, first_prediction = (np.cumsum(shapes, axis=0) - shapes).T
    hits = [np.nonzero(result["iou"] > MIN_IOU) for result in results]
    scores = [result["scores"] for result in results]
    order = np.arange(len(results))
    return Overlaps(
        texts=_joined([t + first for (t, _), first in zip(hits, first_text)], np.intp),
        predictions=_joined([p + first for (_, p), first in zip(hits, first_prediction)], np.intp),
        iou=_joined([result["iou"][hit] for result, hit in zip(results, hits)], np.float64),
        text_images=np.repeat(order, shapes[:, 0]),
        images=np.repeat(order, shapes[:, 1]),
        scores=None if any(s is None for s in scores) else _joined(scores, np.float32),
        num_images=len(results),
    )


def _joined(arrays: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *arrays])


def best_threshold(overlaps: Overlaps, match: Match) -> tuple[float, tuple[float, float, float]]:
    """Find the lowest score threshold of the best hmean, and its precision, recall and hmean."""
    evaluated = [
        (threshold, precision_recall_hmean(*count_at(threshold, overlaps, match)))
        for threshold in SCORE_THRESHOLDS
    ]
    return max(evaluated, key=lambda pair: pair[1][2])


def count_at(
    score_thr: float | None, overlaps: Overlaps, match: Match = first_come, min_iou: float = MIN_IOU
) -> tuple[int, int, int]:
    """Count matches, texts and predictions over a dataset.

    Args:
        score_thr: Predictions of a lower score are left out; with None all stay.
        overlaps: Of the dataset.
        match: Finds the matches among texts and predictions of hits.
        min_iou: A match overlaps by more than this, one half or more.
    """
    kept, num_predictions = overlaps.iou > min_iou, len(overlaps.images)
    if score_thr is not None and overlaps.scores is not None:
        passing = overlaps.scores >= np.float32(score_thr)
        kept &= passing[overlaps.predictions]
        num_predictions = int(np.count_nonzero(passing))
    matches = match(overlaps.texts[kept], overlaps.predictions[kept])
    return len(matches), len(overlaps.text_images), num_predictions


def fit_metrics(overlaps: Overlaps) -> dict[str, float]:
    """Measure how closely the outlines fit: hmean at stricter IoU, mean IoU of the matches."""
    strict = {
        min_iou: precision_recall_hmean(*count_at(None, overlaps, min_iou=min_iou))[2]
        for min_iou in STRICT_IOUS
    }
    matched = overlaps.iou[first_come(overlaps.texts, overlaps.predictions)]
    return dict(
        **{f"hmean_iou{round(100 * m)}": hmean for m, hmean in strict.items() if m > MIN_IOU},
        hmean_iou_mean=sum(strict.values()) / len(strict),
        mean_iou=float(matched.mean()) if len(matched) else 0.0,
    )


def format_metrics(metrics: dict[str, float]) -> list[str]:
    """Write the closing lines of the tools: the fit, `icdar` if there were scores, `official`.

    Args:
        metrics: What the evaluator returns, with keys such as `icdar/hmean`; others are skipped.
    """
    lines = []
    if "icdar/mean_iou" in metrics:
        strict = [metrics[f"icdar/hmean_iou{percent}"] for percent in (60, 70, 80)]
        at = ", ".join(f"{hmean:.4f} at IoU {iou}" for hmean, iou in zip(strict, (0.6, 0.7, 0.8)))
        lines.append(f"fit: hmean {at}; mean IoU {metrics['icdar/mean_iou']:.4f}")
    if "icdar/hmean" in metrics:
        threshold = f"(score threshold {metrics['icdar/best_score_thr']:.1f})"
        lines.append(f"icdar: {_triple(metrics, 'icdar/')} {threshold}")
    if "icdar/official_hmean" in metrics:
        lines.append(f"official: {_triple(metrics, 'icdar/official_')}")
    return lines


def _triple(metrics: dict[str, float], prefix: str) -> str:
    names = ("precision", "recall", "hmean")
    return " ".join(f"{name} {metrics[prefix + name]:.4f}" for name in names)
