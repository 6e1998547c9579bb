"""Counts per image, rates of their sums, intervals and differences over resampled images."""

import time

import numpy as np
import pytest

from dbnet.evaluation.counts import (
    Overlaps,
    count_images,
    differences,
    intervals,
    join_overlaps,
    metrics_of,
    rates,
    resampled_sums,
)


def dataset(num_images, share=0.7, seed=0):
    """Images of 1 to 9 texts, of which a share is found exactly, and as many false alarms."""
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(num_images):
        number = rng.integers(1, 10)
        iou = np.zeros((number, number))
        found = rng.random(number) < share
        iou[found, found.nonzero()[0]] = rng.uniform(0.55, 1, found.sum())
        results.append(dict(iou=iou, scores=rng.random(number, dtype=np.float32)))
    return results


@pytest.mark.parametrize(("hits", "texts", "predictions"), [(3, 7, 5), (1, 1, 9), (4, 4, 4)])
def test_hmean_is_the_harmonic_mean(hits, texts, predictions):
    precision, recall, hmean = rates(*map(np.float64, (hits, texts, predictions)))
    assert (precision, recall) == (hits / predictions, hits / texts)
    assert hmean == pytest.approx(1 / ((1 / precision + 1 / recall) / 2))


def test_rates_of_nothing():
    # Columns: nothing at all; predictions without texts; texts without predictions.
    precision, recall, hmean = rates(np.zeros(3), np.array([0.0, 0, 4]), np.array([0.0, 5, 0]))
    assert precision.tolist() == [1, 0, 0]
    assert recall.tolist() == [1, 1, 0]
    assert hmean.tolist() == [1, 0, 0]


def test_counts_of_one_image_by_hand():
    # Text 0 is hit twice, text 1 at an IoU of .65, text 2 by nothing.
    iou = np.array([[0.9, 0.72, 0], [0, 0, 0.65], [0.4, 0, 0]])
    scores = np.float32([0.35, 0.95, 0.55])
    (row,) = count_images(join_overlaps([dict(iou=iou, scores=scores)]))
    texts, predictions, fit = row[:3]
    assert (texts, predictions, fit) == (3, 3, pytest.approx(0.9 + 0.65))
    assert row[3:7].tolist() == [2, 2, 1, 1]  # at .5, .6, .7, .8
    assert row[7:14].tolist() == [3, 2, 2, 1, 1, 1, 1]  # predictions at .3, .4, ...
    assert row[14:21].tolist() == row[21:].tolist() == [2, 2, 2, 1, 1, 1, 1]


def test_metrics_of_many_sums_are_those_of_each():
    counts = count_images(join_overlaps(dataset(20)))
    sums = np.stack([counts[:7].sum(0), counts.sum(0), 0 * counts[0]])
    together = metrics_of(sums)
    for index, row in enumerate(sums):
        for name, value in metrics_of(row).items():
            assert together[name][index] == value


def test_a_result_without_scores_has_no_swept_metrics():
    results = [dict(result, scores=None) for result in dataset(3)]
    metrics = metrics_of(count_images(join_overlaps(results)).sum(axis=0))
    assert "hmean" not in metrics and "official_hmean" in metrics


def test_resampled_sums_are_of_as_many_images_and_the_same_for_all():
    counts = np.arange(6.0).reshape(3, 2) ** 2
    first, second = resampled_sums([counts, 2 * counts], resamples=50)
    assert first.shape == (50, 2)
    np.testing.assert_array_equal(second, 2 * first)
    possible = {tuple(counts[list(drawn)].sum(axis=0)) for drawn in np.ndindex(3, 3, 3)}
    assert {tuple(row) for row in first} <= possible
    (again,) = resampled_sums([counts], resamples=50)
    np.testing.assert_array_equal(first, again)


def test_interval_is_that_of_a_share():
    # One text and one prediction an image: every rate is the share of hits, a binomial variable.
    results = [
        dict(iou=np.full((1, 1), 0.9 * (i < 300)), scores=np.float32([0.95])) for i in range(400)
    ]
    low, high = intervals(count_images(join_overlaps(results)))["hmean"]
    deviation = (0.75 * 0.25 / 400) ** 0.5
    assert low == pytest.approx(0.75 - 1.96 * deviation, abs=0.004)
    assert high == pytest.approx(0.75 + 1.96 * deviation, abs=0.004)


def test_intervals_without_images_and_of_equal_images():
    assert intervals(count_images(join_overlaps([]))) == {}
    low, high = intervals(count_images(join_overlaps(dataset(1) * 9)))["official_hmean"]
    assert low == pytest.approx(high)


def test_difference_of_a_result_from_itself_and_from_a_worse_one():
    counts = count_images(join_overlaps(dataset(100)))
    for difference in differences(counts, counts, 200).values():
        assert difference == (0, 0, 0, 0)
    worse = dataset(100)
    for result in worse[::4]:
        result["iou"][:] = 0
    found = differences(counts, count_images(join_overlaps(worse)), 1000)["official_hmean"]
    assert 0 < found.low < found.change < found.high and found.share == 1


def test_pairing_takes_what_both_share_out_of_the_interval():
    # The same images with one hit less in every tenth: the difference is known far better than
    # either value.
    results = dataset(200)
    other = [dict(result, iou=result["iou"].copy()) for result in results]
    for result in other[::10]:
        result["iou"][0] = 0
    counts, others = (count_images(join_overlaps(r)) for r in (results, other))
    low, high = intervals(counts, 1000)["official_hmean"]
    change = differences(counts, others, 1000)["official_hmean"]
    assert change.high - change.low < (high - low) / 3


@pytest.mark.slow
def test_ten_thousand_resamples_of_500_images_take_less_than_two_seconds():
    counts = count_images(join_overlaps(dataset(500)))
    start = time.process_time()
    intervals(counts)
    assert time.process_time() - start < 2


def test_overlaps_are_numbered_throughout():
    first = dict(iou=np.array([[0.9, 0.0]]), scores=np.float32([0.5, 0.6]))
    second = dict(iou=np.array([[0.0], [0.8]]), scores=np.float32([0.7]))
    joined = join_overlaps([first, second])
    assert isinstance(joined, Overlaps)
    assert (joined.texts.tolist(), joined.predictions.tolist()) == ([0, 2], [0, 2])
    assert (joined.text_images.tolist(), joined.images.tolist()) == ([0, 1, 1], [0, 0, 1])
