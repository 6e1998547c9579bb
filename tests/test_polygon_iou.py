import numpy as np
import pytest
import shapely

from dbnet.utils.polygon_iou import pairwise_intersection, to_geometries


def pairwise_iou(first, second):
    common = pairwise_intersection(first, second)
    union = shapely.area(first)[:, None] + shapely.area(second)[None] - common
    return np.divide(common, union, out=np.zeros_like(common), where=common > 0)


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
    forward = pairwise_iou(to_geometries([SQUARE]), to_geometries([polygon]))
    backward = pairwise_iou(to_geometries([polygon]), to_geometries([SQUARE]))
    assert forward == pytest.approx(np.array([[expected]]), abs=1e-12)
    assert backward == pytest.approx(forward)


def test_iou_matrix_has_a_row_per_first_and_a_column_per_second():
    first = to_geometries([SQUARE, box(100, 0, 110, 10)])
    second = to_geometries([box(100, 0, 105, 10), points(0, 0, 1, 1), box(0, 0, 10, 5)])
    assert pairwise_iou(first, second).tolist() == [[0, 0, 0.5], [0.5, 0, 0]]


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 3), (3, 0)])
def test_iou_of_nothing_keeps_the_shape(rows, columns):
    geometries = to_geometries([SQUARE] * rows), to_geometries([SQUARE] * columns)
    assert pairwise_iou(*geometries).shape == (rows, columns)
