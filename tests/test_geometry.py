import numpy as np
import pytest
import shapely

from dbnet.geometry import (
    clip,
    distance_field,
    offset_distance,
    perimeter,
    short_side,
    signed_area,
    transform,
)

RECTANGLE = np.float32([[0, 0], [50, 0], [50, 30], [0, 30]])
TRIANGLE = np.float32([[0, 0], [4, 0], [0, 3]])  # 3-4-5
BOWTIE = np.float32([[0, 0], [10, 10], [10, 0], [0, 10]])


@pytest.mark.parametrize(
    ("polygon", "area", "length", "short"),
    [
        (RECTANGLE, 1500, 160, 30),
        (RECTANGLE[::-1], -1500, 160, 30),  # counter-clockwise
        (np.float32([[0, 0], [10, 0], [5, 2]]), 10, 10 + 2 * 29**0.5, 2),  # lies on its base
        (np.repeat(RECTANGLE, 2, axis=0), 1500, 160, 30),  # every vertex repeated
        (RECTANGLE[:2], 0, 100, 0),  # there and back
        (RECTANGLE[:1], 0, 0, 0),
        (np.zeros((4, 2)), 0, 0, 0),
        (BOWTIE, 0, 20 + 2 * 200**0.5, 10),  # its two lobes cancel
    ],
)
def test_measures(polygon, area, length, short):
    assert signed_area(polygon) == pytest.approx(area)
    assert perimeter(polygon) == pytest.approx(length)
    assert short_side(polygon) == pytest.approx(short, abs=1e-4)


def test_offset_distance_is_the_papers():
    assert offset_distance(RECTANGLE, 0.4) == pytest.approx(1500 * (1 - 0.16) / 160)
    assert offset_distance(np.zeros((3, 2)), 0.4) == 0


def test_transform_scales_then_shifts():
    matrix = np.array([[2.0, 0, 1], [0, 3.0, -1]])
    np.testing.assert_array_equal(transform(TRIANGLE, matrix), [[1, -1], [9, -1], [1, 8]])


@pytest.mark.parametrize(
    ("polygon", "area"),
    [
        (RECTANGLE, 10 * 10),
        (TRIANGLE, 6),  # wholly inside: unchanged
        (RECTANGLE + 100, 0),
        (np.float32([[-10, 5], [5, -10], [20, 5], [5, 20]]), 100),  # contains it
        (np.float32([[-5, 5], [5, -5], [15, 5], [5, 15]]), 100),  # touches the four corners
        (np.float32([[-2, 5], [5, -2], [12, 5], [5, 12]]), 98 - 4 * 4),  # four tips of 2 x 4 / 2
    ],
)
def test_clip_to_ten_by_ten(polygon, area):
    clipped = clip(polygon, (0, 0), (10, 10))
    assert abs(signed_area(clipped)) == pytest.approx(area)
    assert ((clipped >= 0) & (clipped <= 10)).all()


def test_clip_agrees_with_shapely_on_random_convex_polygons():
    rng = np.random.default_rng(0)
    for _ in range(100):
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        polygon = np.float32(np.c_[np.cos(angles), np.sin(angles)] * 8 + rng.uniform(-5, 15, 2))
        expected = shapely.Polygon(polygon).intersection(shapely.box(0, 0, 10, 10)).area
        assert abs(signed_area(clip(polygon, (0, 0), (10, 10)))) == pytest.approx(
            expected, abs=1e-3
        )


def test_clip_leaves_its_input_alone():
    polygon = RECTANGLE.copy()
    clip(polygon, (0, 0), (10, 10))
    np.testing.assert_array_equal(polygon, RECTANGLE)


@pytest.mark.parametrize(
    "polygon",
    [
        RECTANGLE + 0.3,
        TRIANGLE * 5 + [2.3, 2.4],
        np.float32([[5, 5], [40, 5.5], [40, 30], [25, 12], [5.5, 31]]),  # concave
        np.repeat(RECTANGLE + 0.7, 3, axis=0),  # closed ring with repeated vertices
        np.float32([[-20, 3.2], [80, 3.2], [80, 20.5], [-20, 20.5]]),  # beyond the grid
    ],
)
def test_distance_field_agrees_with_shapely(polygon):
    xs, ys = np.arange(3, 60), np.arange(-4, 40)
    distance, inside = distance_field(polygon, xs, ys)
    points = shapely.points(*np.meshgrid(xs, ys))
    ring = shapely.LinearRing(polygon)
    np.testing.assert_allclose(distance, shapely.distance(ring, points), atol=1e-4)
    expected = shapely.contains(shapely.Polygon(polygon), points)
    clear = distance > 1e-3  # a point on the outline may count either way
    np.testing.assert_array_equal(inside[clear], expected[clear])


def test_distance_field_does_not_depend_on_the_size_of_its_blocks(monkeypatch):
    grid = np.arange(-3, 12), np.arange(-2, 14)
    star = np.float32([[0, 0], [10, 3], [2, 9], [8, -1], [4, 12], [1, 5], [9, 9]])
    distance, inside = distance_field(star, *grid)
    for edges in (1, 2, 3):
        monkeypatch.setattr("dbnet.geometry.BLOCK", 15 * 16 * edges)
        for one, other in zip(distance_field(star, *grid), (distance, inside)):
            np.testing.assert_array_equal(one, other)


def test_distance_field_inside_is_even_odd():
    # The bowtie's lobes lie left and right of its crossing (5, 5).
    _, inside = distance_field(BOWTIE, np.array([3, 7]), np.array([2.5, 5.5]))
    assert inside.tolist() == [[False, False], [True, True]]


def test_distance_field_keeps_its_digits_far_away():
    polygon = np.float32([[-30000, 10], [30000, 10], [30000, 20], [-30000, 20]])
    distance, inside = distance_field(polygon, np.arange(5), np.arange(9, 22))
    np.testing.assert_allclose(distance[:, 0], [1, 0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1], atol=1e-3)
    assert inside[2:11].all() and not inside[0].any()

    # A grid far from the origin: next to 2^24 float32 has no halves left.
    corner = 2.0**24
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]]) + corner + 0.25
    distance, _ = distance_field(square, corner + np.arange(1, 4), corner + np.arange(1, 4))
    np.testing.assert_allclose(distance[1], [0.75, 1.75, 1.25])
