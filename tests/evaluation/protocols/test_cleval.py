"""CLEval: characters found, of texts, right, of predictions, worked out by hand."""

import numpy as np
import pytest

from dbnet.evaluation.protocols.cleval import _characters
from tests.evaluation.protocols.scenes import BOW_TIE, LINE, TWO_POINTS, box, count, points

TEXT = box(0, 0, 100, 20)  # of 5 characters, centres at x = 10, 30, 50, 70, 90


def cleval(texts, predictions, chars, ignored=None):
    return count("cleval", texts, predictions, ignored, chars)


@pytest.mark.parametrize(
    ("prediction", "expected"),
    [
        (TEXT, (5, 5, 5, 5)),
        (box(0, 0, 71, 20), (4, 5, 4, 4)),  # its end is cut off, which costs recall alone
        (box(0, 0, 300, 20), (5, 5, 5, 5)),  # a third of it is text, 0.3 is enough
        # A quarter is text: a false alarm, of round(0.5 + 1/20) characters by its shape.
        (box(0, 0, 400, 20), (0, 5, 0, 1)),
        # On the middle line no more than its left end is inside.
        (box(10, 0, 30, 20), (1, 5, 1, 1)),
    ],
)
def test_characters_of_one_prediction(prediction, expected):
    assert cleval([TEXT], [prediction], [5]) == expected


def test_pieces_cost_recall_and_merged_texts_precision():
    # 2 and 3 characters in two pieces: 5 - 1 to recall.
    assert cleval([TEXT], [box(0, 0, 40, 20), box(40, 0, 100, 20)], [5]) == (4, 5, 5, 5)
    # 5 and 3 characters of two texts in one prediction: 8 - 1 to precision.
    texts = [TEXT, box(110, 0, 170, 20)]
    assert cleval(texts, [box(0, 0, 170, 20)], [5, 3]) == (8, 8, 7, 8)


def test_a_character_in_two_predictions_counts_once_as_found():
    # Both hold the third: found 5 of 5, less 1 for pieces; the predictions hold 3 + 3.
    assert cleval([TEXT], [box(0, 0, 60, 20), box(40, 0, 100, 20)], [5]) == (4, 5, 5, 6)


def test_false_alarms_count_what_their_shape_could_hold():
    # round(0.5 + height / width), in the package too: 0.5 + 5.5 is 6, 0.5 + 1/5 is 1, at most 10.
    for outline, chars in ((box(0, 0, 20, 110), 6), (TEXT, 1), (box(0, 0, 10, 500), 10)):
        assert cleval([], [outline], []) == (0, 0, 0, chars)


def test_predictions_in_ignored_texts_do_not_count():
    # 0.3 of the prediction is enough; an ignored text is its area less that of other texts.
    assert cleval([TEXT], [box(70, 0, 170, 20)], [5], [True]) == (0, 0, 0, 0)
    assert cleval([TEXT], [box(71, 0, 171, 20)], [5], [True]) == (0, 0, 0, 1)
    assert cleval([TEXT, TEXT], [TEXT], [5, 5], [True, False]) == (5, 5, 5, 5)
    # 0.2 in each of two ignored texts, and a point of each: together they are enough.
    texts = [box(-60, 0, 20, 20), box(80, 0, 160, 20)]
    assert cleval(texts, [TEXT], [1, 1], [True, True]) == (0, 0, 0, 0)
    assert cleval(texts[:1], [TEXT], [1], [True]) == (0, 0, 0, 1)


def test_a_text_without_transcription_has_the_length_of_its_shape():
    # round(0.5 + 5.5) characters, whichever side is longer.
    for text in (box(0, 0, 110, 20), box(0, 0, 20, 110)):
        assert cleval([text], [text], [-1]) == (6, 6, 6, 6)
        assert cleval([text], [text], ()) == (6, 6, 6, 6)
    assert cleval([TEXT], [TEXT], [0]) == (0, 0, 0, 1)  # an empty one has none: a false alarm


@pytest.mark.parametrize(
    ("outline", "number", "expected"),
    [
        (TEXT, 2, [(25, 10), (75, 10)]),
        # Narrower than half its height: read from the bottom to the top, as its corners begin.
        (box(0, 0, 20, 100), 2, [(10, 75), (10, 25)]),
        # A bent band of 6 corners: the middle line runs (0, 5), (40, 15), (80, 5).
        (points(0, 0, 40, 10, 80, 0, 80, 10, 40, 20, 0, 10), 2, [(20, 10), (60, 10)]),
        (points(0, 0, 40, 10, 80, 0, 80, 10, 40, 20, 0, 10), 1, [(40, 5)]),
    ],
)
def test_characters_lie_on_the_middle_line(outline, number, expected):
    np.testing.assert_allclose(_characters(outline, number, False), expected)


@pytest.mark.parametrize("outline", [LINE, TWO_POINTS, points(3, 3)], ids=["line", "two", "one"])
def test_outlines_without_area(outline):
    found, texts, right, predictions = cleval([TEXT], [TEXT, outline + [300, 300]], [5])
    assert (found, texts, right) == (5, 5, 5)
    assert 6 <= predictions <= 15
    assert cleval([TEXT, outline + [300, 300]], [TEXT], [5, 3]) == (5, 8, 5, 5)


def test_an_outline_that_crosses_itself_has_no_area():
    assert cleval([TEXT], [BOW_TIE], [5])[0] == 0


def test_nothing():
    assert cleval([], [], []) == (0, 0, 0, 0)
    assert cleval([TEXT], [], [5]) == (0, 5, 0, 0)
