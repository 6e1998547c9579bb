"""What a dataset's metrics are made of: counts per image, their sums, and resampled sums."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from dbnet.evaluation.matching import MIN_IOU, first_come, match_image, maximum

# MMOCR's. Decimals instead of np.arange, whose 0.7000000000000002 drops a score of 0.7.
SCORE_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
STRICT_IOUS = (0.5, 0.6, 0.7, 0.8)

RESAMPLES = 10_000
BLOCK = 5_000_000  # images drawn at once, over all resamples
INTERVAL = (2.5, 97.5)  # percentiles

# Texts and predictions of hits, each (P,), to the indices (K,) of those that are matches.
Match = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Columns of the counts, per image.
TEXTS, PREDICTIONS, FIT = 0, 1, 2
STRICT = slice(3, 7)  # hits at each of `STRICT_IOUS`
SWEPT, HITS, MOST = slice(7, 14), slice(14, 21), slice(21, 28)  # at each of `SCORE_THRESHOLDS`


class Overlaps(NamedTuple):
    """The hits of a dataset of N images, numbered throughout, sorted by text, then prediction."""

    texts: np.ndarray  # (P,) text of each pair whose IoU exceeds one half
    predictions: np.ndarray  # (P,) its prediction
    iou: np.ndarray  # (P,) float64
    text_images: np.ndarray  # (G,) the image of each text
    images: np.ndarray  # (M,) the image of each prediction
    scores: np.ndarray | None  # (M,) float32 of the predictions, None if some image came without
    num_images: int  # N


def measure_image(
    gt_polygons: Sequence[np.ndarray],
    gt_ignored: Sequence[bool],
    polygons: Sequence[np.ndarray],
    scores: np.ndarray | None,
) -> dict[str, np.ndarray | None]:
    """Measure what `join_overlaps` takes of an image; see `match_image`, scores are (M,)."""
    if scores is not None and len(scores) != len(polygons):
        raise ValueError(f"{len(polygons)} polygons have {len(scores)} scores")
    iou, counted = match_image(gt_polygons, gt_ignored, polygons)
    if scores is not None:
        # In float32 a score of 0.3 passes the threshold 0.3, whatever type it came in.
        scores = np.asarray(scores, dtype=np.float32)[counted]
    return dict(iou=iou, scores=scores)


def join_overlaps(results: Sequence[dict]) -> Overlaps:
    """Join the images of a dataset, each with `iou`, (G, M) float64, and `scores`, (M,) or None."""
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


def count_images(overlaps: Overlaps) -> np.ndarray:
    """Count texts, predictions and matches of every image.

    Returns (N, 28) float64, or (N, 7) without scores; see the columns above.
    """
    matched = first_come(overlaps.texts, overlaps.predictions)
    images = overlaps.text_images[overlaps.texts[matched]]
    columns = [_per_image(overlaps.text_images, overlaps), _per_image(overlaps.images, overlaps)]
    columns += [_per_image(images, overlaps, overlaps.iou[matched]), _per_image(images, overlaps)]
    columns += [count_hits(None, overlaps, first_come, limit) for limit in STRICT_IOUS[1:]]
    if overlaps.scores is not None:
        for limit in SCORE_THRESHOLDS:
            passing = overlaps.scores >= np.float32(limit)
            columns.append(_per_image(overlaps.images[passing], overlaps))
        for match in (first_come, maximum):
            columns += [count_hits(limit, overlaps, match) for limit in SCORE_THRESHOLDS]
    return np.stack(columns, axis=1)


def count_hits(
    score_thr: float | None, overlaps: Overlaps, match: Match, min_iou: float = MIN_IOU
) -> np.ndarray:
    """Count the matches of every image, (N,) float64.

    Predictions of a lower score are left out, with None all stay; a match overlaps by more than
    `min_iou`, one half or more.
    """
    kept = overlaps.iou > min_iou
    if score_thr is not None and overlaps.scores is not None:
        kept &= (overlaps.scores >= np.float32(score_thr))[overlaps.predictions]
    texts = overlaps.texts[kept]
    matched = texts[match(texts, overlaps.predictions[kept])]
    return _per_image(overlaps.text_images[matched], overlaps)


def _per_image(
    images: np.ndarray, overlaps: Overlaps, weights: np.ndarray | None = None
) -> np.ndarray:
    return np.bincount(images, weights, overlaps.num_images).astype(np.float64)


def metrics_of(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Form all metrics from sums of counts over images, (..., 28) or (..., 7); each (...).

    Or from sums of a protocol's, (..., 4), the columns of `protocols.scene.Row`.
    """
    if counts.shape[-1] == 4:
        return dict(zip(("precision", "recall", "hmean"), weighted_rates(counts)))
    texts, predictions = counts[..., TEXTS], counts[..., PREDICTIONS]
    strict = counts[..., STRICT]
    official = rates(strict[..., 0], texts, predictions)
    _, _, hmeans = rates(strict, texts[..., None], predictions[..., None])
    metrics = dict(zip(("official_precision", "official_recall", "official_hmean"), official))
    for index, limit in enumerate(STRICT_IOUS[1:], start=1):
        metrics[f"hmean_iou{round(100 * limit)}"] = hmeans[..., index]
    metrics["hmean_iou_mean"] = hmeans.mean(axis=-1)
    metrics["mean_iou"] = counts[..., FIT] / np.maximum(strict[..., 0], 1)
    if counts.shape[-1] == MOST.stop:
        swept = texts[..., None], counts[..., SWEPT]
        precision, recall, hmean = rates(counts[..., HITS], *swept)
        best = hmean.argmax(axis=-1)[..., None]  # the lowest threshold, if several
        for name, values in dict(precision=precision, recall=recall, hmean=hmean).items():
            metrics[name] = np.take_along_axis(values, best, axis=-1)[..., 0]
        metrics["best_score_thr"] = np.array(SCORE_THRESHOLDS)[best[..., 0]]
        metrics["max_hmean"] = rates(counts[..., MOST], *swept)[2].max(axis=-1)
    return metrics


def rates(
    hits: np.ndarray, texts: np.ndarray, predictions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and their harmonic mean, from counts over a dataset.

    Without texts the recall is 1, and the precision is 1 only without predictions; with texts but
    without predictions the precision is 0. So does MMOCR's `compute_hmean`. (ICDAR2015's script
    agrees for a single image, but calls all three 0 for a dataset without texts.)
    """
    nothing = (predictions == 0).astype(np.float64)
    precision = np.where(texts == 0, nothing, hits / np.maximum(predictions, 1))
    recall = np.where(texts == 0, 1.0, hits / np.maximum(texts, 1))
    # 2 P R / (P + R), in whole numbers: equal means are equal floats, as ties need.
    hmean = np.where(texts == 0, nothing, 2 * hits / np.maximum(texts + predictions, 1))
    return precision, recall, hmean


def weighted_rates(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and hmean of a protocol's sums (..., 4); without texts as in `rates`."""
    found, texts, right, predictions = np.moveaxis(sums, -1, 0)
    nothing = (predictions == 0).astype(np.float64)
    precision = np.where(texts == 0, nothing, np.maximum(right, 0) / np.maximum(predictions, 1))
    recall = np.where(texts == 0, 1.0, np.maximum(found, 0) / np.maximum(texts, 1))
    total = precision + recall
    hmean = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return precision, recall, hmean


def metrics_with_intervals(counts: np.ndarray, resamples: int, names: Sequence[str]) -> dict:
    """Form the metrics of a dataset from the counts (N, K) of its images, plain floats.

    Those of `names` get `NAME_low` and `NAME_high`, see `intervals`, if there are `resamples`.
    """
    metrics = {name: float(value) for name, value in metrics_of(counts.sum(axis=0)).items()}
    ends = intervals(counts, resamples) if resamples else {}
    for name in names:
        if name in ends:
            metrics |= {f"{name}_low": ends[name][0], f"{name}_high": ends[name][1]}
    return metrics


def resampled_sums(
    counts: Sequence[np.ndarray], resamples: int = RESAMPLES, seed: int = 0
) -> list[np.ndarray]:
    """Sum the counts of images drawn at random with replacement, as many as there are.

    Of one or more results on the same N images, each (N, K), all get the same draws; the sums are
    (R, K) for each.
    """
    num_images = len(counts[0])
    rng = np.random.default_rng(seed)
    sums: list[list[np.ndarray]] = [[] for _ in counts]
    block = max(1, BLOCK // num_images)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(num_images, size=(rows, num_images))
        drawn += num_images * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * num_images).reshape(rows, -1)
        for parts, each in zip(sums, counts):
            parts.append(weights @ each)
    return [np.concatenate(parts) for parts in sums]


def intervals(counts: np.ndarray, resamples: int = RESAMPLES) -> dict[str, tuple[float, float]]:
    """95 % interval of each metric, percentiles over resampled images; none without images."""
    if len(counts) == 0:
        return {}
    (sums,) = resampled_sums([counts], resamples)
    return {
        name: (float(low), float(high))
        for name, values in metrics_of(sums).items()
        for low, high in [np.percentile(values, INTERVAL)]
    }


class Difference(NamedTuple):
    """How much higher one result is than another on the same images."""

    change: float  # on all images
    low: float  # 2.5th percentile over resampled images
    high: float  # 97.5th
    share: float  # of the resamples in which it is above 0


def differences(
    counts: np.ndarray, others: np.ndarray, resamples: int = RESAMPLES
) -> dict[str, Difference]:
    """Compare two results image by image, for each metric that both have."""
    pair = counts, others
    totals = [metrics_of(each.sum(axis=0)) for each in pair]
    drawn = [metrics_of(sums) for sums in resampled_sums(pair, resamples)]
    found = {}
    for name in [name for name in totals[0] if name in totals[1]]:
        change = drawn[0][name] - drawn[1][name]
        low, high = np.percentile(change, INTERVAL)
        total = float(totals[0][name] - totals[1][name])
        found[name] = Difference(total, float(low), float(high), float((change > 0).mean()))
    return found
