from fractions import Fraction

import numpy as np
import pytest
import shapely

from dbnet.geometry import signed_area
from dbnet.polygon_iou import (
    are_simple,
    areas_and_boxes,
    box_intersections,
    contains,
    exact_area,
    exact_intersection_area,
    intersection_areas,
    to_geometries,
)


def pair_iou(first, second):
    (common,) = intersection_areas([first], [second])
    union = sum(shapely.area(to_geometries([first, second]))) - common
    return common / union if common > 0 else 0


def points(*coordinates):
    return np.float32(coordinates).reshape(-1, 2)


def box(left, top, right, bottom):
    return points(left, top, right, top, right, bottom, left, bottom)


SQUARE = box(0, 0, 10, 10)  # area 100
IOU_CASES = {
    "same": (SQUARE, 1),
    "other direction": (SQUARE[::-1], 1),
    "other start": (np.roll(SQUARE, 1, axis=0), 1),
    "repeated vertex": (points(0, 0, 10, 0, 10, 0, 10, 10, 0, 10, 0, 0), 1),
    "half beside": (box(5, 0, 15, 10), 50 / 150),
    "nested": (box(0, 0, 20, 10), 100 / 200),
    "touching edge": (box(10, 0, 20, 10), 0),
    "touching corner": (box(10, 10, 20, 20), 0),
    "apart": (box(30, 0, 40, 10), 0),
    "triangle": (points(0, 0, 10, 0, 0, 10), 50 / 100),
    "diamond": (points(5, 0, 10, 5, 5, 10, 0, 5), 50 / 100),
    # Concave: the square of 20 without its upper right quarter, 300, of which 100 shared.
    "L": (points(0, 0, 10, 0, 10, 10, 20, 10, 20, 20, 0, 20), 100 / 300),
    # Two triangles with a base of 10 and a height of 5.
    "figure eight": (points(0, 0, 10, 10, 10, 0, 0, 10), 50 / 100),
    # Outline 0..10 x 0..10 and, in the same turn, 2..8 x 2..8, cut out by even-odd; the edges
    # between them enclose nothing. 36 less than the square.
    "wound twice": (
        points(0, 0, 10, 0, 10, 10, 0, 10, 0, 0, 2, 2, 8, 2, 8, 8, 2, 8, 2, 2, 0, 0),
        64 / 100,
    ),
    "spike of no width": (points(0, 0, 10, 0, 10, 10, 10, 30, 10, 10, 0, 10), 1),
    "line": (points(0, 0, 5, 5, 10, 10), 0),
    "line there and back": (points(0, 0, 10, 0, 10, 0, 0, 0), 0),
    "one place": (points(5, 5, 5, 5, 5, 5, 5, 5), 0),
    "two points": (points(0, 0, 10, 10), 0),
    "no points": (np.zeros((0, 2), np.float32), 0),
    "not finite": (points(0, 0, np.nan, 0, 10, 10, 0, 10), 0),
    "infinite": (points(0, 0, np.inf, 0, 10, 10, 0, 10), 0),
}


@pytest.mark.parametrize(("polygon", "expected"), IOU_CASES.values(), ids=IOU_CASES)
def test_iou_with_a_square_of_ten(polygon, expected):
    assert pair_iou(SQUARE, polygon) == pytest.approx(expected, abs=1e-12)
    assert pair_iou(polygon, SQUARE) == pytest.approx(expected, abs=1e-12)


def test_many_pairs_at_once_keep_their_order():
    first = [SQUARE, box(0, 0, 0, 5), box(100, 0, 110, 10), SQUARE]
    second = [box(0, 0, 10, 5), SQUARE, box(103, 0, 110, 1), box(20, 20, 30, 30)]
    assert intersection_areas(first, second).tolist() == [50, 0, 7, 0]
    assert intersection_areas([], []).shape == (0,)


def test_areas_are_those_of_the_shoelace_formula():
    polygons = [polygon for polygon, _ in IOU_CASES.values() if np.isfinite(polygon).all()]
    areas, _ = areas_and_boxes(polygons)
    assert areas.tolist() == [abs(signed_area(polygon)) for polygon in polygons]
    assert areas_and_boxes([])[0].shape == (0,)


def test_boxes_hold_the_extreme_coordinates():
    triangle = points(3, -1, 7.5, 2, 5, 4)
    areas, boxes = areas_and_boxes([SQUARE[:2], triangle, points(0, 0, np.inf, 0, 1, 1)])
    assert areas.tolist() == [0, abs(signed_area(triangle)), 0]
    assert boxes[1].tolist() == [3, -1, 7.5, 4]
    assert np.isnan(boxes[[0, 2]]).all()


def test_box_intersections():
    first = areas_and_boxes([SQUARE, box(-10, 4, 3, 6)])[1]
    second = areas_and_boxes([SQUARE, box(10, 0, 20, 10), box(8, -5, 30, 4), SQUARE[:1]])[1]
    expected = [[100, 0, 2 * 4, np.nan], [3 * 2, 0, 0, np.nan]]
    np.testing.assert_array_equal(box_intersections(first[:, None], second), expected)


# --- Without rounding ---


@pytest.mark.parametrize(("polygon", "iou"), IOU_CASES.values(), ids=IOU_CASES)
def test_exact_areas_give_the_same_iou(polygon, iou):
    if not np.isfinite(polygon).all():
        return
    common = exact_intersection_area(SQUARE, polygon)
    assert common == exact_intersection_area(polygon, SQUARE)
    union = 100 + Fraction(float(shapely.area(to_geometries([polygon]))[0])) - common
    assert float(common / union) == pytest.approx(iou, abs=1e-12)
    assert float(exact_area(polygon)) == abs(signed_area(polygon))


def test_an_area_that_is_no_float_is_exact():
    # Lines through (0, 0) and (10, 0) of slopes 1 and -2: they meet at (20/3, 20/3).
    first, second = points(0, 0, 10, 0, 10, 10), points(0, 0, 10, 0, 0, 20)
    assert exact_intersection_area(first, second) == Fraction(10 * 20, 3 * 2)


def test_exact_areas_are_those_of_shapely_on_random_outlines():
    rng = np.random.default_rng(0)
    for _ in range(150):
        first, second = (rng.uniform(0, 40, (rng.integers(3, 8), 2)) + 3000 for _ in range(2))
        first, second = first.astype(np.float32), second.astype(np.float32)
        expected = intersection_areas([first], [second])[0]
        assert float(exact_intersection_area(first, second)) == pytest.approx(expected, abs=1e-6)


# --- Inside, and outlines that do not meet themselves ---


@pytest.mark.parametrize(
    ("point", "inside"),
    [
        ((5, 5), True),
        ((0, 5), True),  # on the left side
        ((5, 0), True),  # on the top side
        ((10, 5), False),
        ((5, 10), False),
        ((0, 0), True),
        ((10, 0), False),
        ((0, 10), False),
        ((-1, 5), False),
        ((5, 11), False),
    ],
)
@pytest.mark.parametrize("turn", [1, -1], ids=["clockwise", "counter-clockwise"])
def test_boxes_side_by_side_share_no_point(point, inside, turn):
    assert contains(box(0, 0, 10, 10)[::turn], [point]).tolist() == [inside]


def test_inside_is_even_odd():
    bow_tie = points(0, 0, 10, 10, 10, 0, 0, 10)  # lobes at the left and at the right
    found = contains(bow_tie, [(2, 5), (8, 5), (5, 2), (5, 8)])
    assert found.tolist() == [True, True, False, False]
    assert contains(points(0, 0, 10, 0), [(5, 0)]).tolist() == [False]
    assert contains(bow_tie, np.zeros((0, 2))).shape == (0,)


def test_simple_outlines():
    bow_tie = points(0, 0, 10, 10, 10, 0, 0, 10)
    repeated = points(0, 0, 10, 0, 10, 0, 10, 10, 0, 10)
    spike = points(0, 0, 10, 0, 20, 0, 10, 0, 10, 10, 0, 10)
    outlines = [box(0, 0, 9, 9), repeated, bow_tie, spike, points(0, 0, 5, 5, 9, 9), points(0, 0)]
    assert are_simple(outlines).tolist() == [True, True, False, False, False, False]
    assert are_simple([]).shape == (0,)
