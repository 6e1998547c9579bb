import json

import cv2
import numpy as np
import pytest

from dbnet.cli import browse
from dbnet.cli.options import parse
from dbnet.config.load import load_config
from dbnet.datasets.samplers import EpochKeySampler, InfiniteKeySampler, SampleKey
from dbnet.images import read_image
from dbnet.registry import DATASETS
from dbnet.visualization.draw import GREEN, GREY
from dbnet.visualization.samples import draw_map, draw_sample, draw_texts, polygons_of
from tests.conftest import rectangle
from tests.scenes import write_config, write_scenes
from tests.visualization.test_visualization import count, where


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes"), count=5)


@pytest.fixture(scope="module")
def config(scenes):
    return write_config(scenes, "scenes", epochs=1)


def run(config, out, *arguments):
    return browse.main([config, "--out", str(out), *arguments])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def make_sample(**others):
    sample = dict(
        img=np.full((40, 60, 3), 90, np.uint8),
        polygons=[rectangle(5, 5, 25, 15), rectangle(35, 20, 55, 30)],
        ignored=[False, True],
    )
    return {**sample, **others}


# Drawing


def test_texts_and_ignored_texts_differ():
    drawn = draw_texts(make_sample())
    rows, columns = np.nonzero(where(drawn, GREEN))
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (5, 25, 5, 15)
    rows, columns = np.nonzero(where(drawn, GREY))
    assert rows.min() >= 19 and columns.min() >= 34
    assert 0 < count(drawn, GREY) < 50  # dashed: the outline has 60 pixels


def test_polygons_of_test_samples_follow_the_resized_image():
    # x' = 2 (x + 0.5) - 0.5, y' = 3 (y + 0.5) - 0.5
    (polygon, _) = polygons_of(make_sample(scale_factor=(2.0, 3.0)))
    np.testing.assert_allclose(polygon, rectangle(10.5, 16, 50.5, 46))
    (polygon, _) = polygons_of(make_sample(scale_factor=(2.0, 3.0), targets={}))
    np.testing.assert_allclose(polygon, rectangle(5, 5, 25, 15))
    (polygon, _) = polygons_of(make_sample())
    np.testing.assert_allclose(polygon, rectangle(5, 5, 25, 15))


def test_a_map_is_dark_to_bright_over_its_range():
    image, values = np.zeros((4, 6, 3), np.uint8), np.full((4, 6), 0.3, np.float32)
    values[0, 0], values[0, 1] = 0.7, 0.5
    drawn, title = draw_map(image, "thresh_map", values)
    assert title == "thresh_map: dark 0.3, bright 0.7"
    brightness = cv2.cvtColor(drawn, cv2.COLOR_BGR2GRAY).astype(int)
    assert brightness[0, 0] > brightness[0, 1] + 20 > brightness[2, 2] + 40


def test_a_map_of_one_value():
    image = np.zeros((4, 6, 3), np.uint8)
    dark, _ = draw_map(image, "shrink_map", np.zeros((4, 6), np.float32))
    bright, title = draw_map(image, "shrink_mask", np.ones((4, 6), np.float32))
    assert title == "shrink_mask: 1 everywhere"
    assert bright.astype(int).sum() > 2 * dark.astype(int).sum()


def test_panels_of_a_sample():
    maps = dict.fromkeys(("shrink_map", "shrink_mask", "thresh_map", "thresh_mask"))
    targets = {name: np.zeros((40, 60), np.float32) for name in maps}
    with_targets = draw_sample(make_sample(targets=targets), "title")
    without = draw_sample(make_sample(), "title")
    # Five panels in rows of three, each 60 wide with a margin of 8.
    assert with_targets.shape[1] >= 3 * 68 + 8
    assert with_targets.shape[0] > without.shape[0] + 40
    # The image and its outlines come once; no maps, no more panels.
    assert count(with_targets[:80], GREEN) == count(without[:80], GREEN) > 0


def test_a_sample_without_texts():
    sample = make_sample(polygons=[], ignored=[], targets={})
    assert count(draw_texts(sample), GREEN) == 0
    assert draw_sample(sample, "title").shape[2] == 3


# The tool


def test_training_samples(config, tmp_path, capsys):
    assert run(config, tmp_path, "--number", "3", "--epoch", "2", "--seed", "7") == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path}: 3 of 5 samples, sheet.jpg"
    # The images that a run with this seed loads first in this epoch.
    sampler = EpochKeySampler(range(5), shuffle=True, seed=7)
    sampler.set_epoch(2)
    expected = [f"{n:03d}_img_{key.item}.jpg" for n, key in enumerate(list(sampler)[:3])]
    assert names(tmp_path) == [*expected, "sheet.jpg"]
    assert read_image(str(tmp_path / expected[0])).shape[1] == 3 * 136 + 8


def test_seed_and_epoch_decide_all(config, tmp_path):
    arguments = dict(
        one=["--seed", "1"], same=["--seed", "1"], seed=["--seed", "2"], epoch=["--epoch", "1"]
    )
    sheets = {}
    for name, given in arguments.items():
        assert run(config, tmp_path / name, "--number", "2", *given) == 0
        sheets[name] = (tmp_path / name / "sheet.jpg").read_bytes()
    assert sheets["one"] == sheets["same"]
    assert len(set(sheets.values())) == 3


def test_the_configs_seed_is_the_default(config, tmp_path):
    given = ["--number", "1", "--cfg-options", "randomness.seed=2"]
    run(config, tmp_path / "default", *given)
    run(config, tmp_path / "same", "--number", "1", "--seed", "2")
    assert names(tmp_path / "default") == names(tmp_path / "same")


@pytest.mark.parametrize("split", ["val", "test"])
def test_samples_of_tests_come_in_order_and_all_at_most(config, tmp_path, split):
    assert run(config, tmp_path, "--split", split, "--number", "9") == 0
    assert names(tmp_path) == [*(f"00{i}_img_{i}.jpg" for i in range(5)), "sheet.jpg"]


def test_samples_are_those_of_training(config):
    """What is drawn is, pixel for pixel, what the packed sample holds."""
    loader = load_config(config).train_dataloader
    dataset = DATASETS.build(browse.without_packing(loader.dataset))
    packed = DATASETS.build(loader.dataset)
    (key,) = browse.sample_keys(loader, dataset, seed=3, epoch=1, number=1)
    assert (key.seed, key.epoch) == (3, 1)
    np.testing.assert_array_equal(
        dataset[key]["img"].transpose(2, 0, 1), packed[key]["inputs"].numpy()
    )


def test_several_data_sets(scenes, config, tmp_path):
    """Those of `scenes` twice, the second time as often as the first: 5 and 5 of 10 samples."""
    path = tmp_path / "several.py"
    path.write_text(
        f'_base_ = ["{config}"]\n'
        "_one = _base_.train_dataloader.dataset\n"
        "train_dataloader = dict(dataset=dict(\n"
        "    _delete_=True, type='ConcatDataset', datasets=[_one, _one], weights=[1, 1]))\n"
    )
    assert run(str(path), tmp_path / "out") == 0
    assert "sheet.jpg" in names(tmp_path / "out")


def test_an_endless_sampler_skips_epochs(config):
    loader = load_config(config).train_dataloader
    loader.sampler = dict(type="InfiniteKeySampler", shuffle=True)
    keys = list(browse.sample_keys(loader, range(5), seed=3, epoch=2, number=7))
    whole = iter(InfiniteKeySampler(range(5), seed=3))
    assert keys == [next(whole) for _ in range(17)][10:]


def test_what_a_key_is_called():
    assert browse.describe(SampleKey(1, 2, 3)) == "seed 1, epoch 2, item 3"
    assert browse.describe(4) == "item 4"


def test_names_that_are_not_ascii(scenes, tmp_path):
    content = json.loads((scenes / "train.json").read_text())
    content["data_list"] = content["data_list"][:1]
    content["data_list"][0]["img_path"] = "écriteau 看板.png"
    (tmp_path / "train.json").write_text(json.dumps(content))
    (tmp_path / "écriteau 看板.png").write_bytes((scenes / "img_0.png").read_bytes())
    config = write_config(tmp_path, "names", epochs=1)
    assert run(config, tmp_path / "out") == 0
    assert names(tmp_path / "out") == ["000_écriteau 看板.jpg", "sheet.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data-root", "nowhere"], "nowhere/train.json not found"),
        (["--cfg-options", "val_dataloader=None", "--split", "val"], "no val_dataloader"),
        (["--cfg-options", "train_dataloader.sampler.type=DefaultSampler"], "sends no epoch"),
        (["--cfg-options", "train_dataloader.dataset.pipeline=[]"], "samples lack img"),
        (["--cfg-options", "randomness.seed=-1"], "randomness.seed: must be a whole number from 0"),
        (["--cfg-options", "train_dataloader.dataset.indices=0"], "leaves no image"),
    ],
)
def test_mistakes_are_one_line(config, tmp_path, capsys, arguments, message):
    assert run(config, tmp_path, *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_numbers_of_samples_are_positive(config, capsys, number):
    with pytest.raises(SystemExit) as stop:
        parse("browse", [config, "--number", number])
    assert stop.value.code == 2
    assert "a whole number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--epoch", "--seed"])
@pytest.mark.parametrize("value", ["-1", "1.5", "x"])
def test_epochs_and_seeds_are_not_negative(config, capsys, option, value):
    with pytest.raises(SystemExit) as stop:
        parse("browse", [config, option, value])
    assert stop.value.code == 2
    assert "expected a whole number" in capsys.readouterr().err


def test_seeds_have_32_bits(config, capsys):
    assert parse("browse", [config, "--seed", str(2**32 - 1)]).seed == 2**32 - 1
    with pytest.raises(SystemExit):
        parse("browse", [config, "--seed", str(2**32)])
    assert "from 0 to 2^32 - 1" in capsys.readouterr().err
