import cv2
import numpy as np
import pyclipper
import pytest
import torch

from dbnet.geometry import perimeter, signed_area
from dbnet.models.postprocessors import DBPostprocessor
from dbnet.postprocessing import (
    approximate,
    box_score,
    find_contours,
    grow,
    min_area_quad,
    to_original,
    unclip_distances,
)
from dbnet.registry import MODELS

UNSCALED = dict(scale_factor=(1.0, 1.0))


def draw(height, width, *boxes):
    """Map with boxes (left, top, right, bottom, probability), both ends included."""
    prob_map = np.zeros((height, width), dtype=np.float32)
    for left, top, right, bottom, probability in boxes:
        prob_map[top : bottom + 1, left : right + 1] = probability
    return torch.from_numpy(prob_map)[None]


def find(prob_map, meta=UNSCALED, **kwargs):
    (found,) = DBPostprocessor(**kwargs)(prob_map, [meta])
    return found


def span(polygon):
    """(x_min, y_min, x_max, y_max)."""
    return (*polygon.min(axis=0).tolist(), *polygon.max(axis=0).tolist())


# The outline through the pixels' centres is 79 x 39: A' = 3081, L' = 236 and
# D' = 3081 * 1.5 / 236 = 19.58, so x from 10.42 to 128.58 and y from 0.42 to 78.58; the clipper
# rounds.
BOX = (30, 20, 109, 59, 0.9)
GROWN = (10, 0, 129, 79)


def test_box_grows_by_its_offset_distance():
    found = find(draw(100, 160, BOX))
    (quad,) = found["polygons"]
    corners = np.array(sorted(quad.round(3).tolist()))
    assert corners == pytest.approx(np.array([[10, 0], [10, 79], [129, 0], [129, 79]]), abs=1e-3)
    assert quad.dtype == np.float32
    assert found["scores"] == pytest.approx([0.9])
    assert found["scores"].dtype == np.float32


def test_poly_is_the_box_with_round_corners():
    (polygon,) = find(draw(100, 160, BOX), text_repr_type="poly")["polygons"]
    assert len(polygon) > 8
    assert polygon.dtype == np.float32
    assert span(polygon) == GROWN
    # Distance of every vertex to the outline of the box; rounding moves it by up to 0.71.
    outside = np.maximum(np.maximum([30, 20] - polygon, polygon - [109, 59]), 0)
    distance = 79 * 39 * 1.5 / 236
    assert np.hypot(*outside.T) == pytest.approx(np.full(len(polygon), distance), abs=0.71)


@pytest.mark.parametrize(("ratio", "left"), [(0.5, 23), (1.0, 17), (2.0, 4)])
def test_unclip_ratio_scales_the_growth(ratio, left):
    # 30 - 13.055 * ratio = 23.47, 16.94, 3.89
    found = find(draw(100, 160, BOX), unclip_ratio=ratio)
    assert span(found["polygons"][0])[0] == pytest.approx(left, abs=1e-3)


def test_rotated_box():
    box = ((100.0, 80.0), (90.0, 30.0), 30.0)
    canvas = np.zeros((160, 200), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.int32(cv2.boxPoints(box).round())], 1)
    (quad,) = find(torch.from_numpy(canvas)[None].float())["polygons"]
    distance = 90 * 30 * 1.5 / 240
    sides = np.hypot(*(quad - np.roll(quad, 1, axis=0)).T)
    assert sorted(sides[:2]) == pytest.approx([30 + 2 * distance, 90 + 2 * distance], abs=2.5)
    assert quad.mean(axis=0) == pytest.approx([100, 80], abs=1)
    long_side = (quad - np.roll(quad, 1, axis=0))[int(sides.argmax())]
    assert np.degrees(np.arctan2(long_side[1], long_side[0])) % 180 == pytest.approx(30, abs=2)


# --- Coordinates ---


def test_polygons_are_in_pixels_of_the_original_image():
    # x_original = (x + 0.5) / 0.5 - 0.5 = 2 x + 0.5; y_original = (y + 0.5) / 2 - 0.5.
    (quad,) = find(draw(100, 160, BOX), dict(scale_factor=(0.5, 2.0)))["polygons"]
    assert span(quad) == pytest.approx((20.5, -0.25, 258.5, 39.25), abs=1e-3)


def test_edges_of_the_image_stay_edges_under_scaling():
    # An original of 40 x 30 resized to 60 x 20 spans -0.5..59.5 and -0.5..19.5 there.
    edges = np.float32([[-0.5, -0.5], [59.5, 19.5]])
    original = to_original(edges, (60 / 40, 20 / 30))
    assert original == pytest.approx(np.float32([[-0.5, -0.5], [39.5, 29.5]]), abs=1e-5)
    assert original.dtype == np.float32


def test_scaling_reverses_a_resize_by_opencv():
    # Left half bright: the step lies between the columns 19 and 20, at 19.5.
    image = np.repeat(np.float32([[1.0] * 20 + [0.0] * 20]), 40, axis=0)
    resized = cv2.resize(image, (120, 120), interpolation=cv2.INTER_LINEAR)
    step = np.interp(-0.5, -resized[0], np.arange(120))
    assert to_original(np.array([[step, 0.0]]), (3, 3))[0, 0] == pytest.approx(19.5, abs=1e-4)


# --- What is kept ---


@pytest.mark.parametrize(("box_thresh", "kept"), [(0.699, 1), (0.701, 0)])
def test_score_is_the_mean_probability(box_thresh, kept):
    halves = draw(100, 160, (30, 20, 69, 59, 0.9), (70, 20, 109, 59, 0.5))
    found = find(halves, box_thresh=box_thresh)
    assert found["scores"] == pytest.approx([0.7] * kept)


def test_score_equal_to_box_thresh_is_kept():
    assert len(find(draw(100, 160, (*BOX[:4], 0.5)), box_thresh=0.5)["scores"]) == 1


def test_probability_must_exceed_bin_thresh():
    prob_map = draw(100, 160, (*BOX[:4], 0.5))
    assert find(prob_map, bin_thresh=0.5)["polygons"] == []
    assert len(find(prob_map, bin_thresh=0.499)["polygons"]) == 1


@pytest.mark.parametrize(("min_text_width", "kept"), [(4, 1), (4.01, 0), (5, 0)])
def test_thin_quad_is_dropped(min_text_width, kept):
    # Three rows: A' = 60 * 2, L' = 124, D' = 1.45; y from 8.55 to 13.45, rounded 9 to 13.
    thin = draw(40, 100, (20, 10, 80, 12, 1.0))
    assert len(find(thin, min_text_width=min_text_width)["polygons"]) == kept
    assert len(find(thin, text_repr_type="poly")["polygons"]) == 1


def test_hole_is_no_text():
    ring = draw(100, 160, BOX, (50, 32, 89, 47, 0.0))
    (quad,) = find(ring, text_repr_type="quad")["polygons"]
    assert span(quad) == pytest.approx(GROWN, abs=1e-3)


def test_text_in_a_hole_is_found():
    frame = draw(100, 160, BOX, (40, 25, 99, 54, 0.0), (55, 32, 84, 47, 0.8))
    found = find(frame, text_repr_type="quad", box_thresh=0.7)
    assert sorted(found["scores"].round(3).tolist()) == pytest.approx([0.8])
    # 29 x 15: D' = 435 * 1.5 / 88 = 7.41
    assert span(found["polygons"][0]) == pytest.approx((48, 25, 91, 54), abs=1e-3)


def test_triangle_is_dropped():
    triangle = np.tril(np.ones((60, 60), dtype=np.float32))
    assert find(torch.from_numpy(triangle)[None])["polygons"] == []


FIVE = [(20 + 60 * i, 20, 60 + 60 * i, 40, 0.5 + 0.1 * i) for i in range(5)]


@pytest.mark.parametrize(("max_candidates", "found"), [(0, 0), (3, 3), (5, 5), (6, 5)])
def test_max_candidates_is_a_maximum(max_candidates, found):
    result = find(draw(60, 340, *FIVE), max_candidates=max_candidates)
    assert len(result["polygons"]) == len(result["scores"]) == found


def test_scores_belong_to_their_polygons():
    found = find(draw(60, 340, *FIVE))
    for quad, score in zip(found["polygons"], found["scores"]):
        index = (quad[:, 0].mean() - 40) / 60
        assert score == pytest.approx(0.5 + 0.1 * index, abs=1e-3)


def test_each_image_of_a_batch_has_its_own_result_and_scale():
    batch = torch.cat([draw(100, 160, BOX), draw(100, 160), draw(100, 160, BOX)])
    metas = [UNSCALED, UNSCALED, dict(scale_factor=(2.0, 2.0))]
    first, empty, last = DBPostprocessor()(batch, metas)
    assert span(first["polygons"][0]) == pytest.approx(GROWN, abs=1e-3)
    assert empty["polygons"] == [] and empty["scores"].shape == (0,)
    assert span(last["polygons"][0]) == pytest.approx((4.75, -0.25, 64.25, 39.25), abs=1e-3)


# --- Types and devices ---


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_give_the_same(dtype):
    prob_map = draw(100, 160, (*BOX[:4], 0.75))  # 0.75 is exact in all of them
    found = find(prob_map.to(dtype).requires_grad_())
    assert found["scores"].tolist() == [0.75]
    assert span(found["polygons"][0]) == pytest.approx(GROWN, abs=1e-3)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_map_on_the_gpu_gives_the_same(dtype):
    prob_map = noise(np.random.default_rng(0))[None].to(dtype)
    expected, found = find(prob_map), find(prob_map.cuda())
    assert len(found["polygons"]) > 0
    np.testing.assert_array_equal(np.stack(found["polygons"]), np.stack(expected["polygons"]))
    np.testing.assert_array_equal(found["scores"], expected["scores"])


def test_map_is_left_alone():
    prob_map = draw(100, 160, BOX)
    before = prob_map.clone()
    find(prob_map)
    assert torch.equal(prob_map, before)


# --- Degenerate maps ---


def noise(rng, sigma=2.0):
    blurred = cv2.GaussianBlur(rng.standard_normal((96, 160)).astype(np.float32), (0, 0), sigma)
    return torch.from_numpy(0.3 + blurred / blurred.std() * 0.2).clamp(0, 1)


def dots(step):
    prob_map = torch.zeros(90, 90)
    prob_map[::step, ::step] = 1
    return prob_map


DIAGONAL = torch.eye(50)
DEGENERATE_MAPS = {
    "all zero": torch.zeros(32, 64),
    "all one": torch.ones(40, 60),
    "one pixel, 0": torch.zeros(1, 1),
    "one pixel, 1": torch.ones(1, 1),
    "one row": torch.ones(1, 50),
    "one column": torch.ones(50, 1),
    "two by two": torch.ones(2, 2),
    "single pixels": dots(3),
    "chessboard": (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 1.0,
    "diagonal": DIAGONAL,
    "cross": torch.maximum(DIAGONAL, DIAGONAL.flip(0)),
    "frame along the borders": draw(40, 60, (0, 0, 59, 39, 1), (1, 1, 58, 38, 0))[0],
    "not a number": torch.full((20, 20), float("nan")),
    "not a number inside": draw(40, 60, (10, 10, 40, 30, 1), (15, 15, 20, 20, float("nan")))[0],
    "fine noise": torch.rand(64, 64, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("text_repr_type", ["quad", "poly"])
@pytest.mark.parametrize("prob_map", DEGENERATE_MAPS.values(), ids=DEGENERATE_MAPS)
def test_degenerate_map_gives_finite_polygons(prob_map, text_repr_type):
    found = find(prob_map[None], text_repr_type=text_repr_type, min_text_width=0)
    assert len(found["polygons"]) == len(found["scores"])
    assert np.isfinite(found["scores"]).all()
    for polygon in found["polygons"]:
        assert polygon.ndim == 2 and polygon.shape[1] == 2 and len(polygon) >= 4
        assert np.isfinite(polygon).all()


def test_region_at_the_borders_grows_beyond_the_image():
    # A' = 59 * 39 = 2301, L' = 196, D' = 17.61; -17.61, 76.61 and 56.61, rounded.
    (quad,) = find(torch.ones(1, 40, 60))["polygons"]
    assert span(quad) == pytest.approx((-18, -18, 77, 57), abs=1e-3)


@pytest.mark.parametrize("name", ["all zero", "one pixel, 1", "one row", "single pixels"])
def test_regions_without_area_are_no_text(name):
    assert find(DEGENERATE_MAPS[name][None], text_repr_type="poly")["polygons"] == []


def test_thousands_of_blobs():
    blobs = torch.zeros(1, 600, 600)
    for row in range(4):
        for column in range(4):
            blobs[:, row::9, column::9] = 1  # 67 x 67 boxes of 4 x 4 pixels
    assert len(find(blobs, min_text_width=0, max_candidates=4489)["polygons"]) == 4489
    assert len(find(blobs, min_text_width=0)["polygons"]) == 3000


# --- Parts ---


def test_contours_and_their_approximation():
    # A box with a bump of one pixel; the perimeter is about 238, so 1 % forgives the bump.
    prob_map = draw(100, 160, BOX, (60, 19, 70, 19, 0.9))[0].numpy()
    (contour,) = find_contours(prob_map, 0.3)
    assert len(approximate(contour, 0.0)) > 4
    assert sorted(approximate(contour, 0.01).tolist()) == [[30, 20], [30, 59], [109, 20], [109, 59]]


def test_box_score_counts_the_outline():
    # The triangle of 4 + 3 + 2 + 1 pixels in a ramp of x: (0 * 4 + 1 * 3 + 2 * 2 + 3) / 10.
    ramp = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    assert box_score(ramp, np.int32([[0, 0], [3, 0], [0, 3]])) == pytest.approx(1)
    assert box_score(ramp, np.int32([[4, 2], [7, 2], [4, 5]])) == pytest.approx(5)


def unclip(polygon, ratio):
    (distance,) = unclip_distances([polygon], ratio)
    return grow(polygon, distance)


def letter_c(gap):
    """A frame of 40 x 40 around a hole of 20 x 20, open on the right by a slit."""
    low, high = 20 - gap // 2, 20 + gap // 2
    inner = [[30, low], [30, 10], [10, 10], [10, 30], [30, 30], [30, high]]
    return np.int32([[40, low], [40, 0], [0, 0], [0, 40], [40, 40], [40, high], *inner[::-1]])


def test_unclip_of_a_square():
    # D' = 100 * 1.5 / 40 = 3.75; 10 - 3.75 and 20 + 3.75, rounded.
    grown = unclip(np.int32([[10, 10], [20, 10], [20, 20], [10, 20]]), 1.5)
    assert span(grown) == (6, 6, 24, 24)
    assert grown.dtype == np.float32


# A' of the C: 1600 - 400 - 10 * gap; D' about 7 closes a slit of 2, not the hole of 20.
NOT_GROWN = {
    "closed ring": letter_c(2),
    "one place": np.full((4, 2), 5, dtype=np.int32),
    "there and back": np.int32([[0, 0], [10, 0], [20, 0], [10, 0]]),
    "figure eight": np.int32([[0, 0], [10, 10], [10, 0], [0, 10]]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("polygon", NOT_GROWN.values(), ids=NOT_GROWN)
def test_unclip_drops_nothing_and_several_parts(polygon):
    assert unclip(polygon, 1.5) is None


def test_unclip_keeps_an_open_c():
    # A' = 1060, L' = 160 - 14 + 80 - 14 + 2 * 10 = 232; 0.2 A' / L' = 0.91 leaves the slit open.
    assert span(unclip(letter_c(14), 0.2)) == (-1, -1, 41, 41)


def test_min_area_quad_of_a_diamond():
    diamond = np.float32([[0, 5], [5, 0], [10, 5], [5, 10]])
    quad = min_area_quad(diamond, 7.0)  # sides 5 sqrt(2) = 7.07
    corners = np.array(sorted(quad.round(3).tolist()))
    assert corners == pytest.approx(np.array(sorted(diamond.tolist())), abs=1e-3)
    assert min_area_quad(diamond, 7.1) is None


# --- Against the plain way, region by region ---


def plain_find(prob_map, scale_factor, text_repr_type, min_text_width):
    """The definition, with nothing computed for several regions at once."""
    polygons, scores = [], []
    bitmap = (prob_map > 0.3).astype(np.uint8)
    for contour in cv2.findContours(bitmap, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]:
        region = cv2.approxPolyDP(contour, 0.01 * cv2.arcLength(contour, True), True)[:, 0]
        mask = cv2.fillPoly(np.zeros_like(bitmap), [region], 1)
        if len(region) < 4 or cv2.mean(prob_map, mask)[0] < 0.3:
            continue
        clipper = pyclipper.PyclipperOffset()
        clipper.AddPath(region, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        length = np.linalg.norm(np.roll(region, -1, axis=0) - region, axis=1).sum()
        parts = clipper.Execute(cv2.contourArea(region) * 1.5 / length)
        if len(parts) != 1 or len(parts[0]) < 4:
            continue
        polygon = np.float32(parts[0])
        if text_repr_type == "quad":
            rectangle = cv2.minAreaRect(polygon)
            if min(rectangle[1]) < min_text_width:
                continue
            polygon = cv2.boxPoints(rectangle)
        polygons.append(((polygon + 0.5) / np.float64(scale_factor) - 0.5).astype(np.float32))
        scores.append(cv2.mean(prob_map, mask)[0])
    return polygons, np.float32(scores)


def random_map(rng):
    """Slanted words and arcs of any probability, blurred."""
    prob_map = np.zeros((150, 220), np.float32)
    for _ in range(rng.integers(0, 12)):
        center, value = rng.uniform(0, [220, 150]), rng.uniform(0.2, 1)
        size, angle = rng.uniform([4, 2], [90, 20]), rng.uniform(-90, 90)
        if rng.random() < 0.7:
            word = cv2.boxPoints((center, size, angle)).astype(np.int32)
            cv2.fillPoly(prob_map, [word], value)
        else:
            axes = size.astype(int).tolist()
            cv2.ellipse(prob_map, center.astype(int).tolist(), axes, angle, 0, 200, value, 4)
    return cv2.GaussianBlur(prob_map, (0, 0), rng.uniform(0.3, 2))


@pytest.mark.parametrize("text_repr_type", ["quad", "poly"])
def test_polygons_are_bit_for_bit_those_of_the_plain_way(text_repr_type):
    rng = np.random.default_rng(0)
    scale = (1308 / 1280, 736 / 720)
    maps = [random_map(rng) for _ in range(60)] + [noise(rng, s).numpy() for s in (1, 1.5, 2, 3)]
    num_polygons = 0
    for prob_map in maps:
        found = find(
            torch.from_numpy(prob_map)[None],
            dict(scale_factor=scale),
            text_repr_type=text_repr_type,
            min_text_width=3,
        )
        polygons, scores = plain_find(prob_map, scale, text_repr_type, min_text_width=3)
        assert [p.tolist() for p in found["polygons"]] == [p.tolist() for p in polygons]
        assert found["scores"].tolist() == scores.tolist()
        num_polygons += len(polygons)
    assert num_polygons > 300


def test_unclip_distances_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    polygons = [rng.integers(0, 99, (rng.integers(4, 30), 2)).astype(np.int32) for _ in range(50)]
    expected = [abs(signed_area(p)) * 1.5 / perimeter(p) for p in polygons]
    assert unclip_distances(polygons, 1.5) == pytest.approx(expected, rel=1e-12)
    assert unclip_distances([], 1.5) == []


def test_polygons_do_not_share_memory_that_is_written():
    first, second = find(draw(60, 340, *FIVE[:2]))["polygons"]
    before = second.copy()
    first += 100
    np.testing.assert_array_equal(second, before)


# --- Use ---


def test_built_from_a_config():
    postprocessor = MODELS.build(dict(type="DBPostprocessor", text_repr_type="poly"))
    assert postprocessor(draw(100, 160), [UNSCALED])[0]["polygons"] == []


def test_unknown_text_repr_type_is_an_error():
    with pytest.raises(ValueError, match='"quad" or "poly", got "box"'):
        DBPostprocessor(text_repr_type="box")


def test_metas_must_match_the_maps():
    with pytest.raises(ValueError, match="1 maps came with 2 metas"):
        DBPostprocessor()(draw(100, 160), [UNSCALED, UNSCALED])
