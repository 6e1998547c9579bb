"""Sets in which nothing counts, and pages whose words the crop makes too small."""

import json
import re

import pytest
import torch

from dbnet.cli import train as train_tool
from dbnet.datasets import ConcatDataset, TextDetDataset
from dbnet.engine.nothing_to_learn_hook import NothingToLearnHook, count_small
from dbnet.errors import UserError
from tests.scenes import write_config, write_scenes


def change_words(root, change):
    """Rewrite the instances of an annotation file."""
    path = root / "train.json"
    content = json.loads(path.read_text())
    for item in content["data_list"]:
        item["instances"] = [change(word) for word in item["instances"] if change(word)]
    path.write_text(json.dumps(content))


def small(word):
    x, y = word["polygon"][:2]
    return {**word, "polygon": [x, y, x + 20, y, x + 20, y + 3, x, y + 3]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda word: None, r"train\.json: nothing to learn, no word is in it"),
        (
            lambda word: {**word, "ignore": True},
            r"train\.json: nothing to learn, all 16 words are ignored",
        ),
        (small, r"nothing to learn: none of the first 100 training samples has a pixel of text"),
    ],
    ids=["no words", "all ignored", "all too small"],
)
def test_training_on_nothing_stops_in_one_line(tmp_path, capsys, change, message):
    write_scenes(tmp_path, count=8)
    change_words(tmp_path, change)
    config = write_config(tmp_path, "config", 100, save_every=100)
    assert train_tool.main([config, "--work-dir", str(tmp_path / "work")]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert re.search(message, error)
    assert not list(tmp_path.glob("work/*.pth"))


@pytest.mark.slow
def test_data_on_the_device_are_looked_at_too(tmp_path, capsys):
    write_scenes(tmp_path, count=8)
    change_words(tmp_path, small)
    hook = 'default_hooks = dict(device_data=dict(type="DeviceDataHook"))'
    config = write_config(tmp_path, "config", 100, save_every=100, extra=hook)
    assert train_tool.main([config, "--work-dir", str(tmp_path / "work")]) == 1
    assert "none of the first 100 training samples" in capsys.readouterr().err


class FakeRunner:
    def __init__(self, dataset):
        self.lines = []
        self.logger = self
        self.train_loop = self.dataloader = self
        self.dataset = dataset

    def warning(self, line):
        self.lines.append(line)


def page_dataset(root, crop):
    """Describe A4 pages with words of 30 pixels in every column and row."""
    words = [
        [x, y, x + 200, y, x + 200, y + 30, x, y + 30]
        for y in range(40, 3400, 60)
        for x in range(100 - y % 90, 2260, 215)
    ]
    instances = [dict(polygon=[max(v, 0) for v in word], ignore=False) for word in words]
    entry = dict(img_path="a.png", height=3508, width=2480, instances=instances)
    (root / "train.json").write_text(json.dumps(dict(data_list=[entry] * 3)))
    pipeline = [dict(type="LoadImage"), crop, dict(type="GenerateDBTargets")]
    return TextDetDataset("train.json", str(root), pipeline)


def test_a_page_shrunk_by_the_crop_costs_a_warning(tmp_path):
    crop = dict(type="RandomAffineCrop", size=(640, 640))
    dataset = page_dataset(tmp_path, crop)
    few, total, limit = count_small(dataset, num_samples=3)
    assert few > 0.9 * total and total > 100 and limit == 8
    runner = FakeRunner(dataset)
    NothingToLearnHook().before_train(runner)
    [line] = runner.lines
    assert f"{few} of {total} words" in line and line.endswith("use RandomScaleCrop")
    # The way out.
    crop = dict(type="RandomScaleCrop", size=(640, 640), scale=(0.7, 2.0))
    runner = FakeRunner(page_dataset(tmp_path, crop))
    NothingToLearnHook().before_train(runner)
    assert runner.lines == []


def test_one_set_of_several_suffices(tmp_path):
    write_scenes(tmp_path, count=2)
    good = dict(type="TextDetDataset", ann_file="train.json", data_root=str(tmp_path))
    (tmp_path / "none").mkdir()
    write_scenes(tmp_path / "none", count=2)
    change_words(tmp_path / "none", lambda word: None)
    bad = {**good, "data_root": str(tmp_path / "none")}
    NothingToLearnHook().before_train(FakeRunner(ConcatDataset([bad, good])))
    with pytest.raises(UserError, match="no word is in it"):
        NothingToLearnHook().before_train(FakeRunner(ConcatDataset([bad, bad])))


def test_a_single_pixel_of_text_suffices():
    hook = NothingToLearnHook(num_samples=4)
    empty = torch.zeros(2, 4, 4, dtype=torch.uint8)
    hook.before_train_iter(None, 0, dict(targets=dict(shrink_map=empty)))
    one = empty.clone()
    one[1, 2, 3] = 1
    hook.before_train_iter(None, 1, dict(targets=dict(shrink_map=one)))
    for step in range(9):
        hook.before_train_iter(None, step, dict(targets=dict(shrink_map=empty)))
    hook.before_train_iter(None, 0, dict(inputs=empty))  # targets are made on the device
    hook = NothingToLearnHook(num_samples=4)
    hook.before_train_iter(None, 0, dict(targets=dict(shrink_map=empty)))
    with pytest.raises(UserError, match="none of the first 4 training samples"):
        hook.before_train_iter(None, 1, dict(targets=dict(shrink_map=empty)))
