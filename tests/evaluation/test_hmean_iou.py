import os
import pickle
import re

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp

from dbnet.evaluation.closing_lines import format_metrics
from dbnet.evaluation.counts import SCORE_THRESHOLDS, count_hits, join_overlaps
from dbnet.evaluation.matching import first_come
from dbnet.evaluation.metrics import HmeanIOUMetric, PredictionCollector
from dbnet.registry import METRICS


def points(*coordinates):
    return np.float32(coordinates).reshape(-1, 2)


def box(left, top, right, bottom):
    return points(left, top, right, top, right, bottom, left, bottom)


def sample(texts=(), ignored=None, predictions=(), scores=None):
    """One image as (meta, prediction); without scores all of them are 0.95."""
    if ignored is None:
        ignored = [False] * len(texts)
    if scores is None:
        scores = [0.95] * len(predictions)
    meta = dict(img_path="a.jpg", gt_polygons=list(texts), gt_ignored=ignored)
    return meta, dict(polygons=list(predictions), scores=np.float32(scores))


def evaluate(*samples):
    metric = METRICS.build(dict(type="HmeanIOUMetric"))
    for meta, prediction in samples:
        metric.process(dict(metas=[meta]), [prediction])
    return metric.evaluate(len(samples))


TEXTS = [box(0, 50 * i, 40, 50 * i + 20) for i in range(4)]
SQUARE = box(0, 0, 10, 10)
MISS = box(500, 500, 540, 520)
SWEPT = [TEXTS[0], TEXTS[1], MISS, MISS, TEXTS[2], TEXTS[3]]
FIT_OF_SWEPT = {  # every hit is the very text
    **{f"icdar/hmean_iou{key}": pytest.approx(8 / 10) for key in ("60", "70", "80", "_mean")},
    "icdar/mean_iou": 1,
}


def test_sweep_takes_the_lowest_of_the_best_thresholds():
    # hits / predictions: 3/5 at 0.3, 2/4 at 0.4, 2/3 at 0.5, 2/2 at 0.6 and 0.7, 1/1 at 0.8, 0.9.
    # hmean = 2 hits / (predictions + 4): 6/9, 4/8, 4/7, 4/6, 4/6, 2/5, 2/5: a tie of 0.3 and 0.6.
    metrics = evaluate(sample(TEXTS, predictions=SWEPT, scores=[0.95, 0.75, 0.55, 0.45, 0.35, 0.1]))
    assert metrics == {
        "icdar/precision": pytest.approx(3 / 5),
        "icdar/recall": pytest.approx(3 / 4),
        "icdar/hmean": pytest.approx(6 / 9),
        "icdar/best_score_thr": 0.3,
        # All six, the one of score 0.1 too: 4 hits.
        "icdar/official_precision": pytest.approx(4 / 6),
        "icdar/official_recall": pytest.approx(1),
        "icdar/official_hmean": pytest.approx(8 / 10),
        "icdar/max_hmean": pytest.approx(6 / 9),
        **FIT_OF_SWEPT,
    }
    assert {type(value) for value in metrics.values()} == {float}


def test_sweep_finds_a_high_threshold():
    # At 0.8: 2 hits of 2, hmean 4/6; below: 2 of at least 4.
    scores = [0.85, 0.8, 0.75, 0.71, 0.2, 0.2]
    metrics = evaluate(sample(TEXTS, predictions=SWEPT, scores=scores))
    assert metrics["icdar/best_score_thr"] == 0.8
    assert metrics["icdar/hmean"] == pytest.approx(4 / 6)
    assert (metrics["icdar/precision"], metrics["icdar/recall"]) == (1, 0.5)


@pytest.mark.parametrize("threshold", [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_score_equal_to_the_threshold_passes(threshold, dtype):
    below = np.nextafter(np.float32(threshold), np.float32(0))
    metric = HmeanIOUMetric()
    meta, prediction = sample([SQUARE], predictions=[SQUARE, MISS])
    prediction["scores"] = np.array([threshold, below], dtype=dtype)
    metric.process(dict(metas=[meta]), [prediction])
    overlaps = join_overlaps(metric.results)
    assert count_hits(threshold, overlaps, first_come).tolist() == [1]


def test_best_thresholds_of_the_two_matchings_are_independent():
    # First come: the prediction of 0.35 spoils the match of A and B (1 hit of 2 at 0.3, 1 of 1 at
    # 0.4). Maximum: 2 of 2 at 0.3.
    texts = [box(0, 0, 100, 10), box(30, 0, 130, 10)]
    predictions, scores = [box(15, 0, 115, 10), box(0, 0, 90, 10)], [0.95, 0.35]
    metrics = evaluate(sample(texts, predictions=predictions, scores=scores))
    assert metrics["icdar/best_score_thr"] == 0.4
    assert metrics["icdar/hmean"] == pytest.approx(2 / 3)
    assert metrics["icdar/max_hmean"] == 1


def test_without_scores_only_the_official_metrics_exist():
    meta, prediction = sample(TEXTS, predictions=SWEPT)
    assert evaluate((meta, dict(prediction, scores=None))) == {
        "icdar/official_precision": pytest.approx(4 / 6),
        "icdar/official_recall": pytest.approx(1),
        "icdar/official_hmean": pytest.approx(8 / 10),
        **FIT_OF_SWEPT,
    }


def test_stricter_hmean_and_mean_iou_by_hand():
    # A text of 100 x 10 and predictions that begin 10 and 20 pixels later: IoU 90 / 110 = .818 and
    # 80 / 120 = .667; the third text is missed, the fourth ignored with its prediction.
    texts = [box(0, y, 100, y + 10) for y in (0, 20, 40, 60)]
    predictions = [box(10, 0, 110, 10), box(20, 20, 120, 30), box(0, 60, 90, 70)]
    metrics = evaluate(sample(texts, [False, False, False, True], predictions))
    # 2 hits / (3 texts + 2 predictions) up to .6, one hit at .7 and .8.
    assert metrics["icdar/official_hmean"] == pytest.approx(4 / 5)
    assert metrics["icdar/hmean_iou60"] == pytest.approx(4 / 5)
    assert metrics["icdar/hmean_iou70"] == pytest.approx(2 / 5)
    assert metrics["icdar/hmean_iou80"] == pytest.approx(2 / 5)
    assert metrics["icdar/hmean_iou_mean"] == pytest.approx((4 + 4 + 2 + 2) / 5 / 4)
    assert metrics["icdar/mean_iou"] == pytest.approx((90 / 110 + 80 / 120) / 2)


def test_mean_iou_without_a_match_is_zero():
    assert evaluate(sample([SQUARE], predictions=[MISS]))["icdar/mean_iou"] == 0


def test_scores_may_be_a_tensor():
    meta, prediction = sample(TEXTS, predictions=SWEPT, scores=[0.95] * 6)
    expected = evaluate((meta, prediction))
    assert evaluate((meta, dict(prediction, scores=torch.full((6,), 0.95)))) == expected


def test_wrong_number_of_scores_is_an_error():
    with pytest.raises(ValueError, match="2 polygons have 1 scores"):
        evaluate(sample([SQUARE], predictions=[SQUARE, MISS], scores=[0.9]))


def test_first_come_and_maximum_matching_differ_in_the_metrics():
    # IoU of the first prediction with both texts 85 / 115; of the second with the first text
    # 90 / 100, with the second text 60 / 130.
    texts = [box(0, 0, 100, 10), box(30, 0, 130, 10)]
    metrics = evaluate(sample(texts, predictions=[box(15, 0, 115, 10), box(0, 0, 90, 10)]))
    assert metrics["icdar/hmean"] == 0.5
    assert metrics["icdar/official_hmean"] == 0.5
    assert metrics["icdar/max_hmean"] == 1


def test_ignored_texts_take_away_hits_too():
    # The prediction matches the second text (IoU 1) but lies within the first.
    metrics = evaluate(sample([box(-5, 0, 10, 10), SQUARE], [True, False], [SQUARE]))
    assert metrics["icdar/official_recall"] == 0
    assert metrics["icdar/official_precision"] == 0


# --- Nothing there ---

# Texts, ignored, predictions; then precision, recall, hmean.
EMPTY_CASES = {
    "no texts, no predictions": ([], [], [], (1, 1, 1)),
    "no texts, a prediction": ([], [], [SQUARE], (0, 1, 0)),
    "a text, no predictions": ([SQUARE], [False], [], (0, 0, 0)),
    "a text, a miss": ([SQUARE], [False], [MISS], (0, 0, 0)),
    "all ignored, the prediction too": ([SQUARE], [True], [SQUARE], (1, 1, 1)),
    "all ignored, a miss": ([SQUARE], [True], [MISS], (0, 1, 0)),
}


@pytest.mark.parametrize(
    ("texts", "ignored", "predictions", "expected"), EMPTY_CASES.values(), ids=EMPTY_CASES
)
def test_metrics_of_nothing(texts, ignored, predictions, expected):
    metrics = evaluate(sample(texts, ignored, predictions))
    for prefix in ("icdar/", "icdar/official_"):
        assert tuple(metrics[prefix + n] for n in ("precision", "recall", "hmean")) == expected
    assert metrics["icdar/max_hmean"] == expected[2]
    assert metrics["icdar/best_score_thr"] == 0.3


def test_metrics_of_no_images():
    assert evaluate()["icdar/hmean"] == 1


def test_counts_are_summed_before_they_are_divided():
    # 1 hit of 1 text and 3 predictions, 0 of 1 text: not the mean of two images' precisions.
    first = sample([SQUARE], predictions=[SQUARE, MISS, MISS])
    metrics = evaluate(first, sample([SQUARE]))
    assert metrics["icdar/precision"] == pytest.approx(1 / 3)
    assert metrics["icdar/recall"] == pytest.approx(1 / 2)
    assert metrics["icdar/hmean"] == pytest.approx(2 / 5)


# --- Several processes ---


def numbered_samples(count):
    """Image i has i predictions of its 6 texts and a miss, all of the score i / 10."""
    samples = []
    for i in range(count):
        texts = [box(0, 50 * k, 40, 50 * k + 20) for k in range(6)]
        predictions = texts[:i] + [MISS]
        meta, prediction = sample(texts, None, predictions, [i / 10] * len(predictions))
        samples.append((dict(meta, img_path=f"img_{i}.jpg"), prediction))
    return samples


def test_gathered_results_give_the_same_metrics_and_are_small():
    samples = numbered_samples(7)
    parts = [HmeanIOUMetric(), HmeanIOUMetric()]
    for i, (meta, prediction) in enumerate(samples):
        parts[i % 2].process(dict(metas=[meta]), [prediction])
    pickled = [pickle.dumps(part.results) for part in parts]
    gathered = [result for part in pickled for result in pickle.loads(part)]
    metrics = HmeanIOUMetric().compute_metrics(gathered)
    assert {f"icdar/{key}": value for key, value in metrics.items()} == evaluate(*samples)
    assert sum(map(len, pickled)) < 7 * 500


def evaluate_in_process(rank, samples, queue):
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    metric, collector = HmeanIOUMetric(), PredictionCollector()
    for meta, prediction in samples[rank::2]:
        metric.process(dict(metas=[meta]), [prediction])
        collector.process(dict(metas=[meta]), [prediction])
    metrics = metric.evaluate(len(samples)) | collector.evaluate(len(samples))
    queue.put((rank, metrics, list(collector.images)))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(20000 + os.getpid() % 20000))
    samples = numbered_samples(7)
    queue = mp.get_context("spawn").SimpleQueue()
    context = mp.spawn(evaluate_in_process, (samples, queue), nprocs=2, join=False)
    reports = {rank: report for rank, *report in (queue.get(), queue.get())}
    context.join()
    for metrics, _ in reports.values():
        assert metrics == evaluate(*samples)
    assert [image["img_path"] for image in reports[0][1]] == [m["img_path"] for m, _ in samples]


# --- Around the metric ---


def test_collector_holds_the_predictions_of_the_data_set_as_lists():
    collector = METRICS.build(dict(type="PredictionCollector"))
    first = sample(predictions=[points(1, 2, 3, 4, 5.5, 6)], scores=[0.5])
    for meta, prediction in (first, sample(), first):
        collector.process(dict(metas=[meta]), [prediction])
    assert collector.evaluate(2) == {}  # the third is the sampler's padding
    assert collector.images == [
        dict(img_path="a.jpg", polygons=[[1, 2, 3, 4, 5.5, 6]], scores=[0.5]),
        dict(img_path="a.jpg", polygons=[], scores=[]),
    ]


def test_lines_at_the_end_of_the_tools():
    metrics = {
        "icdar/precision": 0.87104,
        "icdar/recall": 0.731,
        "icdar/hmean": 0.79496,
        "icdar/best_score_thr": 0.5,
        "icdar/official_precision": 0.1,
        "icdar/official_recall": 1.0,
        "icdar/official_hmean": 2 / 11,
        "icdar/max_hmean": 0.8,
        "loss": 3.0,
    }
    official = "official: precision 0.1000 recall 1.0000 hmean 0.1818"
    fit = {"icdar/hmean_iou60": 0.16, "icdar/hmean_iou70": 0.12345, "icdar/hmean_iou80": 0}
    assert format_metrics({**fit, "icdar/mean_iou": 0.75}) == [
        "fit: hmean 0.1600 at IoU 0.6, 0.1235 at IoU 0.7, 0.0000 at IoU 0.8; mean IoU 0.7500"
    ]
    assert format_metrics(metrics) == [
        "icdar: precision 0.8710 recall 0.7310 hmean 0.7950 (score threshold 0.5)",
        official,
    ]
    only_official = {key: value for key, value in metrics.items() if "official" in key}
    assert format_metrics(only_official) == [official]
    assert format_metrics({}) == []


def test_intervals_are_metrics_and_a_line():
    hit, miss = sample([SQUARE], predictions=[SQUARE]), sample([SQUARE], predictions=[MISS])
    metric = HmeanIOUMetric(bootstrap=500)
    for meta, prediction in [hit] * 30 + [miss] * 20:
        metric.process(dict(metas=[meta]), [prediction])
    metrics = metric.evaluate(50)
    for name in ("hmean", "official_hmean"):
        # hmean is the share of hits: its standard deviation is sqrt(.6 * .4 / 50) = .069.
        assert metrics[f"icdar/{name}_low"] == pytest.approx(0.6 - 1.96 * 0.069, abs=0.03)
        assert metrics[f"icdar/{name}_high"] == pytest.approx(0.6 + 1.96 * 0.069, abs=0.03)
    line = next(line for line in format_metrics(metrics) if line.startswith("95 %"))
    assert re.fullmatch(
        r"95 % intervals over images: hmean 0\.\d{4} to 0\.\d{4}, official_hmean 0\.\d{4} to "
        r"0\.\d{4}",
        line,
    )


def test_thresholds_are_the_seven_of_mmocr():
    np.testing.assert_allclose(SCORE_THRESHOLDS, np.arange(0.3, 0.9, 0.1), atol=1e-9)
