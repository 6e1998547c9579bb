import cv2
import numpy as np
import pytest

from dbnet.datasets.transforms.geometric import (
    RandomAffineCrop,
    compose,
    crop_resize_matrix,
    drop_outside,
    flip_rotate_matrix,
    sample_crop_box,
    warp,
)
from dbnet.geometry import transform
from tests.conftest import rectangle


def sample(polygons, shape=(120, 200), seed=0, ignored=None):
    return dict(
        img=np.full((*shape, 3), 255, np.uint8),
        polygons=polygons,
        ignored=[False] * len(polygons) if ignored is None else ignored,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize(
    ("flip", "angle", "point", "expected"),
    [
        (True, 0, (0, 7), (199, 7)),  # first pixel of 200 to the last
        (False, 90, (199, 59.5), (99.5, 159)),  # right end to below the centre: y points down
        (True, 90, (0, 59.5), (99.5, 159)),  # flipped first
        (False, 10, (99.5, 59.5), (99.5, 59.5)),  # the centre stays
    ],
)
def test_flip_and_rotation(flip, angle, point, expected):
    matrix = flip_rotate_matrix((120, 200), flip, angle)
    np.testing.assert_allclose(transform(np.float32([point]), matrix), [expected], atol=1e-4)


def test_crop_resize_keeps_pixel_centres():
    matrix, filled = crop_resize_matrix((10, 20, 60, 45), (640, 640))  # 50 x 25, scale 12.8
    assert filled == (640, 320)
    # The crop's corners in pixel-centre coordinates are 9.5, 19.5 and 59.5, 44.5.
    corners = transform(np.float32([[9.5, 19.5], [59.5, 44.5]]), matrix)
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [639.5, 319.5]], atol=1e-4)


def test_compose_applies_the_first_first():
    first = np.array([[1.0, 0, 5], [0, 1, 0]])
    second = np.array([[2.0, 0, 0], [0, 2, 0]])
    point = np.float32([[1, 1]])
    np.testing.assert_allclose(transform(point, compose(second, first)), [[12, 2]])


@pytest.mark.parametrize("size", [(30, 20), (15, 10), (60, 40)])
def test_warp_is_cv2_resize_where_nothing_rotates(size):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 2)
    matrix, filled = crop_resize_matrix((0, 0, 30, 20), size)
    expected = cv2.resize(image, filled, interpolation=cv2.INTER_AREA if size[0] < 30 else 1)
    # Beyond half a pixel of the border, which warpAffine blends with black.
    difference = np.abs(warp(image, matrix, filled, size).astype(int) - expected)[2:-2, 2:-2]
    assert difference.max() <= 3


def test_warp_reads_all_that_it_needs_of_the_image():
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 255, (60, 90, 3), np.uint8), (0, 0), 2)
    for _ in range(200):
        turn = flip_rotate_matrix((60, 90), bool(rng.random() < 0.5), rng.uniform(-180, 180))
        corner = rng.integers(-30, 80, 2)
        sides = rng.integers(1, 60, 2)
        scale, filled = crop_resize_matrix((*corner, *(corner + sides)), (40, 40))
        affine = compose(scale, turn)
        whole = cv2.warpAffine(image, affine, filled, flags=cv2.INTER_LINEAR)
        part = warp(image, affine, filled, filled)
        assert np.abs(part.astype(int) - whole).max() <= 8  # 1/32 pixel at the black outside


def test_warp_averages_what_it_shrinks():
    image = np.zeros((64, 64, 3), np.uint8)
    image[::4] = 200  # lines of one pixel; bilinear sampling of every fourth would miss them
    matrix, filled = crop_resize_matrix((0, 0, 64, 64), (16, 16))
    np.testing.assert_allclose(warp(image, matrix, filled, (16, 16))[1:-1, 1:-1], 50, atol=1)


def test_image_and_polygons_move_together():
    polygons = [rectangle(60.0, 40, 110, 60)]
    for seed in range(20):
        results = sample(polygons, seed=seed)
        results["img"][:] = 30
        results["img"][40:61, 60:111] = 220  # the pixels of the polygon
        output = RandomAffineCrop(size=(320, 320))(results)
        filled = np.zeros((320, 320), np.uint8)
        cv2.fillPoly(filled, [np.rint(output["polygons"][0]).astype(np.int32)], 1)
        bright = output["img"][..., 0] > 125
        assert (bright & (filled > 0)).sum() / (bright | (filled > 0)).sum() > 0.93, seed
        expected = transform(polygons[0], output["affine"])
        np.testing.assert_allclose(output["polygons"][0], expected, atol=1e-2)


def test_a_neighbour_outside_the_crop_is_blank():
    # Two texts side by side in a wide image: whenever one is dropped, none of its pixels is left.
    texts = [rectangle(20, 10, 60, 30), rectangle(140, 90, 180, 110)]
    dropped = 0
    for seed in range(40):
        results = sample(texts, seed=seed)
        results["img"][:] = 50
        for left, top, right, bottom in ((20, 10, 60, 30), (140, 90, 180, 110)):
            results["img"][top : bottom + 1, left : right + 1] = 250
        output = RandomAffineCrop(size=(320, 320), max_angle=0)(results)
        covered = np.zeros((320, 320), np.uint8)
        for polygon in output["polygons"]:
            cv2.fillPoly(covered, [np.rint(polygon).astype(np.int32)], 1)
        outside = cv2.dilate(covered, np.ones((15, 15))) == 0
        dropped += len(output["polygons"]) == 1
        assert output["img"][outside].max() < 150, seed
    assert dropped >= 5


def test_pads_are_black_right_and_bottom():
    for seed in range(10):
        output = RandomAffineCrop(size=(320, 320), max_angle=0)(
            sample([rectangle(50, 50, 90, 70)], seed=seed)
        )
        lit = output["img"][..., 0] > 0
        rows, columns = lit.any(axis=1), lit.any(axis=0)
        assert rows.all() or columns.all()  # the longer side fills the image
        for line in (rows, columns):
            assert line[: line.sum()].all()  # no black before the end


def test_crop_cuts_no_text_and_keeps_one():
    rng = np.random.default_rng(1)
    for _ in range(300):
        corners = rng.uniform(0, [170, 100], (6, 2))
        polygons = [rectangle(x, y, x + 25, y + 15) for x, y in corners]
        box = sample_crop_box(polygons, (120, 200), 0.1, rng)
        left, top, right, bottom = box
        assert 0 <= left < right <= 200 and 0 <= top < bottom <= 120
        kept, _ = drop_outside(polygons, [False] * 6, box)
        assert kept
        # A text that is not kept lies wholly beyond a side; none is cut through.
        for polygon in polygons:
            if any(polygon is other for other in kept):
                continue
            (x1, y1), (x2, y2) = polygon.min(axis=0), polygon.max(axis=0)
            assert x2 <= left or x1 >= right - 1 or y2 <= top or y1 >= bottom - 1


def test_crop_is_at_least_a_tenth_where_there_is_room():
    rng = np.random.default_rng(2)
    widths = []
    for _ in range(500):
        left, _, right, _ = sample_crop_box([rectangle(90, 50, 95, 60)], (120, 200), 0.1, rng)
        widths.append(right - left)
    assert min(widths) >= 20
    # Start uniform in 0..89, end in 96..200: the mean width is about 148 - 44.5
    assert np.mean(widths) == pytest.approx(148 - 44.5, abs=6)


def test_a_text_free_run_is_drawn_before_the_cut():
    # Texts at 0..10 and 90..100 around a kept one at 40..50 of 101: the end's two runs are
    # [51..90) and {101}, each drawn half of the time, though one holds 39 cuts, the other 1.
    polygons = [rectangle(0, 0, 10, 10), rectangle(90, 0, 100, 10), rectangle(40, 0, 50, 10)]
    rng = np.random.default_rng(3)
    ends = []
    for _ in range(2000):
        left, _, right, _ = sample_crop_box(polygons, (20, 101), 0.0, rng)
        if 11 <= left <= 40:
            ends.append(right)
    last = np.mean(np.array(ends) == 101)
    # Of the crops whose start lies between the first and the kept text, the kept one was drawn.
    assert 0.4 < last < 0.8


def test_image_without_text_is_cropped_too():
    output = RandomAffineCrop(size=(64, 64))(sample([]))
    assert output["img"].shape == (64, 64, 3) and output["polygons"] == []
    assert output["img"].any()


def test_rotated_text_is_clipped_to_the_canvas():
    corner = rectangle(-30, -20, 20, 20)
    for seed in range(10):
        output = RandomAffineCrop(size=(64, 64))(sample([corner], seed=seed))
        for polygon in output["polygons"]:
            assert (polygon >= -0.5 - 1e-3).all() and (polygon <= 63.5 + 1e-3).all()


def test_ignored_flags_stay_with_their_polygons():
    texts = [rectangle(50, 40, 80, 55), rectangle(120, 65, 150, 80)]  # clear of the border
    kinds = set()
    for seed in range(20):
        output = RandomAffineCrop(size=(200, 200))(sample(texts, seed=seed, ignored=[True, False]))
        for polygon, ignored in zip(output["polygons"], output["ignored"]):
            source = texts[0] if ignored else texts[1]
            np.testing.assert_allclose(polygon, transform(source, output["affine"]), atol=1e-2)
            kinds.add(ignored)
    assert kinds == {True, False}


def test_inputs_are_left_alone():
    results = sample([rectangle(50, 50, 90, 70)])
    image, polygon = results["img"].copy(), results["polygons"][0].copy()
    RandomAffineCrop(size=(64, 64))(results)
    np.testing.assert_array_equal(results["img"], image)
    np.testing.assert_array_equal(results["polygons"][0], polygon)


def test_one_pixel_image():
    output = RandomAffineCrop(size=(8, 8))(sample([rectangle(0, 0, 0, 0)], shape=(1, 1)))
    assert output["img"].shape == (8, 8, 3)
