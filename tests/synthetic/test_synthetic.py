import multiprocessing
import pickle
import shutil
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import shapely
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from dbnet.datasets import SampleKey
from dbnet.datasets.synthetic_text_dataset import SyntheticTextDataset
from dbnet.errors import UserError
from dbnet.geometry import short_side, signed_area
from dbnet.synthetic import draw_scene
from dbnet.synthetic.degradation import cut_grain, motion_kernel, sample_camera
from dbnet.synthetic.fonts import BEYOND_ASCII, builtin_fonts, characters_of
from dbnet.synthetic.lettering import Block, Style, set_block
from dbnet.synthetic.page import draw_page
from dbnet.synthetic.painting import (
    LUMA,
    Board,
    paint_board,
    paint_sign,
    random_color,
    sample_brightness,
    warp_mask,
)
from dbnet.synthetic.placement import Arc, Placement, Straight, Wave, translation
from dbnet.synthetic.scene import annotate, draw_signs, is_illegible
from dbnet.synthetic.textures import TEXTURES
from dbnet.synthetic.words import sample_word
from tests.conftest import rectangle

PIPELINE = [
    dict(type="RandomAffineCrop", size=(64, 64)),
    dict(type="GenerateDBTargets"),
    dict(type="PackTextDetInputs"),
]
STYLE = Style("Pillow", 24, tracking=0, space=0.4, leading=0.4, alignment=0.5, bold=0)


def scenes(count, **kwargs):
    return [draw_scene(np.random.default_rng(seed), **kwargs) for seed in range(count)]


def placements(count, difficulty, shape=(256, 256)):
    """Blocks of words of `count` scenes, before they are painted."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        yield from (
            placement
            for placement, _ in draw_signs(rng, shape, (2, 6), difficulty, builtin_fonts())
        )


def assert_same(one, other):
    np.testing.assert_array_equal(one.image, other.image)
    assert [p.tolist() for p in one.polygons] == [p.tolist() for p in other.polygons]
    assert (one.ignored, one.texts) == (other.ignored, other.texts)


# ---- printed pages


@pytest.mark.parametrize("size", [(512, 400), (64, 64), (160, 120)])
def test_words_of_a_page_lie_apart_and_hold_the_ink(size):
    count = 0
    for seed in range(6):
        page = draw_page(np.random.default_rng(seed), size, difficulty=0.0)
        assert page.image.shape == (size[1], size[0], 3) and page.image.dtype == np.uint8
        assert len(page.polygons) == len(page.ignored) == len(page.texts)
        gray = page.image.astype(np.float32).mean(axis=2)
        outside = np.full(gray.shape, 255, np.uint8)
        for polygon in page.polygons:
            assert (polygon >= 0).all() and (polygon <= np.array(size) - 1).all()
            cv2.fillPoly(outside, [np.rint(polygon).astype(np.int32)], 0)
        outside = cv2.erode(outside, np.ones((5, 5))) > 0  # JPEG and blur
        assert np.abs(gray - np.median(gray))[outside].max() < 60 < np.ptp(gray) or not page.texts
        shapes = [shapely.Polygon(polygon) for polygon in page.polygons]
        common = sum(shape.area for shape in shapes) - shapely.union_all(shapes).area
        assert common <= 1e-2 * len(shapes)
        count += len(page.texts)
    assert count > {512: 400, 64: -1, 160: 10}[size[0]]  # 64 may have no room


def test_share_of_pages():
    words = [
        [
            len(SyntheticTextDataset((256, 256), 60, page_share=share).scene(i).texts)
            for i in range(60)
        ]
        for share in (0.0, 0.5, 1.0)
    ]
    assert max(words[0]) <= 6 < np.median(words[2]) / 3  # a scene has 2 to 6
    pages = sum(count > 6 for count in words[2])
    assert (
        0.3 * pages < sum(count > 6 for count in words[1]) < 0.7 * pages
    )  # standard deviation 3.9
    plain = SyntheticTextDataset((256, 256), 60, page_share=0.0)
    assert_same(plain.scene(3), SyntheticTextDataset((256, 256), 60).scene(3))


# ---- the scene as a whole


def test_scene_depends_on_seed_and_index_alone():
    dataset = SyntheticTextDataset(seed=3, length=10)
    scene = dataset.scene(7)
    np.random.seed(1)  # noqa: NPY002, the global generators must not matter
    cv2.setRNGSeed(1)
    dataset.scene(2)
    assert_same(scene, dataset.scene(7))
    assert_same(scene, SyntheticTextDataset(seed=3, length=10, test_mode=True).scene(7))
    for other in (dataset.scene(6), SyntheticTextDataset(seed=4, length=10).scene(7)):
        assert other.texts != scene.texts
        assert np.abs(other.image.astype(int) - scene.image).mean() > 5


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("level", ["word", "line"])
def test_polygons_lie_in_the_image_apart_from_each_other(difficulty, level):
    for scene in scenes(20, size=(200, 160), difficulty=difficulty, level=level):
        assert scene.image.shape == (160, 200, 3) and scene.image.dtype == np.uint8
        assert len(scene.polygons) == len(scene.ignored) == len(scene.texts)
        shapes = [shapely.Polygon(polygon) for polygon in scene.polygons]
        for polygon, shape in zip(scene.polygons, shapes):
            assert polygon.dtype == np.float32 and len(polygon) % 2 == 0
            assert (polygon >= 0).all() and (polygon <= (199, 159)).all()
            assert shape.is_valid and signed_area(polygon) > 0  # clockwise on the screen
        for i, shape in enumerate(shapes):
            assert all(shape.intersection(other).area < 1e-3 for other in shapes[:i])


def test_number_of_words():
    assert all(len(scene.texts) == 3 for scene in scenes(10, num_words=(3, 3), difficulty=0.5))
    counts = {len(scene.texts) for scene in scenes(30, num_words=(0, 3), difficulty=0.5)}
    assert counts == {0, 1, 2, 3}


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_scene_without_words_is_the_same_scenery(difficulty):
    rngs = np.random.default_rng(5), np.random.default_rng(5)
    empty = draw_scene(rngs[0], num_words=(0, 0), difficulty=difficulty)
    scene = draw_scene(rngs[1], num_words=(2, 2), difficulty=difficulty)
    assert empty.polygons == [] and empty.ignored == [] and empty.texts == []
    assert empty.image.std() > 2
    changed = np.abs(empty.image.astype(int) - scene.image).max(axis=2) > 40
    assert 0.002 < changed.mean() < 0.5


def test_line_level_joins_the_words_of_a_line():
    num_joined = 0
    for seed in range(15):
        words = draw_scene(np.random.default_rng(seed), level="word")
        lines = draw_scene(np.random.default_rng(seed), level="line")
        np.testing.assert_array_equal(words.image, lines.image)
        assert " ".join(lines.texts).split() == words.texts
        position = 0
        for polygon, text in zip(lines.polygons, lines.texts):
            line = shapely.Polygon(polygon).buffer(1.5)  # the chords of bent lines differ
            count = len(text.split())
            members = words.polygons[position : position + count]
            assert all(line.contains(shapely.Polygon(member)) for member in members)
            if count == 1:
                np.testing.assert_array_equal(polygon, members[0])
            num_joined += count > 1
            position += count
    assert num_joined > 5


def test_difficulty_makes_words_smaller_turned_bent_and_fainter():
    easy, hard = (scenes(40, difficulty=difficulty) for difficulty in (0.0, 1.0))

    def polygons(many):
        return [polygon for scene in many for polygon in scene.polygons]

    def height(many):
        return np.median([np.sqrt(abs(signed_area(polygon))) for polygon in polygons(many)])

    def turn(many):
        edges = [p[len(p) // 2 - 1] - p[0] for p in polygons(many)]
        return np.mean([abs(np.arctan2(edge[1], edge[0])) for edge in edges])

    def contrast(many):
        return np.mean(
            [
                cv2.cvtColor(scene.image, cv2.COLOR_BGR2GRAY)[
                    int(p[:, 1].min()) : int(p[:, 1].max()), int(p[:, 0].min()) : int(p[:, 0].max())
                ].std()
                for scene in many
                for p in scene.polygons
            ]
        )

    assert height(easy) > 1.6 * height(hard)
    assert np.rad2deg(turn(easy)) < 4 and np.rad2deg(turn(hard)) > 8
    assert contrast(easy) > 1.5 * contrast(hard)
    assert all(len(polygon) == 4 for polygon in polygons(easy))
    assert 0.1 < np.mean([len(polygon) > 4 for polygon in polygons(hard)]) < 0.6
    assert not any(flag for scene in easy for flag in scene.ignored)
    assert 0.03 < np.mean([flag for scene in hard for flag in scene.ignored]) < 0.5


# ---- polygons and ink


@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_ink_lies_inside_the_polygons(difficulty):
    num_placements = 0
    for placement in placements(30, difficulty):
        patch = warp_mask(placement, placement.block.mask, (256, 256))
        rows, columns = np.nonzero(patch.coverage > 0.3)
        ink = np.stack([columns + patch.left, rows + patch.top], axis=1)
        inside = np.zeros(len(ink), bool)
        for polygon in annotate([placement], "word")[0]:
            found = shapely.contains_xy(shapely.Polygon(polygon), *ink.T)
            assert found.any() or short_side(polygon) < 8  # fine print may fade out
            inside |= found
        assert inside.all()
        num_placements += 1
    assert num_placements > 30


def test_polygons_of_straight_words_are_tight():
    """Ink comes as near to each side as the margin says: 0.5 px + 6 % of the height, + 1 px."""
    for placement in placements(30, difficulty=0.0):
        patch = warp_mask(placement, placement.block.mask, (256, 256))
        rows, columns = np.nonzero(patch.coverage > 0.15)
        ink = np.stack([columns + patch.left, rows + patch.top], axis=1)
        for polygon in annotate([placement], "word")[0]:
            own = ink[shapely.contains_xy(shapely.Polygon(polygon), *ink.T)]
            height = np.linalg.norm(polygon[3] - polygon[0])
            for start, end in zip(polygon, np.roll(polygon, -1, axis=0)):
                x, y = (end - start) / np.linalg.norm(end - start)
                distance = (own - start) @ (-y, x)  # inwards, since the polygon is clockwise
                assert 0 < distance.min() < 1.6 + 0.06 * height


def test_words_change_the_picture_inside_their_polygons_alone(monkeypatch):
    monkeypatch.setattr("dbnet.synthetic.painting.paint_board", lambda *_: None)
    for seed in range(10):
        args = dict(size=(160, 160), difficulty=0.0)
        empty = draw_scene(np.random.default_rng(seed), num_words=(0, 0), **args)
        scene = draw_scene(np.random.default_rng(seed), num_words=(2, 2), **args)
        changed = np.abs(empty.image.astype(int) - scene.image).max(axis=2) > 30
        inside = np.zeros((160, 160), np.uint8)
        cv2.fillPoly(inside, [np.rint(polygon).astype(int) for polygon in scene.polygons], 1)
        # Outlines, shadows and the JPEG reach a little farther than the ink.
        reach = cv2.dilate(inside, np.ones((5, 5), np.uint8))
        assert changed[inside > 0].mean() > 0.15
        assert changed[reach == 0].mean() < 0.001


def test_set_block_gives_the_boxes_of_the_ink():
    block = set_block([["Ag", "x"], ["!"]], STYLE)
    assert [[word.text for word in line] for line in block.lines] == [["Ag", "x"], ["!"]]
    covered = np.zeros(block.mask.shape, bool)
    for word in (word for line in block.lines for word in line):
        left, top, right, bottom = (round(value + 0.5) for value in word.box)
        part = block.mask[top:bottom, left:right] >= 40
        assert part[0].any() and part[-1].any() and part[:, 0].any() and part[:, -1].any()
        assert not covered[top:bottom, left:right].any()
        covered[top:bottom, left:right] = True
    assert not (block.mask[~covered] >= 40).any()
    assert block.lines[0][1].box[0] - block.lines[0][0].box[2] >= 0.4 * 24 - 1
    assert block.lines[1][0].box[1] - block.lines[0][0].box[3] >= 0.4 * 24 - 1


def test_outline_of_a_straight_block():
    """A 21 x 11 mask has its middle at (10, 5); scaled by 2 and put at (50, 40)."""
    to_image = translation(50, 40) @ np.diag([2.0, 2.0, 1.0])
    placement = Placement(Block(np.zeros((11, 21), np.uint8), ()), Straight(), to_image)
    np.testing.assert_allclose(placement.outline((4, 3, 16, 8)), rectangle(38, 36, 62, 46))
    # 0.5 px of the image, and 6 % of 5 px, doubled by the scale
    polygon = placement.word_polygon((4, 3, 16, 8))
    np.testing.assert_allclose(polygon, rectangle(36.9, 34.9, 63.1, 47.1), rtol=1e-6)


def test_arc_bends_around_its_centre():
    """A quarter turn of a circle of radius 100 around (0, 100) ends at (100, 100)."""
    quarter = 100 * np.pi / 2
    points = np.array([[0, 0], [quarter, 0], [quarter, 20], [0, -5]])
    expected = [[0, 0], [100, 100], [80, 100], [0, -5]]
    np.testing.assert_allclose(Arc(100).bend(points), expected, atol=1e-9)
    mirrored = Arc(-100).bend(points * (1, -1))
    np.testing.assert_allclose(mirrored, np.array(expected) * (1, -1), atol=1e-9)


@pytest.mark.parametrize("bend", [Straight(), Arc(60), Arc(-60), Wave(5, 80, 0.7)])
def test_unbend_undoes_bend(bend):
    points = np.random.default_rng(0).uniform((-70, -20), (70, 20), (50, 2))
    np.testing.assert_allclose(bend.unbend(bend.bend(points)), points, atol=1e-9)


def test_curved_polygon_follows_both_edges():
    mask = np.zeros((31, 201), np.uint8)
    placement = Placement(Block(mask, ()), Arc(100), translation(150, 30))
    polygon = placement.outline((0, 5, 200, 25))
    count = len(polygon) // 2
    # Rows 5 and 25 lie 10 px above and below the middle row; the centre is (150, 130).
    radii = np.linalg.norm(polygon - (150, 130), axis=1)
    np.testing.assert_allclose(radii, [110] * count + [90] * count, rtol=1e-5)
    assert count == 11  # a turn of 2 rad in steps of 0.2
    # Ring sector of 2 rad: (110^2 - 90^2) * 2 / 2 = 4000, less the chords' share of 0.7 %
    assert signed_area(polygon) == pytest.approx(4000 * np.sin(0.2) / 0.2, rel=1e-3)


def test_small_or_blurred_words_are_ignored():
    camera = sample_camera(np.random.default_rng(0), 0.0)._replace(blur=0.0, motion=0.0)
    assert is_illegible(rectangle(0, 0, 40, 7.9), camera)
    assert not is_illegible(rectangle(0, 0, 40, 8.1), camera)
    assert is_illegible(rectangle(0, 0, 40, 11.9), camera._replace(blur=3.0))
    assert not is_illegible(rectangle(0, 0, 40, 12.1), camera._replace(blur=3.0))


# ---- legibility


@pytest.mark.parametrize(("difficulty", "least"), [(0.0, 95), (1.0, 40)])
def test_letters_stand_out_from_their_ground(difficulty, least):
    """The gap is 120 at difficulty 0 and 60 at 1, less up to 10 % fading and 15 % transparency."""
    rng = np.random.default_rng(0)
    gaps = []
    for placement in placements(12, difficulty):
        image = np.full((256, 256, 3), rng.integers(256), np.uint8)
        paint_sign(rng, image, placement, 20.0, difficulty)
        letters = warp_mask(placement, placement.block.mask, (256, 256))
        gray = letters.window(image).astype(float) @ LUMA
        near = cv2.dilate(letters.coverage, np.ones((11, 11))) > 0.5
        apart = cv2.dilate(letters.coverage, np.ones((7, 7))) == 0  # beyond outline and shadow
        ink, ground = letters.coverage > 0.95, near & apart
        if ink.sum() > 20 and ground.sum() > 20:
            gaps.append(abs(gray[ink].mean() - gray[ground].mean()))
    assert len(gaps) > 10 and min(gaps) > least


def test_board_surrounds_its_words_evenly():
    """The mask has a rim of 3 px around the ink; with 12 px of padding the board's edge is 15 off.

    The board's own mask leaves 1 px free, for a soft edge.
    """
    block = set_block([["Board"]], STYLE)
    placement = Placement(block, Straight(), translation(100, 50))
    image = np.full((100, 200, 3), 250, np.uint8)
    board = Board(np.float32([60, 60, 60]), np.float32([0, 0, 0]), frame=0.0, rounding=0.0)
    paint_board(np.random.default_rng(0), image, placement, 12, board)
    rows, columns = np.nonzero(image.max(axis=2) < 120)
    left, top, right, bottom = block.lines[0][0].box
    x, y = 100 - placement.middle()[0], 50 - placement.middle()[1]
    assert columns.min() == pytest.approx(left + x - 14, abs=1.1)
    assert columns.max() == pytest.approx(right + x + 14, abs=1.1)
    assert rows.min() == pytest.approx(top + y - 14, abs=1.1)
    assert rows.max() == pytest.approx(bottom + y + 14, abs=1.1)


def test_brightness_keeps_the_gap_or_takes_the_far_end():
    rng = np.random.default_rng(0)
    for mean in (0, 30, 100, 128, 200, 255):
        for _ in range(20):
            assert abs(sample_brightness(rng, mean, 60, 0.5) - mean) >= 60 - 1e-6
    assert sample_brightness(rng, 120, 250, 0.5) == 255
    assert sample_brightness(rng, 140, 250, 0.5) == 0


@pytest.mark.parametrize("painted", [True, False])
def test_random_color_has_the_brightness_asked_for(painted):
    rng = np.random.default_rng(0)
    for brightness in (0.0, 10.0, 128.0, 250.0):
        colors = [random_color(rng, brightness, v, painted) for v in (0, 0.5, 1)]
        for color in colors:
            assert (color >= -1e-3).all() and (color <= 255.001).all()
            # ITU-R BT.601
            luma = 0.114 * color[0] + 0.587 * color[1] + 0.299 * color[2]
            assert luma == pytest.approx(brightness, abs=1e-3)
        assert np.ptp(colors[0]) < 1e-3
        assert brightness == 0 or np.ptp(colors[2]) > 1


# ---- parts


def test_builtin_fonts_draw_every_letter_differently():
    fonts = builtin_fonts()
    assert len(fonts) >= 20 and len(set(fonts)) == len(fonts)
    for font in fonts:
        assert set("ABCXYZabcxyz0123456789.,") <= characters_of(font)
        drawn = {set_block([[c]], STYLE._replace(font=font)).mask.tobytes() for c in "ABCabc123"}
        assert len(drawn) == 9


def test_tex_fonts_count_as_ascii_alone():
    font = str(Path(matplotlib.get_data_path(), "fonts/ttf/cmr10.ttf"))
    assert not characters_of(font) & set(BEYOND_ASCII)
    assert set(BEYOND_ASCII) <= characters_of(font.replace("cmr10", "DejaVuSans"))


def test_words_use_what_the_font_has():
    rng = np.random.default_rng(0)
    capitals = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    words = [sample_word(rng, capitals) for _ in range(300)]
    assert all(word and set(word) <= capitals for word in words)
    everything = [sample_word(rng, characters_of("Pillow")) for _ in range(300)]
    assert any(word.islower() for word in everything) and any("." in word for word in everything)
    assert len(set(everything)) > 150


@pytest.mark.parametrize("texture", TEXTURES)
@pytest.mark.parametrize("shape", [(32, 32), (100, 61)])
def test_textures_are_fields_with_structure(texture, shape):
    field = texture(np.random.default_rng(0), shape)
    assert field.shape == shape and np.isfinite(field).all() and field.std() > 0.02


def test_camera_parts():
    assert motion_kernel(4, 0.3).sum() == pytest.approx(1)
    # Along x: the centre's row holds nearly all, and the spread of a box of 4 px is 4 / sqrt(12).
    kernel = motion_kernel(4.0, 0.0)
    columns = np.arange(len(kernel)) - len(kernel) // 2
    spread = np.sqrt((kernel.sum(axis=0) * columns**2).sum())
    assert spread == pytest.approx(4 / np.sqrt(12), rel=0.25)
    for shape in ((32, 40), (300, 520)):
        grain = cut_grain(np.random.default_rng(0), shape)
        assert grain.shape == (*shape, 3)
        assert abs(grain.mean()) < 0.05 and grain.std() == pytest.approx(1, abs=0.06)


# ---- dataset


def test_sample_is_what_the_pipeline_expects():
    sample = SyntheticTextDataset(size=(96, 64), length=20, seed=2, test_mode=True)[12]
    assert sample["img"].shape == (64, 96, 3) and sample["img"].dtype == np.uint8
    assert sample["img_path"] == "synthetic_2_000012.png"
    assert sample["ori_shape"] == sample["img_shape"] == (64, 96)
    assert sample["scale_factor"] == (1.0, 1.0)
    assert len(sample["texts"]) == len(sample["polygons"]) == len(sample["ignored"]) > 0
    assert all(type(flag) is bool for flag in sample["ignored"])
    first = sample["rng"].random()
    assert first == np.random.default_rng([0, 0, 12]).random()  # as TextDetDataset's


def test_training_pipeline():
    dataset = SyntheticTextDataset(size=(96, 96), length=4, pipeline=PIPELINE)
    one, again, later = (dataset[SampleKey(0, epoch, 1)] for epoch in (0, 0, 1))
    assert tuple(one["inputs"].shape) == (3, 64, 64) and "texts" not in one
    assert one["targets"]["shrink_map"].any()
    torch.testing.assert_close(one["inputs"], again["inputs"], rtol=0, atol=0)
    assert not torch.equal(one["inputs"], later["inputs"])


def test_plain_index_is_for_tests_and_stays_in_range():
    with pytest.raises(UserError, match="EpochKeySampler"):
        SyntheticTextDataset()[0]
    dataset = SyntheticTextDataset(size=(32, 32), length=3, test_mode=True)
    assert len(dataset) == len(list(dataset)) == 3
    with pytest.raises(IndexError, match="3 of 3"):
        dataset[3]


@pytest.mark.parametrize("size", [(32, 32), (32, 200), (200, 32), (33, 47)])
@pytest.mark.parametrize("difficulty", [0.0, 1.0])
def test_tiny_and_narrow_images(size, difficulty):
    dataset = SyntheticTextDataset(size, length=15, num_words=(1, 3), difficulty=difficulty)
    found = [dataset.scene(index) for index in range(15)]
    assert all(scene.image.shape == (size[1], size[0], 3) for scene in found)
    for scene in found:
        for polygon in scene.polygons:
            assert (polygon >= 0).all() and (polygon <= np.array(size) - 1).all()
    assert np.mean([len(scene.polygons) > 0 for scene in found]) > 0.8


def test_pickles_without_fonts_and_after_use():
    dataset = SyntheticTextDataset(size=(64, 64), length=3, test_mode=True)
    fresh = pickle.dumps(dataset)
    scene = dataset.scene(1)
    assert len(fresh) < 5000 and pickle.dumps(dataset) == fresh
    assert_same(scene, pickle.loads(fresh).scene(1))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_draw_the_same(method):
    pipeline = [dict(type="PackTextDetInputs")]
    dataset = SyntheticTextDataset((64, 64), 2, pipeline=pipeline, test_mode=True)
    expected = [dataset[index]["inputs"] for index in range(2)]
    context = multiprocessing.get_context(method)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=1, multiprocessing_context=context, timeout=300
    )
    for one, other in zip(expected, loader):
        torch.testing.assert_close(one, other["inputs"], rtol=0, atol=0)


def test_runner_builds_its_loader():
    loader = Runner.build_dataloader(
        dict(
            batch_size=2,
            num_workers=0,
            dataset=dict(type="SyntheticTextDataset", size=(96, 96), length=4, pipeline=PIPELINE),
            sampler=dict(type="EpochKeySampler", shuffle=True),
            collate_fn=dict(type="collate_text_det"),
        ),
        seed=0,
    )
    batches = list(loader)
    assert len(batches) == 2 and tuple(batches[0]["inputs"].shape) == (2, 3, 64, 64)
    assert loader.dataset.metainfo["task_name"] == "textdet"


# ---- the user's own fonts and photos


def test_font_dir(tmp_path):
    shutil.copy(Path(matplotlib.get_data_path(), "fonts/ttf/cmtt10.ttf"), tmp_path / "a.TTF")
    (tmp_path / "readme.txt").write_text("no font")
    dataset = SyntheticTextDataset(size=(64, 64), length=3, font_dir=str(tmp_path))
    assert dataset.fonts == (str(tmp_path / "a.TTF"),)
    builtin = SyntheticTextDataset(size=(64, 64), length=3)
    assert not np.array_equal(dataset.scene(0).image, builtin.scene(0).image)


def test_background_dir(tmp_path):
    red = np.zeros((50, 80, 3), np.uint8)
    red[..., 2] = 200
    cv2.imwrite(str(tmp_path / "red.png"), red)
    dataset = SyntheticTextDataset(
        (64, 96), num_words=(0, 0), difficulty=0.0, background_dir=str(tmp_path)
    )
    b, g, r = np.median(dataset.scene(0).image.reshape(-1, 3), axis=0)
    assert r > b + 80 and r > g + 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(difficulty=1.1), r"difficulty=1.1.*\[0, 1\]"),
        (dict(difficulty=-0.1), "difficulty=-0.1"),
        (dict(num_words=(3, 2)), r"num_words=\(3, 2\)"),
        (dict(num_words=4), "num_words=4"),
        (dict(size=(256, 16)), r"size=\(256, 16\).*32"),
        (dict(size=256), "size=256"),
        (dict(length=0), "length=0"),
        (dict(seed=-1), "seed=-1"),
        (dict(level="letter"), 'level="letter".*"word" or "line"'),
        (dict(font_dir="{folder}"), "font_dir .*no .ttf or .otf"),
        (dict(font_dir="{folder}/broken"), "broken.ttf.*cannot be read"),
        (dict(font_dir="{folder}/symbols"), "cmsy10.ttf.*lacks Latin"),
        (dict(font_dir="{folder}/none"), "font_dir"),
        (dict(background_dir="{folder}/fonts"), "background_dir .*no image"),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, message):
    for name in ("broken", "symbols"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "broken.ttf").write_bytes(b"no font")
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(
        Path(matplotlib.get_data_path(), "fonts/ttf/STIXNonUni.ttf"),
        tmp_path / "symbols" / "cmsy10.ttf",
    )
    places = {"{folder}": str(folder)}
    arguments = {
        key: places.get(value, value.replace("{folder}", str(tmp_path)))
        if isinstance(value, str)
        else value
        for key, value in arguments.items()
    }
    with pytest.raises(UserError, match=message) as caught:
        SyntheticTextDataset(**arguments)
    assert "\n" not in str(caught.value)


def test_damaged_photo_is_one_line(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    dataset = SyntheticTextDataset(background_dir=str(tmp_path))
    with pytest.raises(UserError, match=r"a\.jpg: not an image"):
        dataset.scene(0)


# ---- as a dataset on disk
