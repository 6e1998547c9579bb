"""ICDAR2013, DetEval and Total-Text: (found, texts, right, predictions) worked out by hand."""

import numpy as np
import pytest

from tests.evaluation.protocols.scenes import BOW_TIE, LINE, TWO_POINTS, box, count, points

TEXT = box(0, 0, 99, 19)  # 100 x 20 pixels, of which each counts half a pixel around its centre
BESIDE = box(110, 0, 209, 19)
ICDAR = ["icdar2013", "icdar2013_deteval"]
ALL = [*ICDAR, "deteval", "totaltext"]


def thirds(text):
    (left, top), (right, bottom) = text[0], text[2]
    step = (right - left) / 3
    return [box(left + i * step, top, left + (i + 1) * step, bottom) for i in range(3)]


@pytest.mark.parametrize("name", ALL)
def test_one_to_one(name):
    assert count(name, [TEXT, BESIDE], [TEXT]) == (1, 2, 1, 1)


@pytest.mark.parametrize("name", ALL)
def test_a_split_text_and_each_of_its_pieces_count_less(name):
    # Three pieces inside the text that cover it: 0.8 of a text, 3 * 0.8 of three predictions.
    assert count(name, [TEXT], thirds(TEXT)) == pytest.approx((0.8, 1, 2.4, 3))


@pytest.mark.parametrize(
    ("name", "found", "right"),
    [
        # One piece of the merged box lies in each text by more than 0.4: a "split" with one piece,
        # which takes the prediction. The other text stays without.
        ("icdar2013", 0.8, 0.8),
        ("icdar2013_deteval", 2, 1),  # a text that touches one prediction is not split
        ("deteval", 2, 1),
        ("totaltext", 1.6, 0.8),
    ],
)
def test_merged_texts(name, found, right):
    assert count(name, [TEXT, BESIDE], [box(0, 0, 209, 19)]) == pytest.approx((found, 2, right, 1))


@pytest.mark.parametrize("name", ICDAR)
@pytest.mark.parametrize(
    ("width", "hit"),
    [(80, 1), (79, 0)],  # pixels of 100: 0.8 is enough
)
def test_recall_is_counted_in_whole_pixels(name, width, hit):
    assert count(name, [TEXT], [box(0, 0, width - 1, 19)])[0] == hit


@pytest.mark.parametrize("name", ICDAR)
@pytest.mark.parametrize(("height", "hit"), [(50, 1), (51, 0)])  # 20 pixels of 50: 0.4 is enough
def test_precision_is_counted_in_whole_pixels(name, height, hit):
    assert count(name, [TEXT], [box(0, 0, 99, height - 1)])[0] == hit


def test_a_tie_that_floats_miss_is_a_hit():
    # Exactly 0.8 of a slanted text of 508 square pixels, which the areas' quotient misses by a bit.
    text = points(25, 20, 51, 22, 57, 42, 31, 40)
    assert count("deteval", [text], [box(25, 20, 57, 37)]) == (1, 1, 1, 1)


@pytest.mark.parametrize("name", ICDAR)
def test_two_predictions_alike_are_pieces(name):
    # Each covers the text, so that no pair is the only one of either.
    assert count(name, [TEXT], [TEXT, TEXT]) == pytest.approx((0.8, 1, 1.6, 2))


def test_deteval_takes_nothing_for_one_to_one_that_touches_something_else():
    # The second prediction touches the text with a hundredth of its area. ICDAR2013: one to one.
    # DetEval: no, but a text in a single piece, which counts in full.
    texts, predictions = [TEXT], [box(0, 0, 89, 19), box(99, 0, 198, 19)]
    assert count("icdar2013", texts, predictions) == (1, 1, 1, 2)
    assert count("icdar2013_deteval", texts, predictions) == (1, 1, 1, 2)
    # The same with a prediction that touches two texts and covers the one: a merged pair of one.
    texts, predictions = [TEXT, box(99, 0, 300, 19)], [TEXT]
    assert count("icdar2013_deteval", texts, predictions) == (1, 2, 1, 1)


def test_centres_must_be_near():
    # Text of 100 x 1, prediction of 200 x 1 around it: recall 1, precision 0.5. "Centres" are means
    # of the corners: with 18 of 20 on one end they lie at 10 and at 180, and 2 * 170 > 100 + 200.
    rise = np.linspace(0, 1, 18)[:, None] * [0, 1]
    text = np.concatenate([[[100, 0], [100, 1]], rise[::-1]])
    prediction = np.concatenate([[[0, 1], [0, 0]], [200, 0] + rise])
    assert count("deteval", [text], [prediction]) == (0, 1, 0, 1)
    assert count("deteval", [box(0, 0, 100, 1)], [box(0, 0, 200, 1)]) == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("name", "share", "left_out"),
    [
        ("icdar2013", 41, True),
        ("icdar2013", 40, False),  # exactly 0.4 counts
        ("icdar2013_deteval", 41, True),
        ("deteval", 41, True),
        ("deteval", 40, False),
        ("totaltext", 51, True),  # 51 * 20 of 2000 + 1 square pixels are more than half
        ("totaltext", 50, False),
    ],
)
def test_predictions_in_an_ignored_text_do_not_count(name, share, left_out):
    inclusive = 1 if name.startswith("icdar2013") else 0
    prediction = box(0, 0, 100 - inclusive, 20 - inclusive)
    ignored = box(100 - share, 0, 300, 20 - inclusive)
    assert count(name, [ignored], [prediction], [True]) == (0, 0, 0, 0 if left_out else 1)


def test_totaltext_rounds_shares_to_two_digits():
    # 0.704 of the text is rounded to 0.70, which is not more than 0.7; 0.706 to 0.71.
    for width, hit in ((704, 0), (706, 1)):
        assert count("totaltext", [box(0, 0, 1000, 20)], [box(0, 0, width, 20)])[0] == hit


def test_totaltext_splits_and_merges_by_its_own_thresholds():
    # Pieces that cover 0.69 of the text are not enough, 0.70 are.
    for right, found in ((69, 0), (70, 0.8)):
        pieces = [box(0, 0, 30, 20), box(30, 0, right, 20)]
        assert count("totaltext", [box(0, 0, 100, 20)], pieces)[0] == found
    # A merged text needs 0.6 of its area, not 0.7, unless it is the only one.
    texts = [box(0, 0, 100, 20), box(110, 0, 210, 20)]
    assert count("totaltext", texts, [box(35, 0, 210, 20)]) == pytest.approx((1.6, 2, 0.8, 1))


@pytest.mark.parametrize("outline", [LINE, TWO_POINTS], ids=["line", "two points"])
@pytest.mark.parametrize(
    ("name", "as_text", "as_prediction"),
    [  # (found, texts, right, predictions) beside a text that is found
        ("deteval", (1, 1, 1, 1), (1, 1, 1, 1)),  # left out
        ("totaltext", (1, 2, 1, 1), (1, 1, 1, 2)),  # finds nothing
        ("icdar2013", (1, 2, 1, 1), (1, 1, 1, 2)),  # its box is one pixel high
    ],
)
def test_outlines_without_area(name, as_text, as_prediction, outline):
    outline = outline + [300, 300]
    assert count(name, [TEXT, outline], [TEXT]) == as_text
    assert count(name, [TEXT], [TEXT, outline]) == as_prediction


def test_outlines_that_cross_themselves():
    square = box(0, 0, 100, 20)
    assert count("deteval", [square], [BOW_TIE]) == (0, 1, 0, 0)
    # Its area is 0 by the shoelace formula: no part of it lies anywhere.
    assert count("totaltext", [square], [BOW_TIE]) == (0, 1, 0, 1)
    assert count("icdar2013", [square], [BOW_TIE]) == (1, 1, 1, 1)  # its box is the text


@pytest.mark.parametrize("name", ALL)
def test_nothing(name):
    assert count(name, [], []) == (0, 0, 0, 0)
    assert count(name, [TEXT], []) == (0, 1, 0, 0)
    assert count(name, [], [TEXT]) == (0, 0, 0, 1)
