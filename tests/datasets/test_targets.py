import numpy as np
import pytest

from dbnet.datasets.transforms.targets import GenerateDBTargets, draw_targets
from tests.conftest import rectangle

SHAPE = (80, 100)
RECTANGLE = rectangle(20, 20, 70, 50)  # 50 x 30 pixels
DISTANCE = 1500 * (1 - 0.4**2) / 160  # 7.875


def make_targets(*polygons, ignored=None, shape=SHAPE):
    ignored = [False] * len(polygons) if ignored is None else ignored
    return draw_targets(polygons, ignored, shape, 0.4, (0.3, 0.7), 8.0)


def extent(mask):
    rows, columns = np.nonzero(mask)
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_shrink_map_is_the_rectangle_less_its_offset():
    shrink_map = make_targets(RECTANGLE)["shrink_map"]
    # d >= 7.875 - 0.5 = 7.375: from 20 + 8 to 50 - 8 and from 20 + 8 to 70 - 8
    assert extent(shrink_map) == (28, 42, 28, 62)
    assert shrink_map.sum() == 15 * 35


def test_threshold_map_peaks_on_the_outline_and_fades():
    targets = make_targets(RECTANGLE)
    thresh_map, thresh_mask = targets["thresh_map"], targets["thresh_mask"]
    assert thresh_map[35, 20] == pytest.approx(0.7)  # on the left edge
    assert thresh_map[35, 17] == pytest.approx(0.3 + 0.4 * (1 - 3 / DISTANCE))  # 3 px left of it
    assert thresh_map[35, 23] == pytest.approx(0.3 + 0.4 * (1 - 3 / DISTANCE))  # 3 px right of it
    assert thresh_map[35, 45] == pytest.approx(0.3)  # 15 px from any edge
    assert thresh_map[17, 16] == pytest.approx(0.3 + 0.4 * (1 - 5 / DISTANCE))  # corner: 3-4-5
    assert extent(thresh_mask) == (13, 57, 13, 77)  # floor(7.875) = 7 beyond each side
    assert thresh_mask[35, 45] == 1  # the inside is filled
    assert thresh_mask[14, 14] == 0  # sqrt(72) = 8.5 from the corner: dilation is round


def test_masks_of_valid_and_ignored_text():
    assert make_targets(RECTANGLE)["shrink_mask"].all()
    targets = make_targets(RECTANGLE, ignored=[True])
    assert extent(1 - targets["shrink_mask"]) == (20, 50, 20, 70)  # the outline's pixels included
    assert targets["shrink_map"].sum() == targets["thresh_mask"].sum() == 0
    assert (targets["thresh_map"] == np.float32(0.3)).all()


def test_where_two_texts_meet_the_nearer_outline_counts():
    right = rectangle(74, 20, 95, 50)  # 4 px from the other: the middle is 2 px from both
    thresh_map = make_targets(RECTANGLE, right)["thresh_map"]
    right_distance = 21 * 30 * 0.84 / 102  # 5.19
    assert thresh_map[35, 71] == pytest.approx(0.3 + 0.4 * (1 - 1 / DISTANCE))
    assert thresh_map[35, 73] == pytest.approx(0.3 + 0.4 * (1 - 1 / right_distance))


@pytest.mark.parametrize(
    ("polygon", "reason"),
    [
        (rectangle(20, 20, 80, 27.9), "short side below 8"),
        (np.float32([[20, 20], [60, 60], [60, 20], [20, 60]]), "self-crossing without area"),
        (np.float32([[20, 20], [60, 40]]), "two points"),
        (np.float32([[20, 20], [40, 30], [60, 40]]), "on one line"),
        (np.full((4, 2), 30.0, np.float32), "one point four times"),
    ],
)
def test_text_too_small_is_ignored_not_background(polygon, reason):
    targets = make_targets(polygon)
    assert targets["shrink_map"].sum() == targets["thresh_mask"].sum() == 0, reason
    assert (targets["shrink_mask"] == 0).any(), reason


def test_text_of_eight_pixels_is_kept():
    assert make_targets(rectangle(20, 20, 80, 28))["shrink_map"].any()


def test_text_whose_shrunk_part_is_outside_the_image_is_ignored():
    targets = make_targets(rectangle(95, 20, 160, 60))  # D = 2600 * 0.84 / 210 = 10.4 > 99 - 95
    assert targets["shrink_map"].sum() == 0
    assert extent(1 - targets["shrink_mask"]) == (20, 60, 95, 99)


@pytest.mark.parametrize(
    "polygon",
    [
        np.repeat(RECTANGLE, 2, axis=0),
        np.vstack([RECTANGLE, RECTANGLE[:1]]),  # closed ring
    ],
)
def test_repeated_vertices_change_nothing(polygon):
    plain, repeated = make_targets(RECTANGLE), make_targets(polygon)
    for name in plain:
        np.testing.assert_array_equal(plain[name], repeated[name])


@pytest.mark.parametrize(
    "polygon",
    [
        rectangle(200, 200, 260, 240),  # outside
        rectangle(-60, -60, -20, -20),
        rectangle(-15000, 30, 15000, 60),  # 30,000 pixels wide
        rectangle(-1e6, -1e6, 1e6, 1e6),  # the image is a speck in it
        np.float32([[10, 10], [90, 70], [90, 10], [10, 75]]),  # crossing, uneven lobes
        RECTANGLE[:1],
    ],
)
@pytest.mark.parametrize("ignored", [False, True])
def test_degenerate_polygons_give_finite_maps(polygon, ignored):
    targets = make_targets(polygon, ignored=[ignored])
    for name, map_ in targets.items():
        assert map_.shape == SHAPE, name
        assert map_.dtype == (np.float32 if name == "thresh_map" else np.uint8), name
        assert np.isfinite(map_).all() and map_.min() >= 0 and map_.max() <= 1, name
    assert targets["thresh_map"].min() >= np.float32(0.3)


def test_wide_polygon_is_computed_inside_the_image_only():
    targets = make_targets(rectangle(-15000, 30, 15000, 60))
    # D = 30000 * 30 * 0.84 / 60060 = 12.59: rows 30 + 12.09 to 60 - 12.09
    assert extent(targets["shrink_map"]) == (43, 47, 0, 99)


def test_self_crossing_polygon_is_even_odd():
    # An hourglass on its side whose shoelace area is far from zero.
    hourglass = np.float32([[10, 10], [90, 70], [90, 10], [10, 30]])
    targets = make_targets(hourglass, ignored=[True])
    assert targets["shrink_mask"][20, 15] == 0  # in the left lobe
    assert targets["shrink_mask"][35, 85] == 0  # in the right lobe
    assert targets["shrink_mask"][60, 40] == 1  # below the crossing: outside


def test_text_whose_shrunk_part_splits_stays_text():
    # Two 30 x 40 ends and a waist of 20 x 10: A = 2600, L = 4 * 30 + 2 * 40 + 4 * 15 + 2 * 20 =
    # 300, so D = 2600 * 0.84 / 300 = 7.28. The waist, 5 pixels from middle to outline, is lost.
    ends = [[10, 10], [40, 10], [40, 25], [60, 25], [60, 10], [90, 10]]
    waisted = np.float32(ends + [[x, 60 - y] for x, y in reversed(ends)])
    targets = make_targets(waisted)
    # d >= 6.78: 7 pixels inside each end, x = 17..33 and 67..83, y = 17..43, and in each mouth of
    # the waist 4 pixels, x = 34, y = 29..31 and x = 35, y = 30, far from the corners (40, 25 or 35)
    assert extent(targets["shrink_map"]) == (17, 43, 17, 83)
    assert targets["shrink_map"].sum() == 2 * (17 * 27 + 4)
    assert targets["shrink_map"][:, 36:65].sum() == 0
    assert targets["shrink_mask"].all()
    assert targets["thresh_map"][30, 50] == pytest.approx(0.3 + 0.4 * (1 - 5 / 7.28))


def test_ignored_text_covers_the_pixels_within_half_a_pixel():
    mask = make_targets(rectangle(20.3, 20.6, 50.3, 40.6), ignored=[True])["shrink_mask"]
    # x from 19.8 to 50.8, y from 20.1 to 41.1
    assert extent(1 - mask) == (21, 41, 20, 50)


def test_no_text():
    targets = make_targets()
    assert targets["shrink_map"].sum() == targets["thresh_mask"].sum() == 0
    assert targets["shrink_mask"].all()


def test_transform_leaves_its_input_alone():
    polygon = RECTANGLE.copy()
    results = dict(img=np.zeros((*SHAPE, 3), np.uint8), polygons=[polygon], ignored=[False])
    output = GenerateDBTargets()(results)
    assert set(output) - set(results) == {"targets"}
    assert "targets" not in results
    np.testing.assert_array_equal(polygon, RECTANGLE)
    np.testing.assert_array_equal(
        output["targets"]["shrink_map"], make_targets(RECTANGLE)["shrink_map"]
    )
