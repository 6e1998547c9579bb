import numpy as np
import pytest

from dbnet.datasets.transforms import RandomScaleCrop
from dbnet.datasets.transforms.scale_crop import cut_polygons, window_corner
from dbnet.geometry import scale_matrix, transform
from tests.conftest import rectangle

EYE = np.eye(2, 3)


def sample(shape=(200, 300), polygons=(), seed=0, ignored=None):
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    image = np.stack([xs % 256, ys % 256, np.full(shape, 200)], axis=-1).astype(np.uint8)
    return dict(
        img=image,
        polygons=list(polygons),
        ignored=[False] * len(polygons) if ignored is None else ignored,
        rng=rng,
    )


def fixed(**options):
    """Make a transform that draws nothing but the place of its window."""
    steady = dict(scale=(1.0, 1.0), flip_prob=0.0, max_angle=0.0, max_stretch=1.0)
    return RandomScaleCrop(**{"size": (64, 48), **steady, **options})


def test_scaling_keeps_the_image_corners():
    # 300 pixels span -0.5..299.5; twice as many -0.5..599.5.
    corners = transform(np.float32([[-0.5, -0.5], [299.5, 199.5]]), scale_matrix(2, 0.5))
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [599.5, 99.5]])


def test_window_is_a_piece_of_the_image():
    results = fixed()(sample())
    assert results["img"].shape == (48, 64, 3) and results["img_shape"] == (48, 64)
    x, y = -results["affine"][:, 2]
    assert (x, y) == (round(x), round(y))
    expected = sample()["img"][int(y) : int(y) + 48, int(x) : int(x) + 64]
    np.testing.assert_array_equal(results["img"], expected)


def test_polygons_move_with_the_image():
    polygon = rectangle(100, 80, 140, 100)
    results = fixed(text_prob=1.0, scale=(0.7, 1.4), max_angle=10.0, flip_prob=0.5)(
        sample(polygons=[polygon])
    )
    moved = transform(polygon, results["affine"])
    inside = (moved >= -0.5).all() and (moved <= (63.5, 47.5)).all()
    if inside:
        np.testing.assert_allclose(results["polygons"][0], moved, atol=1e-4)
    assert len(results["polygons"]) == 1  # its centre is in the window


@pytest.mark.parametrize("seed", range(20))
def test_window_holds_the_centre_of_a_text(seed):
    polygons = [rectangle(10, 10, 30, 20), rectangle(250, 150, 270, 160)]
    results = fixed(text_prob=1.0)(sample(polygons=polygons, seed=seed))
    centres = [transform(np.float32([p.mean(axis=0)]), results["affine"])[0] for p in polygons]
    assert sum(-0.5 <= x <= 63.5 and -0.5 <= y <= 47.5 for x, y in centres) == 1


@pytest.mark.parametrize("seed", range(5))
def test_texts_end_where_the_image_does(seed):
    # The image spans -0.5..99.5; of 50..250 so much is left, of the second word nothing.
    words = [rectangle(50, 30, 250, 70), rectangle(120, 30, 250, 70)]
    results = fixed(size=(300, 300))(sample((100, 100), words, seed))
    (polygon,) = results["polygons"]
    corner = -results["affine"][:, 2]
    expected = rectangle(50, 30, 99.5, 70) - corner
    assert {tuple(p) for p in polygon.tolist()} == {tuple(p) for p in expected.tolist()}
    assert results["ignored"] == [False]  # whole, as far as there is an image


def test_texts_beyond_the_image_attract_no_window():
    corners = [
        tuple(fixed()(sample((100, 100), words, seed))["affine"][:, 2])
        for words in ((), [rectangle(120, 30, 250, 70)])
        for seed in range(20)
    ]
    assert corners[:20] == corners[20:]


def test_ignored_texts_attract_no_window():
    ignored = [rectangle(280, 180, 290, 190)]
    corners = [
        -fixed(text_prob=1.0)(sample(polygons=ignored, seed=s, ignored=[True]))["affine"][:, 2]
        for s in range(40)
    ]
    spread = np.ptp(corners, axis=0)
    assert spread[0] > 150 and spread[1] > 100  # of 236 and 152 possible


def test_share_of_windows_around_texts():
    # A text in the corner: a uniform window of 64x48 in 300x200 rarely holds its centre.
    polygon = rectangle(0, 0, 4, 4)
    held = [
        len(fixed(text_prob=0.85)(sample(polygons=[polygon], seed=s))["polygons"])
        for s in range(300)
    ]
    # 85 %, and of the 15 % uniform targets those whose window reaches the corner: for each axis
    # the window begins at 0 with the probability that target - offset <= 0, about
    # (32 / 300) * (24 / 200) = 1.3 %.
    assert 0.79 < np.mean(held) < 0.91  # standard deviation 2 %


def test_window_stays_in_the_image_where_it_fits():
    rng = np.random.default_rng(0)
    targets = rng.uniform(size=(200, 2)) * (300, 200) - 0.5
    corners = [window_corner(EYE, t, (200, 300), (64, 48), rng) for t in targets]
    assert np.min(corners) == 0
    assert (np.max(corners, axis=0) == (300 - 64, 200 - 48)).all()
    for corner, target in zip(corners, targets):
        assert (corner - 0.5 <= target + 1e-6).all() and (target <= corner + (64.5, 48.5)).all()


def test_image_smaller_than_the_window_lies_anywhere_in_it_whole():
    results = [fixed(size=(100, 80))(sample(shape=(20, 30), seed=s)) for s in range(20)]
    for result in results:
        assert (result["img"][..., 2] == 200).sum() == 20 * 30  # all of it, the rest is black
        assert (result["img"][..., 2] == 0).sum() == 100 * 80 - 20 * 30
    assert len({tuple(r["affine"][:, 2]) for r in results}) > 10


def test_cut_texts():
    inside, half, sliver, outside = (
        rectangle(10, 10, 30, 20),
        rectangle(-10, 10, 10, 20),  # spans -10..10, of which 10.5 of 20 lie beyond -0.5
        rectangle(-18, 30, 2, 40),
        rectangle(100, 10, 120, 20),
    )
    polygons, ignored = cut_polygons(
        [inside, half, sliver, outside], [False] * 4, (64, 48), min_visible=0.5
    )
    assert ignored == [False, False, True]
    np.testing.assert_array_equal(polygons[0], inside)
    assert polygons[1][:, 0].min() == -0.5 and polygons[1][:, 0].max() == 10
    # 10.5 of 20 are visible: 0.525
    assert cut_polygons([half], [False], (64, 48), min_visible=0.53)[1] == [True]
    assert cut_polygons([inside], [True], (64, 48), min_visible=0.5)[1] == [True]
    assert cut_polygons([], [], (64, 48), 0.5) == ([], [])


def test_scales_are_log_uniform_and_stretch_keeps_the_area():
    transform_ = RandomScaleCrop((64, 48), scale=(0.5, 2.0), max_angle=0.0, max_stretch=1.2)
    determinants, ratios = [], []
    for seed in range(400):
        affine = transform_(sample(seed=seed))["affine"]
        determinants.append(abs(np.linalg.det(affine[:, :2])))
        ratios.append(abs(affine[0, 0]) / affine[1, 1])
    scales = np.sqrt(determinants)
    assert scales.min() >= 0.5 and scales.max() <= 2.0
    assert abs(np.median(scales) - 1) < 0.1  # the geometric mean of the bounds
    assert np.min(ratios) >= 1 / 1.2 - 1e-9 and np.max(ratios) <= 1.2 + 1e-9


def test_no_texts_and_one_pixel():
    results = fixed()(sample(shape=(1, 1)))
    assert results["img"].shape == (48, 64, 3) and results["polygons"] == []


@pytest.mark.parametrize("seed", range(8))
def test_a_turn_by_right_angles_takes_image_and_texts_along(seed):
    image = np.zeros((60, 90, 3), np.uint8)
    image[20:31, 30:71] = 255  # pixel centres: the polygon's corners are these
    source = dict(
        img=image,
        polygons=[rectangle(30, 20, 70, 30)],
        ignored=[False],
        rng=np.random.default_rng(seed),
    )
    results = fixed(size=(120, 120), turn_prob=1.0)(source)
    quarters = np.round(np.rad2deg(np.arctan2(results["affine"][1, 0], results["affine"][0, 0])))
    assert quarters in (90, 180, -180, -90)
    ys, xs = np.nonzero(results["img"][..., 0] > 127)
    (polygon,) = results["polygons"]
    np.testing.assert_allclose(polygon.min(axis=0), (xs.min(), ys.min()), atol=0.51)
    np.testing.assert_allclose(polygon.max(axis=0), (xs.max(), ys.max()), atol=0.51)
    wide = np.ptp(polygon, axis=0)
    assert tuple(np.round(wide)) == ((40, 10) if abs(quarters) == 180 else (10, 40))


def test_share_of_turns():
    def angles(prob):
        affines = [fixed(turn_prob=prob)(sample(seed=seed))["affine"] for seed in range(300)]
        return [round(np.rad2deg(np.arctan2(a[1, 0], a[0, 0]))) % 360 for a in affines]

    assert set(angles(0.0)) == {0}
    counts = np.bincount(np.array(angles(0.6)) // 90, minlength=4)
    assert 90 < counts[0] < 150 and (np.abs(counts[1:] - 60) < 25).all()
