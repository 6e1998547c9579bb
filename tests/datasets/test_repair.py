"""Damaged annotations and images: what is mended, what is left out, when a run stops."""

import json
import logging
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dbnet.datasets import EpochKeySampler, SampleKey, TextDetDataset
from dbnet.datasets.repair import UnreadableImages, read_polygon, sides_cross
from dbnet.errors import UserError

SQUARE = [0, 0, 10, 0, 10, 10, 0, 10]


@pytest.fixture
def warnings(monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr("dbnet.datasets.repair.warn", lines.append)
    return lines


# ---- polygons


@pytest.mark.parametrize(
    ("numbers", "fault", "points"),
    [
        (SQUARE, None, SQUARE),
        ([0, 0, 10, 0, 5, 10], None, [0, 0, 10, 0, 5, 10]),  # a triangle is a polygon
        ([0, 0, 10, 0], "polygon has 2 points", None),
        ([], "polygon has 0 points", None),
        ([0, 0, 10, 0, 5], "polygon is no list of x, y, x, y, ...", None),
        ([10**400] * 8, "a coordinate is not finite", None),
        ("abc", "polygon is no list of x, y, x, y, ...", None),
        (None, "polygon is no list of x, y, x, y, ...", None),
        ([[0, 0], [10, 0], [10, 10], [0, 10]], None, SQUARE),  # pairs instead of a flat list
        ([0, 0, 10, 0, float("nan"), 10], "a coordinate is not finite", None),
        ([0, 0, 10, 0, 1e39, 10], "a coordinate is not finite", None),  # beyond float32
        ([3, 4] * 4, "polygon has no area", None),
        ([0, 0, 5, 5, 10, 10], "polygon has no area", None),
        # Corners row by row: left top, right top, left bottom, right bottom.
        (
            [0, 0, 10, 0, 0, 10, 10, 10],
            "sides cross, taken in the order of the convex hull",
            SQUARE,
        ),
        # An arrow head is concave, its sides do not cross.
        ([0, 0, 10, 5, 0, 10, 4, 5], None, [0, 0, 10, 5, 0, 10, 4, 5]),
        # Five corners: even-odd as it is, area by the shoelace formula is not 0.
        ([0, 0, 10, 0, 0, 10, 10, 12, 5, 20], None, [0, 0, 10, 0, 0, 10, 10, 12, 5, 20]),
    ],
)
def test_polygon_rules(numbers, fault, points):
    finding = read_polygon(numbers)
    assert finding.fault == fault
    if points is None:
        assert finding.polygon is None
        return
    expected = np.float32(points).reshape(-1, 2)
    assert finding.polygon.dtype == np.float32 and len(finding.polygon) == len(expected)
    if fault:  # a hull may begin anywhere
        assert sorted(finding.polygon.tolist()) == sorted(expected.tolist())
        assert cv2.contourArea(finding.polygon) == 100
    else:
        np.testing.assert_array_equal(finding.polygon, expected)


def test_sides_that_touch_do_not_cross():
    assert not sides_cross(np.float32([[0, 0], [10, 0], [5, 0], [0, 10]]))
    assert sides_cross(np.float32([[0, 0], [10, 10], [10, 0], [0, 10]]))
    assert not sides_cross(np.float32([[3, 3]] * 4))


# ---- annotation files


def write_images(folder, count, instances=None):
    """Write images of one grey each, 10 times their number, and an annotation file."""
    entries = []
    for i in range(count):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((40, 60, 3), 10 * i, np.uint8))
        words = [dict(polygon=SQUARE, ignore=False)] * 10 if instances is None else instances
        entries.append(dict(img_path=f"{i}.png", height=40, width=60, instances=words))
    return entries


def make_dataset(folder, entries, **options):
    (folder / "train.json").write_text(json.dumps(dict(data_list=entries)))
    return TextDetDataset(data_root=str(folder), ann_file="train.json", **options)


PIPELINE = [dict(type="LoadImage"), dict(type="PackTextDetInputs")]


def grey(sample):
    assert sample["inputs"].unique().numel() == 1
    return int(sample["inputs"][0, 0, 0])


def test_bad_words_cost_a_warning_each_and_the_others_stay(tmp_path, warnings):
    entries = write_images(tmp_path, 2)
    flat, crossing = [1, 1, 5, 1, 9, 1], [0, 0, 10, 0, 0, 10, 10, 10]
    good = dict(polygon=SQUARE, ignore=True)
    entries[1]["instances"] = [
        dict(polygon=flat, ignore=False),
        *[good] * 8,
        dict(polygon=crossing, ignore=False),
    ]
    dataset = make_dataset(tmp_path, entries, test_mode=True)
    name = f"{tmp_path / 'train.json'}: data_list[1] (1.png): instances"
    assert warnings == [
        f"{name}[0]: polygon has no area, left out",
        f"{name}[9]: sides cross, taken in the order of the convex hull",
    ]
    assert dataset[1]["ignored"] == [True] * 8 + [False]
    assert len(dataset[1]["polygons"]) == 9 and len(dataset[0]["polygons"]) == 10


def test_bad_entry_costs_a_warning_and_its_image(tmp_path, warnings):
    entries = write_images(tmp_path, 10)
    del entries[3]["instances"]
    dataset = make_dataset(tmp_path, entries, test_mode=True)
    assert warnings == [
        f"{tmp_path / 'train.json'}: data_list[3]: no 'instances'; the image is left out"
    ]
    assert [dataset[i]["img_path"][-5:] for i in (2, 3)] == ["2.png", "4.png"]
    assert len(dataset) == 9


@pytest.mark.parametrize(("max_damaged", "stops"), [(0.1, True), (0.2, False)])
def test_too_many_bad_entries_stop_at_once(tmp_path, warnings, max_damaged, stops):
    entries = write_images(tmp_path, 10)
    entries[2] = None
    entries[7] = dict(img_path="7.png", instances=[5])
    if not stops:
        make_dataset(tmp_path, entries, max_damaged=max_damaged)
        assert len(warnings) == 2
        return
    with pytest.raises(UserError) as caught:
        make_dataset(tmp_path, entries, max_damaged=max_damaged)
    message = str(caught.value)
    assert "\n" not in message and "data_list[2]" in message and "data_list[7]" in message
    assert "2 of 10 images damaged, more than dataset.max_damaged=0.1 allows" in message


# ---- images


def damage(folder, *numbers):
    for number in numbers:
        (folder / f"{number}.png").write_bytes(b"no image")


def test_training_takes_the_next_image(tmp_path, warnings):
    entries = write_images(tmp_path, 10)
    damage(tmp_path, 3, 4, 9)
    dataset = make_dataset(tmp_path, entries, pipeline=PIPELINE, max_damaged=0.3)
    greys = [grey(dataset[SampleKey(0, 0, i)]) for i in range(10)]
    assert greys == [0, 10, 20, 50, 50, 50, 60, 70, 80, 0]
    assert [grey(dataset[SampleKey(0, 1, i)]) for i in range(10)] == greys  # warns only once
    assert len(warnings) == 3
    for line, number in zip(warnings, (3, 4, 9)):
        assert line == (
            f"image {tmp_path / f'{number}.png'}: not an image, or damaged; the next image is taken"
        )


def test_substitute_is_augmented_as_itself(tmp_path, warnings):
    entries = write_images(tmp_path, 10)
    damage(tmp_path, 3)
    dataset = make_dataset(tmp_path, entries, pipeline=[dict(type="LoadImage")])
    numbers = [dataset[SampleKey(1, 2, i)]["rng"].random() for i in (3, 4)]
    assert numbers[0] == numbers[1]


def test_test_image_becomes_black_and_keeps_its_words(tmp_path, warnings):
    entries = write_images(tmp_path, 10)
    damage(tmp_path, 3)
    dataset = make_dataset(tmp_path, entries, pipeline=PIPELINE, test_mode=True)
    sample = dataset[3]
    assert grey(sample) == 0 and tuple(sample["inputs"].shape) == (3, 40, 60)
    assert len(sample["metas"]["gt_polygons"]) == 10
    assert warnings[0].endswith("3.png: not an image, or damaged; its words count as missed")

    del entries[3]["height"]
    dataset = make_dataset(tmp_path, entries, pipeline=PIPELINE, test_mode=True)
    assert tuple(dataset[3]["inputs"].shape) == (3, 32, 32)


def test_too_many_unreadable_images_stop(tmp_path, warnings):
    entries = write_images(tmp_path, 10)
    damage(tmp_path, 3, 7)
    dataset = make_dataset(tmp_path, entries, pipeline=PIPELINE)
    dataset[SampleKey(0, 0, 3)]
    with pytest.raises(UserError) as caught:
        dataset[SampleKey(0, 0, 7)]
    message = str(caught.value)
    assert "7.png: not an image" in message and "2 of 10 images damaged" in message
    assert f"dbnet check {tmp_path / 'train.json'} says more" in message


@pytest.mark.parametrize("cache", [None, "ram"])
@pytest.mark.parametrize("workers", [0, 2])
def test_workers_share_what_they_found(tmp_path, warnings, workers, cache):
    """Each of two epochs ends; beyond the share, whichever worker finds the last one stops."""
    entries = write_images(tmp_path, 20)
    damage(tmp_path, 5, 12)
    dataset = make_dataset(tmp_path, entries, pipeline=PIPELINE, cache=cache)
    sampler = EpochKeySampler(dataset, shuffle=True, seed=0)
    loader = DataLoader(dataset, 4, sampler=sampler, num_workers=workers)
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        batches = [batch["inputs"] for batch in loader]
        assert torch.cat(batches).shape == (20, 3, 40, 60)
    assert 5 in dataset.unreadable and 12 in dataset.unreadable and 6 not in dataset.unreadable
    damage(tmp_path, 6)
    if cache is None:
        with pytest.raises(UserError, match="3 of 20 images damaged"):
            list(loader)
    else:
        list(loader)  # 6 is in the cache


def test_one_warning_per_image_in_the_log(tmp_path, caplog):
    noted = UnreadableImages(100, 0.02, "train.json")
    with caplog.at_level(logging.WARNING):
        for item in (7, 7, 8, 7):
            noted.report(item, f"image {item}", "so what")
    assert [record.getMessage() for record in caplog.records] in (
        ["image 7; so what", "image 8; so what"],
        [],  # mmengine's logger does not propagate
    )
    with pytest.raises(UserError, match="image 9: 3 of 100 images"):
        noted.report(9, "image 9", "so what")


def test_without_a_run_nothing_goes_to_standard_output(tmp_path):
    entries = write_images(tmp_path, 10)
    entries[1]["instances"] = [dict(polygon=[1, 2], ignore=False)]
    (tmp_path / "train.json").write_text(json.dumps(dict(data_list=entries)))
    program = (
        "import os, sys; from dbnet.datasets import TextDetDataset\n"
        "TextDetDataset(sys.argv[1], max_damaged=0.3, cache='ram').report_unreadable(0, 'gone')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "train.json"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "polygon has 1 points" in done.stderr
