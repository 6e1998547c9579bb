from collections.abc import Callable, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric

from dbnet.evaluation.matching import (
    first_come_matches,
    match_image,
    maximum_matches,
    precision_recall_hmean,
)
from dbnet.registry import METRICS

# MMOCR's. Decimals instead of np.arange, whose 0.7000000000000002 drops a score of 0.7.
SCORE_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


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

    If a prediction comes without scores (None), only the official ones exist.
    """

    default_prefix = "icdar"

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep what a batch adds: a small bool matrix and the scores per image.

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
            hits, counted = match_image(meta["gt_polygons"], meta["gt_ignored"], polygons)
            if scores is not None:
                # In float32 a score of 0.3 passes the threshold 0.3, whatever type it came in.
                scores = np.asarray(scores, dtype=np.float32)[counted]
            self.results.append(dict(hits=hits, scores=scores))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Sum the counts over all images and form the metrics, plain floats without prefix.

        Args:
            results: What `process` kept of every image, gathered from all processes.
        """
        official = precision_recall_hmean(*count_at(None, results, first_come_matches))
        metrics = dict(zip(("official_precision", "official_recall", "official_hmean"), official))
        if any(result["scores"] is None for result in results):
            return metrics
        best_score_thr, best = best_threshold(results, first_come_matches)
        _, best_maximum = best_threshold(results, maximum_matches)
        return dict(
            **dict(zip(("precision", "recall", "hmean"), best)),
            best_score_thr=best_score_thr,
            **metrics,
            max_hmean=best_maximum[2],
        )


def best_threshold(
    results: list[dict], matches: Callable[[np.ndarray], int]
) -> tuple[float, tuple[float, float, float]]:
    """Find the lowest score threshold of the best hmean, and its precision, recall and hmean.

    Args:
        results: A dict per image with `hits`, (G, M) bool, and `scores`, (M,) float32.
        matches: Counts the one-to-one matches in `hits`.
    """
    counts = count_at_all(SCORE_THRESHOLDS, results, matches)
    evaluated = [precision_recall_hmean(*count) for count in counts]
    return max(zip(SCORE_THRESHOLDS, evaluated), key=lambda pair: pair[1][2])


def count_at(
    score_thr: float | None, results: list[dict], matches: Callable[[np.ndarray], int]
) -> tuple[int, int, int]:
    """Count matches, texts and predictions over a data set.

    Args:
        score_thr: Predictions of a lower score are left out; with None all stay.
        results: As of `best_threshold`.
        matches: As of `best_threshold`.
    """
    num_hits = num_texts = num_predictions = 0
    for result in results:
        hits = result["hits"]
        if score_thr is not None:
            hits = hits[:, result["scores"] >= np.float32(score_thr)]
        num_hits += matches(hits)
        num_texts += hits.shape[0]
        num_predictions += hits.shape[1]
    return num_hits, num_texts, num_predictions


def count_at_all(
    score_thrs: Sequence[float], results: list[dict], matches: Callable[[np.ndarray], int]
) -> list[tuple[int, int, int]]:
    """Count as `count_at` does, at many thresholds.

    Only texts and predictions that compete for each other are matched; these are few.
    """
    parts = [split_contested(result["hits"], result["scores"]) for result in results]
    nothing = np.zeros(0, dtype=np.float32)  # without images there would be no array to join
    lone_scores = np.concatenate([nothing, *(lone for lone, _ in parts)])
    scores = np.concatenate([nothing, *(result["scores"] for result in results)])
    contested = [part for _, part in parts if part["scores"].size]
    num_texts = sum(len(result["hits"]) for result in results)
    counts = []
    for score_thr in score_thrs:
        num_hits, _, _ = count_at(score_thr, contested, matches)
        num_hits += int((lone_scores >= np.float32(score_thr)).sum())
        counts.append((num_hits, num_texts, int((scores >= np.float32(score_thr)).sum())))
    return counts


def split_contested(hits: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, dict]:
    """Set the matches that nothing else competes for apart.

    A prediction that hits one text, which no other prediction hits, is matched by any strategy as
    long as its score passes, and changes no other match.

    Args:
        hits: (G, M) bool.
        scores: (M,) float32.

    Returns:
        The scores of those predictions, and `hits` and `scores` of all others that hit anything.
    """
    of_text, of_prediction = hits.sum(axis=1), hits.sum(axis=0)
    texts, predictions = np.nonzero(hits)
    lone = (of_text[texts] == 1) & (of_prediction[predictions] == 1)
    if lone.all():  # the usual case
        return scores[predictions], dict(hits=hits[:0, :0], scores=scores[:0])
    lone_scores = scores[predictions[lone]]
    texts, predictions = np.unique(texts[~lone]), np.unique(predictions[~lone])
    contested = hits[np.ix_(texts, predictions)]
    return lone_scores, dict(hits=contested, scores=scores[predictions])


def format_metrics(metrics: dict[str, float]) -> list[str]:
    """Write the closing lines of the tools: one for `icdar`, if there were scores, one `official`.

    Args:
        metrics: What the evaluator returns, with keys such as `icdar/hmean`; others are skipped.
    """
    lines = []
    if "icdar/hmean" in metrics:
        threshold = f"(score threshold {metrics['icdar/best_score_thr']:.1f})"
        lines.append(f"icdar: {_triple(metrics, 'icdar/')} {threshold}")
    if "icdar/official_hmean" in metrics:
        lines.append(f"official: {_triple(metrics, 'icdar/official_')}")
    return lines


def _triple(metrics: dict[str, float], prefix: str) -> str:
    names = ("precision", "recall", "hmean")
    return " ".join(f"{name} {metrics[prefix + name]:.4f}" for name in names)
