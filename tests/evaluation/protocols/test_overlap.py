"""CTW1500, TD500, MLT and TIoU: (found, texts, right, predictions) worked out by hand."""

import math

import numpy as np
import pytest

from dbnet.geometry import rotated
from tests.evaluation.protocols.scenes import BOW_TIE, LINE, TWO_POINTS, box, count, points

TEXT = box(0, 0, 100, 20)
ALL = ["icdar2015", "mlt", "ctw1500", "td500", "tiou"]


@pytest.mark.parametrize("name", ALL)
def test_one_text_found_and_one_missed(name):
    assert count(name, [TEXT, TEXT + [0, 100]], [TEXT]) == (1, 2, 1, 1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("right", "found"), [(50, False), (51, True)])  # IoU right / 100
def test_an_iou_of_one_half_is_not_enough(name, right, found):
    assert (count(name, [TEXT], [box(0, 0, right, 20)])[0] > 0) == found


@pytest.mark.parametrize("name", ALL)
def test_a_second_prediction_of_a_text_is_wrong(name):
    assert count(name, [TEXT], [TEXT, TEXT]) == (1, 1, 1, 2)


def test_ctw1500_gives_each_prediction_to_its_best_text_alone():
    # Both predictions are best for the first text: IoU 1 and 95/105, against 85/115 and 90/110. So
    # the second text is missed, where ICDAR2015 matches two.
    texts = [box(0, 0, 100, 20), box(15, 0, 115, 20)]
    predictions = [box(0, 0, 100, 20), box(5, 0, 105, 20)]
    assert count("ctw1500", texts, predictions) == (1, 2, 1, 2)
    assert count("icdar2015", texts, predictions) == (2, 2, 2, 2)


def test_ctw1500_with_two_texts_equally_good_takes_the_first():
    texts = [box(0, 0, 100, 20), box(0, 0, 100, 20)]
    assert count("ctw1500", texts, [TEXT, TEXT]) == (1, 2, 1, 2)


def test_ignored_texts():
    # More than half of the prediction, 52 of 80, but an IoU of 52/128: left out by ICDAR2015 alone.
    ignored, prediction = box(0, 0, 100, 20), box(48, 0, 128, 20)
    assert count("icdar2015", [ignored], [prediction], [True]) == (0, 0, 0, 0)
    assert count("ctw1500", [ignored], [prediction], [True]) == (0, 0, 0, 1)
    assert count("ctw1500", [ignored], [ignored], [True]) == (0, 0, 0, 0)
    # TD500: a difficult line that is found counts, one that is missed does not.
    assert count("td500", [ignored], [ignored], [True]) == (1, 1, 1, 1)
    assert count("td500", [ignored], [prediction], [True]) == (0, 0, 0, 1)


@pytest.mark.parametrize(("degrees", "found"), [(0, 1), (22, 1), (23, 0), (90, 0), (178, 1)])
def test_td500_turns_rectangles_level_before_it_measures_them(degrees, found):
    # About one centre and of one size, their overlap is 1 at any angle; pi / 8 is 22.5 degrees.
    turned = rotated(TEXT, math.radians(degrees))
    assert count("td500", [TEXT], [turned]) == (found, 1, found, 1)


@pytest.mark.parametrize(("degrees", "found"), [(22, 1), (23, 0), (67, 0), (68, 1), (90, 1)])
def test_td500_takes_either_side_of_a_square(degrees, found):
    text, square = box(0, 0, 28, 25), box(0, 0, 27, 27)
    assert count("td500", [text], [rotated(square, math.radians(degrees))])[0] == found
    assert count("td500", [rotated(square, math.radians(degrees))], [text])[0] == found


def test_td500_measures_least_rectangles():
    # An L in a square of 40: its IoU with the square is 0.4375, its least rectangle is the square.
    # (A wider one, as a square's longer side could be either.)
    corner = points(0, 0, 60, 0, 60, 10, 15, 10, 15, 40, 0, 40)
    assert count("td500", [box(0, 0, 60, 40)], [corner]) == (1, 1, 1, 1)
    assert count("icdar2015", [box(0, 0, 60, 40)], [corner]) == (0, 1, 0, 1)


def test_tiou_takes_off_what_is_cut():
    # 90 of 100 columns: IoU 0.9. A tenth of the text is cut: 0.9 * 0.9 to recall. No other text.
    assert count("tiou", [TEXT], [box(0, 0, 90, 20)]) == pytest.approx((0.81, 1, 0.9, 1))
    # One hundredth costs nothing beyond the IoU.
    assert count("tiou", [TEXT], [box(0, 0, 99, 20)]) == pytest.approx((0.99, 1, 0.99, 1))


@pytest.mark.parametrize("ignored", [False, True])
def test_tiou_takes_off_what_lies_in_other_texts(ignored):
    # 120 columns, of which 100 are the text's and 10 lie in another one, ignored or not: IoU 5/6,
    # to precision less a twelfth.
    texts, prediction = [TEXT, box(110, 0, 200, 20)], box(0, 0, 120, 20)
    expected = (5 / 6, 1 if ignored else 2, 5 / 6 * 11 / 12, 1)
    assert count("tiou", texts, [prediction], [False, ignored]) == pytest.approx(expected)


def test_tiou_does_not_take_off_where_texts_overlap():
    # The other text lies within this one: none of the prediction is outside of this text.
    assert count("tiou", [TEXT, box(40, 0, 60, 20)], [TEXT]) == (1, 2, 1, 1)


@pytest.mark.parametrize("outline", [LINE, TWO_POINTS, points(3, 3)], ids=["line", "two", "one"])
@pytest.mark.parametrize("name", ALL)
def test_outlines_without_area_find_nothing(name, outline):
    outline = outline + [300, 300]
    assert count(name, [TEXT, outline], [TEXT]) == (1, 2, 1, 1)
    # CTW1500's script passes over them.
    assert count(name, [TEXT], [outline, TEXT]) == (1, 1, 1, 1 if name == "ctw1500" else 2)


def test_outlines_that_cross_themselves():
    # Half of the text lies in the bow tie, whose area is 0 by the shoelace formula: IoU 1.
    assert count("icdar2015", [TEXT], [BOW_TIE]) == (1, 1, 1, 1)
    assert count("ctw1500", [TEXT], [BOW_TIE]) == (0, 1, 0, 0)
    assert count("ctw1500", [BOW_TIE], [TEXT]) == (0, 1, 0, 1)
    # IoU 1, of which half of the text is cut; to precision nothing, as it has no area.
    assert count("tiou", [TEXT], [BOW_TIE]) == pytest.approx((0.5, 1, 0, 1))
    assert count("td500", [TEXT], [BOW_TIE]) == (1, 1, 1, 1)


@pytest.mark.parametrize("name", ALL)
def test_nothing(name):
    assert count(name, [], []) == (0, 0, 0, 0)
    assert count(name, [TEXT], []) == (0, 1, 0, 0)
    assert count(name, [], [TEXT]) == (0, 0, 0, 1)
    assert np.isfinite(count(name, [TEXT], [TEXT], [True])).all()
