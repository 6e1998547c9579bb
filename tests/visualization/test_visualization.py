import multiprocessing
import socket
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from dbnet.engine.show_predictions_hook import ShowPredictionsHook, original_image
from dbnet.images import read_image, write_image
from dbnet.utils.worst import Worst
from dbnet.visualization import detections
from dbnet.visualization.detections import Verdict, judge_image
from dbnet.visualization.draw import (
    BLACK,
    GREEN,
    VERMILION,
    YELLOW,
    LineStyle,
    cut_into_dashes,
    draw_polygons,
    outline,
    resize_to_fit,
)
from dbnet.visualization.sheet import (
    MARGIN,
    add_legend,
    contact_sheet,
    encode_tile,
    flow,
    shorten,
    worst_sheet,
)
from tests.conftest import rectangle

SQUARE = np.float64([[0, 0], [40, 0], [40, 40], [0, 40], [0, 0]])
KINDS = (GREEN, YELLOW, VERMILION)  # matched, missed, false alarm


def where(image, color, tolerance=25):
    """Mask (H, W) of the pixels of about this colour; lines are smoothed."""
    return np.abs(image.astype(int) - color).max(axis=2) <= tolerance


def count(image, color, tolerance=25):
    """Number of pixels of about this colour."""
    return int(where(image, color, tolerance).sum())


# Which text took which prediction


def test_verdict_of_every_kind():
    texts = [rectangle(0, 0, 20, 10), rectangle(50, 0, 70, 10), rectangle(0, 50, 20, 60)]
    predictions = [
        rectangle(100, 100, 120, 110),  # nothing there
        rectangle(1, 50, 19, 60),  # in the ignored text
        rectangle(50, 0, 70, 9),  # IoU 0.9 with text 1
    ]
    verdict = judge_image(texts, [False, False, True], predictions)
    assert verdict == Verdict(
        pairs=[(1, 2)],
        missed=[0],
        false_alarms=[0],
        ignored_texts=[2],
        ignored_predictions=[1],
    )
    assert verdict.num_errors == 2


def test_verdict_of_nothing():
    assert judge_image([], [], []) == Verdict([], [], [], [], [])


# Lines


def test_dashes_of_a_square():
    # 160 pixels in stretches of about 12: 6 dashes and 6 gaps of 160 / 12 pixels.
    dashes = cut_into_dashes(SQUARE, 12)
    lengths = [np.linalg.norm(np.diff(dash, axis=0), axis=1).sum() for dash in dashes]
    np.testing.assert_allclose(lengths, [160 / 12] * 6)
    np.testing.assert_allclose(dashes[0], [[0, 0], [40 / 3, 0]], atol=1e-9)
    # The second one goes from 26.7 to 40, the third round the corner from 53.3 to 66.7.
    np.testing.assert_allclose(dashes[2], [[40, 40 / 3], [40, 80 / 3]])
    np.testing.assert_allclose(dashes[3], [[40, 40], [80 / 3, 40]])


def test_a_dash_bends_round_a_corner():
    line = np.float64([[0, 0], [5, 0], [5, 15]])  # 20 long: a dash of 10, a gap of 10
    (dash,) = cut_into_dashes(line, 10)
    np.testing.assert_allclose(dash, [[0, 0], [5, 0], [5, 5]])


@pytest.mark.parametrize(
    "line", [SQUARE / 20, np.zeros((5, 2)), np.float64([[0, 0], [1, 0], [1, 0], [0, 0]])]
)
def test_short_lines_stay_whole(line):
    dashes = cut_into_dashes(line, 10)
    assert len(dashes) == 1
    assert np.isfinite(dashes[0]).all()


def test_double_outline_of_a_square():
    inner, outer = outline(SQUARE[:-1], LineStyle(GREEN, double=True), width=2)
    np.testing.assert_array_equal(inner, SQUARE)
    assert outer.min() == -5 and outer.max() == 45  # 2 x 2 + 1 pixels outside


@pytest.mark.parametrize("style", [s for s, _ in detections.LEGEND])
@pytest.mark.parametrize(
    "polygon",
    [
        np.zeros((0, 2)),
        [[5, 5]],
        [[5, 5], [5, 5], [5, 5]],
        [[5, 5], [9, 9]],
        [[0, 0], [20, 20], [20, 0], [0, 20]],
        [[-1e9, 5], [1e9, 5], [1e9, 9], [-1e9, 9]],
        [[np.nan, 5], [9, 5], [9, 9]],
        [[np.inf, 5], [9, 5], [9, 9]],
    ],
    ids=["empty", "point", "repeated", "line", "bow tie", "huge", "nan", "infinite"],
)
def test_strange_polygons_are_drawn_or_left_out(polygon, style):
    image = np.zeros((32, 32, 3), np.uint8)
    drawn = draw_polygons(image, [np.asarray(polygon, np.float32)], style)
    assert drawn.shape == image.shape
    seen = np.isfinite(polygon).all() and len(polygon) > 1 and len(np.unique(polygon, axis=0)) > 1
    if seen:
        assert drawn.any()


def test_lines_lie_where_the_polygon_does_and_the_input_stays():
    image = np.full((40, 60, 3), 100, np.uint8)
    drawn = draw_polygons(image, [rectangle(10, 5, 30, 20)], LineStyle(GREEN))
    assert (image == 100).all()
    rows, columns = np.nonzero(where(drawn, GREEN))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (10, 30, 5, 20)
    assert count(drawn, GREEN) == pytest.approx(2 * 21 + 2 * 16 - 4, abs=4)  # one pixel wide
    assert (drawn[8:18, 13:28] == 100).all()


def test_black_edges_on_large_images_only():
    polygon = rectangle(100, 100, 300, 200)
    for side, edged in ((640, False), (1280, True)):
        image = np.full((side, side, 3), 255, np.uint8)
        drawn = draw_polygons(image, [polygon], LineStyle(GREEN))
        assert (count(drawn, BLACK) > 0) == edged
        plain = draw_polygons(image, [polygon], LineStyle(GREEN, edged=False))
        assert count(plain, BLACK) == 0
        assert 0.3 < count(plain, GREEN) / count(drawn, GREEN) <= 1


def test_resize_keeps_pixel_centres():
    image = np.zeros((100, 200, 3), np.uint8)
    small, matrix = resize_to_fit(image, (50, 50))
    assert small.shape == (25, 50, 3)
    # x' = (x + 0.5) / 4 - 0.5
    np.testing.assert_allclose(matrix, [[0.25, 0, -0.375], [0, 0.25, -0.375]])
    assert resize_to_fit(image, (400, 400))[0].shape == (200, 400, 3)
    assert resize_to_fit(np.zeros((1, 5000, 3), np.uint8), (100, 100))[0].shape == (1, 100, 3)


# Legends, sheets


def test_flow_breaks_lines():
    assert flow([30, 30, 50, 100, 10], 80) == ([(0, 0), (30, 0), (0, 1), (0, 2), (0, 3)], 4)


def test_legend_leaves_the_image_and_wraps():
    for width in (60, 300, 1280):
        image = np.full((90, width, 3), 7, np.uint8)
        entries = [(style, f"{label} 12") for style, label in detections.LEGEND]
        result = add_legend(image, "img_1.jpg", entries)
        assert (result[:90, :width] == 7).all()
        assert result.shape[0] > 90 and result.shape[1] >= width
        assert count(result[90:], GREEN) > 0 and count(result[90:], YELLOW) > 0
    wide = add_legend(np.zeros((90, 1280, 3), np.uint8), "a", entries)
    narrow = add_legend(np.zeros((90, 300, 3), np.uint8), "a", entries)
    assert wide.shape[1] == 1280 and narrow.shape[0] > 150


def test_shorten_keeps_both_ends():
    assert shorten("img_1.jpg", 9) == "img_1.jpg"
    assert shorten("a" * 20 + ".jpg", 12) == "aaaaa..a.jpg"


def test_contact_sheet_places_tiles_in_rows():
    tiles = [np.full((10, 20, 3), value, np.uint8) for value in (1, 2, 3, 4, 5)]
    tiles[4] = tiles[4][:4, :6]
    sheet = contact_sheet(tiles)  # 3 columns, 2 rows
    assert sheet.shape == (2 * 18 + MARGIN, 3 * 28 + MARGIN, 3)
    for value, (top, left) in enumerate([(8, 8), (8, 36), (8, 64), (26, 8)], start=1):
        assert (sheet[top : top + 10, left : left + 20] == value).all()
        assert count(sheet, (value,) * 3, 0) == 200
    assert count(sheet, (5, 5, 5), 0) == 24


def encoded(value):
    return lambda: encode_tile(np.full((2, 2, 3), value, np.uint8))


def test_worst_sheet_joins_processes():
    first, second = Worst(2), Worst(2)
    first.add((1, "a"), encoded(10))
    first.add((3, "b"), encoded(30))
    second.add((3, "b"), encoded(30))  # the sampler pads the last batch with it
    second.add((2, "c"), encoded(20))
    sheet = worst_sheet([*first.kept, *second.kept], 2)
    assert sheet[MARGIN, MARGIN, 0] == 30
    assert sheet[MARGIN, 2 * MARGIN + 2, 0] == 20
    assert count(sheet, (10, 10, 10), 0) == 0
    assert worst_sheet([], 2) is None


# The hook


def make_image(folder, name, shape=(90, 160)):
    folder.mkdir(exist_ok=True)
    write_image(folder / name, np.full((*shape, 3), 120, np.uint8))
    return str(folder / name)


def batch(*images):
    """Images with one text each, and a prediction that finds the text or not."""
    metas, outputs = [], []
    for path, found in images:
        text = rectangle(20, 20, 60, 40)
        metas.append(dict(img_path=path, gt_polygons=[text], gt_ignored=[False]))
        outputs.append(dict(polygons=[text if found else text + 50], scores=np.ones(1)))
    return dict(metas=metas, inputs=[None] * len(images)), outputs


def test_hook_draws_every_image_and_a_sheet(tmp_path):
    good, bad = make_image(tmp_path / "in", "good.png"), make_image(tmp_path / "in", "ünd.png")
    hook = ShowPredictionsHook(str(tmp_path / "out"))
    hook.after_test_iter(None, 0, *batch((good, True), (bad, False)))
    hook.after_test(None)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["good.jpg", "worst.jpg", "ünd.jpg"]
    right, wrong = (read_image(str(tmp_path / "out" / name)) for name in ("good.jpg", "ünd.jpg"))
    assert right.shape[0] > 90  # the legend
    green, yellow, vermilion = ([count(i[:90], c, 60) for i in (right, wrong)] for c in KINDS)
    assert green[0] > 50 and yellow[0] == vermilion[0] == 0
    assert yellow[1] > 20 and vermilion[1] > 50 and green[1] == 0


@pytest.mark.parametrize(("steps", "drawn"), [(9, False), (10, True)])
def test_hook_draws_the_last_validation_into_the_work_directory(tmp_path, steps, drawn):
    hook = ShowPredictionsHook("predictions")
    logger = SimpleNamespace(info=lambda text: None)
    runner = SimpleNamespace(work_dir=str(tmp_path), iter=steps, max_iters=10, logger=logger)
    hook.before_run(runner)
    hook.after_val_iter(runner, 0, *batch((make_image(tmp_path / "in", "a.png"), True)))
    hook.after_val(runner)
    names = sorted(path.name for path in (tmp_path / "predictions").glob("*"))
    assert names == (["a.jpg", "worst.jpg"] if drawn else [])


def test_two_images_of_one_name_have_two_files(tmp_path):
    paths = [make_image(tmp_path / folder, "worst.png") for folder in "ab"]
    hook = ShowPredictionsHook(str(tmp_path / "out"))
    for path in (*paths, paths[0]):
        hook.after_test_iter(None, 0, *batch((path, True)))
    hook.after_test(None)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["worst.jpg", "worst_2.jpg", "worst_3.jpg"]


def test_an_image_without_a_file_comes_from_the_batch(tmp_path):
    # 8 rows of 4 pixels, shown to the network at 2 x 4, in a batch that is padded.
    inputs = torch.zeros(3, 32, 32, dtype=torch.uint8)
    inputs[:, :4, :2] = torch.tensor([10, 20, 30], dtype=torch.uint8)[:, None, None]
    meta = dict(img_path="scene_1", ori_shape=(8, 4), img_shape=(4, 2))
    image = original_image(meta, inputs)
    assert image.shape == (8, 4, 3)
    assert (image == (10, 20, 30)).all()
    path = make_image(tmp_path, "a.png", shape=(5, 7))
    assert original_image({**meta, "img_path": path}, inputs).shape == (5, 7, 3)


def test_hook_without_images_writes_nothing(tmp_path):
    hook = ShowPredictionsHook(str(tmp_path / "out"))
    hook.after_test_iter(None, 0)
    hook.after_test(None)
    assert not (tmp_path / "out").exists()


def show_in_process(rank, port, paths, out):
    """Test the images of one of two processes: each has one of its own and one that both have."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    hook = ShowPredictionsHook(f"{out}/{rank}")
    own = [(paths[rank], rank == 0), (paths[2], True)]
    hook.after_test_iter(None, 0, *batch(*own))
    hook.after_test(None)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_share_one_sheet(tmp_path):
    paths = [make_image(tmp_path / "in", f"{name}.png") for name in "abc"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    out = str(tmp_path / "out")
    workers = [
        context.Process(target=show_in_process, args=(rank, port, paths, out)) for rank in (0, 1)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    first, second = (sorted(p.name for p in (tmp_path / "out" / rank).iterdir()) for rank in "01")
    assert first == ["a.jpg", "c.jpg", "worst.jpg"] and second == ["b.jpg", "c.jpg"]
    single = ShowPredictionsHook(str(tmp_path / "single"))
    single.after_test_iter(None, 0, *batch((paths[0], True), (paths[1], False), (paths[2], True)))
    single.after_test(None)
    expected = cv2.imread(str(tmp_path / "single" / "worst.jpg"))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "0" / "worst.jpg")), expected)
