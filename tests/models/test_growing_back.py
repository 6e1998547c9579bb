"""`DBPostprocessor(grow="inverse")` gives back what the targets shrank."""

import math

import cv2
import numpy as np
import pytest
import torch

from dbnet.datasets.transforms.targets import draw_targets
from dbnet.geometry import order_corners
from dbnet.polygon_iou import intersection_areas, to_geometries
from dbnet.postprocessing import (
    DBPostprocessor,
    inverse_offset,
    inverse_polygons,
    measure_rings,
)

ASPECTS = (1, 2, 4, 6, 8, 10, 12, 14, 20, 30, 40)
ANGLES = (0, 7, 45)


def turned(corners, angle):
    turn = math.radians(angle)
    return corners @ np.array(
        [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]], np.float64
    )


def rectangle(height, aspect, angle):
    width = height * aspect
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    return turned(corners, angle)


def arc(height, aspect, sweep):
    """A band of a circle: its middle line is `aspect` times as long as the band is high."""
    radius = height * aspect / math.radians(sweep)
    angles = np.radians(np.linspace(-90 - sweep / 2, -90 + sweep / 2, sweep // 6))
    rim = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.concatenate([(radius + height / 2) * rim, ((radius - height / 2) * rim)[::-1]])


def perfect_map(polygon):
    """The polygon at a fraction of a pixel in an image, and the probability map of its targets."""
    polygon = (polygon - polygon.min(axis=0) + (20.37, 20.21)).astype(np.float32)
    width, height = np.ceil(polygon.max(axis=0) + 20).astype(int)
    targets = draw_targets([polygon], [False], (height, width), 0.4, (0.3, 0.7), 8)
    return polygon, targets["shrink_map"].astype(np.float32)


def found_in(prob_map, **settings):
    postprocessor = DBPostprocessor(**settings)
    (found,) = postprocessor(torch.from_numpy(prob_map)[None], [dict(scale_factor=(1.0, 1.0))])
    return found["polygons"]


def iou_of_text(polygon, **settings):
    """IoU of what is found on a perfect map with the text; 0 if it is lost."""
    polygon, prob_map = perfect_map(polygon)
    found = found_in(prob_map, **settings)
    if not found:
        return 0.0
    (outline,) = found
    (common,) = intersection_areas([polygon], [outline])
    areas = [geometry.area for geometry in to_geometries([polygon, outline])]
    return common / (sum(areas) - common)


@pytest.mark.parametrize("text_repr_type", ["quad", "poly"])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_rectangles_of_any_length_come_back(aspect, text_repr_type):
    settings = dict(grow="inverse", text_repr_type=text_repr_type)
    ious = {
        height: [iou_of_text(rectangle(height, aspect, angle), **settings) for angle in ANGLES]
        for height in (16, 32, 64)
    }
    assert min(map(min, ious.values())) > 0.75  # none is lost
    assert np.mean(list(ious.values())) >= 0.9
    assert np.mean(ious[64]) >= 0.95


@pytest.mark.parametrize("sweep", [60, 120, 180])
@pytest.mark.parametrize("aspect", [4, 8, 16])
def test_arcs_come_back(aspect, sweep):
    settings = dict(grow="inverse", text_repr_type="poly")
    ious = [iou_of_text(arc(height, aspect, sweep), **settings) for height in (16, 32, 64)]
    assert np.mean(ious) >= 0.94 and min(ious) > 0.9


def test_the_papers_way_loses_long_lines():
    assert iou_of_text(rectangle(32, 4, 0)) < 0.8
    assert iou_of_text(rectangle(32, 14, 0)) == 0


# --- The offset ---


@pytest.mark.parametrize("ratio", [0.2, 0.4, 0.55, 0.9])
@pytest.mark.parametrize(("width", "height"), [(10, 10), (100, 20), (4000, 16)])
def test_offset_undoes_the_shrinking_of_rectangles(width, height, ratio):
    offset = width * height * (1 - ratio**2) / (2 * (width + height))  # D = A (1 - r^2) / L
    inner_width, inner_height = width - 2 * offset, height - 2 * offset
    area, length = inner_width * inner_height, 2 * (inner_width + inner_height)
    assert inverse_offset(area, length, 4, ratio) == pytest.approx(offset, rel=1e-9)


@pytest.mark.parametrize("sides", [3, 5, 12])
def test_offset_undoes_the_shrinking_of_regular_polygons(sides):
    # Circumscribed about a circle of radius R: A = n tan(pi / n) R^2 = c R^2, L = 2 c R, so that
    # D = (1 - r^2) R / 2.
    corners, radius = sides * math.tan(math.pi / sides), 30.0
    offset = (1 - 0.4**2) * radius / 2
    inner = radius - offset
    found = inverse_offset(corners * inner**2, 2 * corners * inner, corners, 0.4)
    assert found == pytest.approx(offset)


def test_a_region_without_area_is_not_grown():
    assert inverse_offset(0, 80, 4, 0.4) == 0


def test_corners_of_an_l_shape():
    # Five corners of 90 degrees, one reflex: 5 - 1.
    shape = np.array([[0, 0], [20, 0], [20, 10], [10, 10], [10, 30], [0, 30]])
    triangle = np.array([[0, 0], [6, 0], [0, 6]])  # turns of 90 and twice 135 degrees, cut to 120
    expected = [4, 1 + 2 * 3**0.5, 4]
    np.testing.assert_allclose(measure_rings([shape, triangle, shape[::-1]])[2], expected)
    assert all(values.shape == (0,) for values in measure_rings([]))


def test_corners_sharper_than_the_clipper_keeps_count_as_cut():
    needle = np.array([[0, 0], [100, 1], [0, 2]])
    # Two turns of nearly 90 degrees, and one of nearly 180, which counts as 120.
    assert measure_rings([needle])[2][0] == pytest.approx(
        2 * math.tan(math.radians(89.43 / 2)) + 3**0.5, 0.02
    )


def test_polygon_of_a_triangle_on_one_line():
    line = np.array([[[0, 0]], [[5, 0]], [[9, 0]]], np.int32)
    ((_, width),) = inverse_polygons([line], 0.4)
    assert width == 0


# --- What is a text ---


def test_the_hole_of_a_ring_is_no_text_but_what_lies_in_it_is():
    prob_map = np.zeros((200, 200), np.float32)
    cv2.circle(prob_map, (100, 100), 80, 0.9, 8)
    cv2.rectangle(prob_map, (80, 95), (120, 105), 0.9, -1)
    boxes = sorted(
        np.ptp(p, axis=0).max() for p in found_in(prob_map, grow="inverse", box_thresh=0)
    )
    assert len(boxes) == 2 and boxes[0] < 80 < 160 < boxes[1]
    assert len(found_in(prob_map, grow="unclip", box_thresh=0)) == 3


@pytest.mark.parametrize("text_repr_type", ["quad", "poly"])
@pytest.mark.parametrize("region", [(50, 50, 50, 50), (50, 50, 51, 51), (20, 50, 90, 50)])
def test_specks_and_lines_of_a_pixel_are_no_texts(region, text_repr_type):
    prob_map = np.zeros((100, 100), np.float32)
    prob_map[region[1] : region[3] + 1, region[0] : region[2] + 1] = 0.9
    for width in (0, 5):
        settings = dict(text_repr_type=text_repr_type, min_text_width=width)
        found = found_in(prob_map, grow="inverse", **settings)
        assert found == [] or (width == 0 and region == (50, 50, 51, 51))


def test_an_empty_map_and_nan():
    assert found_in(np.zeros((50, 60), np.float32), grow="inverse") == []
    assert found_in(np.full((50, 60), np.nan, np.float32), grow="inverse") == []


def test_a_region_at_the_border_grows_beyond_it():
    prob_map = np.zeros((60, 100), np.float32)
    prob_map[:10, 20:80] = 0.9
    (quad,) = found_in(prob_map, grow="inverse")
    # The contour is 59 x 9: A = 531, L = 136; 4 (1 - k) D^2 + (1 - 2k) 68 D - k 531 = 0, k = 0.42.
    linear, square = (1 - 0.84) * 68, 4 * (1 - 0.42)
    offset = (-linear + math.sqrt(linear**2 + 4 * square * 0.42 * 531)) / (2 * square)
    expected = [[20, 0], [79, 0], [79, 9], [20, 9]] + offset * np.array(
        [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    )
    np.testing.assert_allclose(quad, expected, atol=1e-3)


def test_regions_of_low_probability_are_dropped():
    prob_map = np.zeros((60, 100), np.float32)
    prob_map[10:20, 20:80] = 0.6
    assert found_in(prob_map, grow="inverse", box_thresh=0.61) == []
    assert len(found_in(prob_map, grow="inverse", box_thresh=0.59)) == 1


@pytest.mark.parametrize("angle", [-40, -10, 0, 20, 40])
def test_first_corner_is_the_top_left_as_the_text_is_read(angle):
    quad = turned(np.array([[0, 0], [80, 0], [80, 20], [0, 20]], np.float64), angle)
    for start in range(4):
        np.testing.assert_array_equal(order_corners(np.roll(quad, start, axis=0)), quad)
        np.testing.assert_array_equal(order_corners(np.roll(quad, start, axis=0)[::-1]), quad)


@pytest.mark.parametrize(
    "settings", [dict(grow="invers"), dict(shrink_ratio=0), dict(shrink_ratio=1)]
)
def test_settings_out_of_range_are_named(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"^{name} must"):
        DBPostprocessor(**settings)
