"""What is there before `dbnet test` or `dbnet train`, and must be there after it."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from dbnet.cli import evaluate as evaluate_tool
from dbnet.cli import test as test_tool
from dbnet.cli import train as train_tool
from dbnet.cli.options import parse
from dbnet.cli.test import make_config
from dbnet.datasets.image_paths import image_paths
from dbnet.engine.runner import EvaluationRunner
from dbnet.engine.show_predictions_hook import MARK, ShowPredictionsHook
from dbnet.engine.start import check_folder
from dbnet.errors import UserError
from dbnet.evaluation.files import read_both
from dbnet.evaluation.results import check_results_path
from dbnet.images import has_mark, write_image
from dbnet.registry import DATASETS
from tests.bright import PATCH_POLYGON, draw_patch, write_bright
from tests.cli.test_cli import one_line
from tests.scenes import write_config, write_scenes

SHARED_NAME = ("a/1.jpg", "b/1.jpg")
DISTINCT = ("a/1.jpg", "b/2.jpg")


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Config and checkpoint of a detector of bright areas."""
    return write_bright(tmp_path_factory.mktemp("bright"))


def write_data(root, names):
    """Images with one text each, which the detector finds, and `train.json`."""
    text = dict(polygon=PATCH_POLYGON.ravel().tolist(), ignore=False)
    for name in names:
        write_image(root / name, draw_patch())
    data_list = [dict(img_path=name, instances=[text]) for name in names]
    (root / "train.json").write_text(json.dumps(dict(metainfo={}, data_list=data_list)))
    return root


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data", SHARED_NAME)


def run(bright, data, work, *options):
    return test_tool.main([*bright, "--data-root", str(data), "--work-dir", str(work), *options])


# Photos


def test_drawings_replace_each_other_and_no_photo(bright, tmp_path, capsys):
    data, shown = write_data(tmp_path / "data", DISTINCT), tmp_path / "shown"
    before = contents(data)
    assert run(bright, data, tmp_path / "work", "--show-dir", str(data / "a")) == 1
    assert f"{data}/a/1.jpg is there already, is no drawing" in one_line(capsys)
    assert contents(data) == before
    for _ in range(2):
        assert run(bright, data, tmp_path / "work", "--show-dir", str(shown)) == 0
    names = sorted(path.name for path in shown.iterdir())
    assert names == ["1.jpg", "2.jpg", "worst.jpg"]
    assert contents(data) == before


def plan(folder, *paths):
    hook = ShowPredictionsHook(str(folder))
    hook.plan([str(path) for path in paths])
    return hook


@pytest.mark.parametrize("name", ["1.jpg", "1_2.jpg", "worst.jpg"])
def test_a_file_of_the_user_stops_before_the_first_image(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(UserError, match=rf"{name} is there already.*choose another folder"):
        plan(tmp_path, *SHARED_NAME)


def test_a_link_is_no_drawing(tmp_path):
    (tmp_path / "1.jpg").symlink_to(tmp_path / "photo_to_come.jpg")
    with pytest.raises(UserError, match=r"1\.jpg is there already"):
        plan(tmp_path, *SHARED_NAME)


def test_a_drawing_that_is_tested_on_is_no_target(tmp_path):
    write_image(tmp_path / "1.jpg", draw_patch(), MARK)
    assert plan(tmp_path, "elsewhere/1.jpg")
    with pytest.raises(UserError, match="is an image of the data"):
        plan(tmp_path, "elsewhere/2.jpg", tmp_path / "1.jpg")


def test_names_that_differ_in_case_have_two_files(tmp_path):
    hook = plan(tmp_path, "a/img.jpg", "b/IMG.jpg", "c/Worst.jpg")
    names = [path.name for path in hook.targets.values()]
    assert names == ["img.jpg", "IMG_2.jpg", "Worst_2.jpg"]


def test_a_mark_leaves_the_picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    for name, mark in (("plain.jpg", b""), ("marked.jpg", MARK)):
        write_image(tmp_path / name, image, mark)
    plain, marked = (cv2.imread(str(tmp_path / name)) for name in ("plain.jpg", "marked.jpg"))
    np.testing.assert_array_equal(marked, plain)
    assert has_mark(tmp_path / "marked.jpg", MARK)
    assert not has_mark(tmp_path / "plain.jpg", MARK)
    assert not has_mark(tmp_path, MARK)
    (tmp_path / "plain.jpg").write_bytes(b"")  # a full disk
    assert has_mark(tmp_path / "plain.jpg", MARK)


def test_a_training_that_draws_looks_before_it_begins(tmp_path):
    root = write_scenes(tmp_path, count=2)
    extra = 'custom_hooks = [dict(type="ShowPredictionsHook", show_dir="shown")]'
    config = write_config(root, "draws", epochs=1, extra=extra)
    (tmp_path / "work" / "shown").mkdir(parents=True)
    (tmp_path / "work" / "shown" / "img_1.jpg").write_bytes(b"mine")
    assert train_tool.main([config, "--work-dir", str(tmp_path / "work")]) == 1
    assert not list((tmp_path / "work").glob("*.pth"))


def test_images_of_all_parts_are_listed(tmp_path):
    part = dict(type="TextDetDataset", ann_file=str(write_data(tmp_path, DISTINCT) / "train.json"))
    drawn = dict(type="SyntheticTextDataset", length=2)
    both = DATASETS.build(dict(type="ConcatDataset", datasets=[part, drawn, part]))
    assert image_paths(both) == [str(tmp_path / name) for name in DISTINCT] * 2


# Files of results


@pytest.mark.parametrize(
    "content",
    [b'{"data_list": []}', b"PK\x03\x04\xff", b"[1]", b'{"images": []}', b"[" * 100_000],
    ids=["annotation", "checkpoint", "list", "coco", "deep"],
)
def test_out_replaces_results_alone(bright, data, tmp_path, capsys, content):
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    assert run(bright, data, tmp_path / "work", "--out", str(path)) == 1
    assert "mine.json is there already and no results.json" in one_line(capsys)
    assert path.read_bytes() == content
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("content", ['{"metrics": {}, "images": []}', ""])
def test_earlier_results_may_be_replaced(tmp_path, content):
    (tmp_path / "results.json").write_text(content)
    check_results_path(tmp_path / "results.json")


def test_one_file_cannot_be_both(bright, data, tmp_path, capsys):
    options = ["--out", str(tmp_path / "s.zip"), "--submit", str(tmp_path / "x" / ".." / "s.zip")]
    (tmp_path / "x").mkdir()
    assert run(bright, data, tmp_path / "work", *options) == 1
    assert "--out and --submit are both" in one_line(capsys)


# The config of a training


def test_a_test_leaves_all_that_a_training_wrote(bright, data, tmp_path):
    work = tmp_path / "work"
    recorded = work / "bright.py"
    work.mkdir()
    recorded.write_text("# the training's")
    options = ["--cfg-options", "model.postprocessor.box_thresh=0.123"]
    assert run(bright, data, work, *options) == 0
    assert recorded.read_text() == "# the training's"
    assert [path.name for path in work.iterdir() if path.is_file()] == ["bright.py"]
    [own] = work.glob("*/bright.py")
    assert "box_thresh=0.123" in own.read_text()


def test_a_config_without_a_file_is_recorded_too(bright, tmp_path):
    args = parse("test", [*bright, "--work-dir", str(tmp_path / "work")])
    runner = EvaluationRunner.from_cfg(Config(make_config(args).to_dict()))
    assert (tmp_path / "work" / runner.timestamp / "config.py").is_file()


# Equal file names


def test_equal_names_are_told_before_the_run(bright, data, tmp_path, capsys):
    assert run(bright, data, tmp_path / "work", "--submit", str(tmp_path / "s.zip")) == 1
    output = capsys.readouterr()
    assert "two images would be res_1.txt" in output.err and "leave out --submit" in output.err
    assert "official" not in output.out
    assert not (tmp_path / "s.zip").exists()


def test_a_submission_that_fails_takes_neither_metrics_nor_results(
    bright, tmp_path, capsys, monkeypatch
):
    def fail(*args):
        raise UserError("no space left")

    monkeypatch.setattr(test_tool, "write_submission", fail)
    data, out = write_data(tmp_path / "data", DISTINCT), tmp_path / "results.json"
    options = ["--out", str(out), "--submit", str(tmp_path / "s.zip")]
    assert run(bright, data, tmp_path / "work", *options) == 1
    output = capsys.readouterr()
    assert output.err.splitlines()[-1] == "error: no space left"
    assert output.out.splitlines()[-1].startswith("official: precision 1.0000 recall 1.0000")
    assert len(json.loads(out.read_text())["images"]) == 2


def test_results_of_equal_names_can_be_evaluated(bright, data, tmp_path, capsys, monkeypatch):
    out = tmp_path / "results.json"
    assert run(bright, data, tmp_path / "work", "--out", str(out)) == 0
    [expected] = [x for x in capsys.readouterr().out.splitlines() if x.startswith("official: ")]
    shutil.copytree(data, tmp_path / "moved" / "data")
    for gt in (data / "train.json", tmp_path / "moved" / "data" / "train.json"):
        assert evaluate_tool.main(["--gt", str(gt), "--pred", str(out)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == expected
    monkeypatch.chdir(data)  # the annotation's paths are relative then
    assert evaluate_tool.main(["--gt", "train.json", "--pred", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == expected


def write_results(path, images):
    images = [dict(img_path=name, polygons=[[0, 0, n, 0, n, n, 0, n]]) for name, n in images]
    path.write_text(json.dumps(dict(metrics={}, images=images)))
    return path


NAMES = {
    "stems": (["x/1.png", "y/2.png"], ["other/2.jpg", "1"], ["2", "1"]),
    "a folder": (SHARED_NAME, ["far/b/1.jpg", "far/a/1.jpg"], ["b/1.jpg", "a/1.jpg"]),
    "suffixes": (["1.jpg", "1.png"], ["1.png", "1.jpg"], ["1.png", "1.jpg"]),
    "two folders": (["a/x/1.jpg", "b/x/1.jpg"], ["far/b/x/1.jpg"], ["b/x/1.jpg"]),
    "windows": (SHARED_NAME, ["C:\\d\\b\\1.jpg"], ["b/1.jpg"]),
    "dots": (["a/../c/1.jpg", "b/1.jpg"], ["far/c/1.jpg"], ["c/1.jpg"]),
}


@pytest.mark.parametrize(("annotated", "found", "keys"), NAMES.values(), ids=NAMES)
def test_what_images_go_by(tmp_path, annotated, found, keys):
    data_list = [dict(img_path=name, instances=[]) for name in annotated]
    gt = tmp_path / "gt.json"
    gt.write_text(json.dumps(dict(metainfo={}, data_list=data_list)))
    pred = write_results(tmp_path / "r.json", [(name, n) for n, name in enumerate(found, 1)])
    truths, predictions = read_both(gt, pred)
    assert len(truths) == len(annotated) and predictions.keys() <= truths.keys()
    assert [predictions[key].polygons[0].max() for key in keys] == list(range(1, len(found) + 1))


@pytest.mark.parametrize("in_full", ["gt", "pred"])
def test_paths_may_be_relative_to_where_one_is(tmp_path, monkeypatch, in_full):
    monkeypatch.chdir(tmp_path)
    data_list = [dict(img_path=name, instances=[]) for name in ("1.jpg", "b/1.jpg")]
    (tmp_path / "gt.json").write_text(json.dumps(dict(metainfo={}, data_list=data_list)))
    gt = tmp_path / "gt.json" if in_full == "gt" else Path("gt.json")
    name = str(tmp_path / "1.jpg") if in_full == "pred" else "1.jpg"
    truths, predictions = read_both(gt, write_results(tmp_path / "r.json", [(name, 1)]))
    assert truths.keys() == {f"{tmp_path.name}/1.jpg", "b/1.jpg"}
    assert predictions.keys() == {f"{tmp_path.name}/1.jpg"}


def test_one_image_twice_stays_a_mistake(tmp_path):
    entry = dict(img_path="a/1.jpg", instances=[])
    gt = tmp_path / "gt.json"
    gt.write_text(json.dumps(dict(metainfo={}, data_list=[entry, entry])))
    with pytest.raises(UserError, match=r"a/1\.jpg are both of 1, remove one"):
        read_both(gt, write_results(tmp_path / "r.json", []))


# Folders that are files


@pytest.mark.parametrize("below", ["", "/deeper/still"])
def test_a_file_is_no_folder(bright, data, tmp_path, capsys, below):
    (tmp_path / "file").write_text("mine")
    place = f"{tmp_path}/file{below}"
    assert train_tool.main([bright[0], "--work-dir", place]) == 1
    assert f"work directory {place}: {tmp_path}/file is a file" in one_line(capsys)
    assert run(bright, data, place) == 1
    assert f"work directory {place}: {tmp_path}/file is a file" in one_line(capsys)
    assert run(bright, data, tmp_path / "work", "--show-dir", place) == 1
    assert f"--show-dir {place}: {tmp_path}/file is a file" in one_line(capsys)
    assert not (tmp_path / "work").exists()


def test_a_folder_to_come_is_not_made_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("new/deep", ".", str(tmp_path)):
        check_folder("work directory", folder)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"work directory new: .* cannot be written to"):
        check_folder("work directory", "new")
