"""Samples made on a device, here on tensors of the CPU, against those of the transforms."""

import copy
import logging
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils.data import DataLoader
from torch.utils.data._utils.pin_memory import pin_memory

from dbnet.cli import train as train_tool
from dbnet.datasets import (
    ConcatDataset,
    EpochKeySampler,
    SampleKey,
    TextDetDataset,
    collate_text_det,
)
from dbnet.datasets.device import (
    PlannedDataset,
    SamplePlan,
    ShardKeySampler,
    batch_maker,
    collate_plans,
    fill_store,
    lay_out,
    packing,
    pipeline_parts,
    plan_dataset,
)
from dbnet.datasets.device.planned_dataset import make_shares
from dbnet.datasets.device.shares import decode, substitutes_of
from dbnet.datasets.device.store import Source, check_budget, num_versions
from dbnet.datasets.device.target_maps import draw_target_maps
from dbnet.datasets.device.warp import jitter_batch, warp_batch
from dbnet.datasets.transforms import (
    ColorJitter,
    GenerateDBTargets,
    LoadImage,
    PackTextDetInputs,
    RandomAffineCrop,
)
from dbnet.datasets.transforms.geometric import compose, crop_resize_matrix, flip_rotate_matrix
from dbnet.datasets.transforms.photometric import JitterFactors
from dbnet.datasets.transforms.targets import draw_targets, touching_instances
from dbnet.engine.device_data_hook import check_loader
from dbnet.errors import UserError
from dbnet.images import read_shape
from tests.conftest import rectangle
from tests.scenarios.test_training import losses
from tests.scenes import write_config, write_scenes

CPU = torch.device("cpu")
LOGGER = logging.getLogger("test")
BINARY = ("shrink_map", "shrink_mask", "thresh_mask")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Eight scenes: two of 128x128, two enlarged to 700x500, and so on."""
    root = write_scenes(tmp_path_factory.mktemp("scenes"), count=8)
    for i in (2, 3, 6, 7):  # their annotation stays: it is somewhere in the image
        image = cv2.imread(str(root / f"img_{i}.png"))
        cv2.imwrite(str(root / f"img_{i}.png"), cv2.resize(image, (700, 500)))
    return root


def make_dataset(root, size=(128, 96), jitter=True, crop="RandomAffineCrop"):
    pipeline = [
        dict(type="LoadImage"),
        dict(type=crop, size=size),
        *([dict(type="ColorJitter", brightness=0.2, saturation=0.5)] if jitter else []),
        dict(type="GenerateDBTargets"),
        dict(type="PackTextDetInputs"),
    ]
    return TextDetDataset(data_root=str(root), ann_file="train.json", pipeline=pipeline)


def on_device(dataset):
    """Make the dataset of plans, and what makes batches from them."""
    return plan_dataset(dataset, CPU, None, LOGGER)


# ---- the two paths agree


@pytest.mark.parametrize(
    ("jitter", "crop"),
    [(True, "RandomAffineCrop"), (False, "RandomAffineCrop"), (True, "RandomScaleCrop")],
)
def test_batches_agree_with_those_of_the_transforms(scenes, jitter, crop):
    dataset = make_dataset(scenes, jitter=jitter, crop=crop)
    planned, maker = on_device(dataset)
    for epoch in range(4):
        keys = [SampleKey(1, epoch, i) for i in range(8)]
        expected = collate_text_det([dataset[key] for key in keys])
        batch = maker(collate_plans([planned[key] for key in keys]))
        assert set(batch) == {"inputs", "targets", "metas"} and batch["metas"] == expected["metas"]
        assert batch["inputs"].shape == expected["inputs"].shape == (8, 3, 96, 128)
        assert batch["inputs"].dtype == torch.uint8
        assert batch["inputs"].is_contiguous(memory_format=torch.channels_last)
        difference = (batch["inputs"].int() - expected["inputs"].int()).abs()
        assert difference.double().mean() < 0.5 and difference.max() <= 4
        assert_maps_agree(batch["targets"], expected["targets"])
        assert expected["targets"]["shrink_map"].any()


def assert_maps_agree(maps, expected):
    assert set(maps) == set(expected)
    for name, map_ in maps.items():
        assert map_.dtype == torch.float32 and map_.shape == expected[name].shape
        difference = (map_ - torch.as_tensor(expected[name])).abs()
        if name in BINARY:
            assert ((map_ == 0) | (map_ == 1)).all(), name
            assert (difference > 0).double().mean() <= 1e-4, name
        else:
            assert difference.max() <= 1e-5, name


def test_scales_that_would_need_smaller_versions_are_refused(scenes):
    dataset = make_dataset(scenes, crop="RandomScaleCrop")
    dataset.pipeline.transforms[1].scale = (0.5, 2.0)
    with pytest.raises(UserError, match=r"RandomScaleCrop\.scale begins at 0\.5; .* above 0\.5"):
        pipeline_parts(dataset.pipeline.transforms)


def test_plans_are_a_function_of_the_key_whoever_makes_them(scenes):
    planned, maker = on_device(make_dataset(scenes))

    def batches(workers):
        sampler = EpochKeySampler(planned, seed=5)
        sampler.set_epoch(3)
        return list(DataLoader(planned, 4, False, sampler, None, workers, collate_plans))

    np.random.seed(99)  # noqa: NPY002, the global generators must not matter
    for one, other in zip(batches(0), batches(2)):
        assert torch.equal(one["plans"].buffer, other["plans"].buffer)
        assert torch.equal(maker(one)["inputs"], maker(other)["inputs"])
    plans = [collate_plans([planned[SampleKey(5, epoch, 0)]])["plans"] for epoch in (3, 3, 4)]
    assert torch.equal(plans[0].buffer, plans[1].buffer)
    assert not torch.equal(plans[0].buffer, plans[2].buffer)


def test_what_travels_is_one_small_buffer(scenes):
    planned, _ = on_device(make_dataset(scenes))
    packed = collate_plans([planned[SampleKey(0, 0, i)] for i in range(8)])["plans"]
    num_texts = packed.fields["offsets"].shape[0]
    # Per sample 3 int64, 8 + 3 float32; per text 5 int64, 2 float32, 7 float32 for each of 4 edges.
    assert packed.buffer.numel() <= 8 * (24 + 44) + num_texts * (40 + 8 + 7 * 4 * 5)
    for field in packed.fields.values():
        assert field.first % field.dtype.itemsize == 0


def test_pinned_plans_make_the_same_batch(scenes, monkeypatch):
    # What the loader's thread does on a machine with a GPU: tuples come back as lists.
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor, device=None: tensor.clone())
    planned, maker = on_device(make_dataset(scenes))
    plans = collate_plans([planned[SampleKey(0, 0, i)] for i in range(4)])
    expected, batch = maker(plans), maker(pin_memory(plans))
    assert torch.equal(batch["inputs"], expected["inputs"])
    assert torch.equal(batch["targets"]["thresh_map"], expected["targets"]["thresh_map"])


# ---- no synchronisation, and no tensor on the wrong device


def test_batch_is_made_on_a_gpu_without_waiting_for_it(scenes):
    # Fake tensors know device, type and shape, but no values: whatever asks for one, as `item()` or
    # a boolean index does, and whatever mixes devices, raises.
    planned, maker = on_device(make_dataset(scenes))
    plans = collate_plans([planned[SampleKey(0, 0, i)] for i in range(8)])
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        packed = plans["plans"]._replace(buffer=mode.from_tensor(plans["plans"].buffer))
        fake = copy.copy(maker)
        fake.store = torch.empty(maker.store.shape, dtype=torch.uint8, device="cuda")
        batch = fake({**plans, "plans": packed})
        for tensor in (batch["inputs"], *batch["targets"].values()):
            assert tensor.device.type == "cuda" and len(tensor) == 8
        with pytest.raises(DataDependentOutputException):
            batch["inputs"].sum().item()


def test_number_of_operations_does_not_grow_with_the_batch(scenes):
    planned, maker = on_device(make_dataset(scenes))

    def count(items):
        plans = collate_plans([planned[SampleKey(0, 0, i)] for i in items])
        with torch.profiler.profile() as profile:
            maker(plans)
        names = [event.name for event in profile.events() if event.name.startswith("aten::")]
        assert not {"aten::item", "aten::_local_scalar_dense", "aten::nonzero"} & set(names)
        return len(names)

    assert count(range(8)) <= count(range(1)) + 60  # a text clipped to five edges adds a block


def test_autocast_changes_nothing(scenes, monkeypatch):
    seen = []

    def watched(*args):
        seen.append(torch.is_autocast_enabled("cpu"))
        return warp_batch(*args)

    monkeypatch.setattr(batch_maker, "warp_batch", watched)
    planned, maker = on_device(make_dataset(scenes))
    plans = collate_plans([planned[SampleKey(0, 0, i)] for i in range(4)])
    expected = maker(plans)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        batch = maker(plans)
    assert torch.equal(batch["inputs"], expected["inputs"])
    for name, map_ in batch["targets"].items():
        assert torch.equal(map_, expected["targets"][name])
    assert seen == [False, False]


def test_copies_of_a_model_share_the_images(scenes):
    _, maker = on_device(make_dataset(scenes))
    model = torch.nn.Identity()
    model.register_forward_pre_hook(maker.before_preprocessing)
    (hook,) = copy.deepcopy(model)._forward_pre_hooks.values()
    assert hook.__self__.store is maker.store


# ---- target maps


def draw_on_device(polygons, ignored, shape):
    """Draw the maps of three samples: nothing, the polygons, and the first of them."""
    plans = []
    for some in ([], list(zip(polygons, ignored)), list(zip(polygons, ignored))[:1]):
        instances = touching_instances(
            [polygon for polygon, _ in some], [ignore for _, ignore in some], shape, 0.4, 8.0
        )
        plans.append(
            SamplePlan(
                Source(0, (1, 1)), np.eye(2, 3), (1, 1), JitterFactors(1, 1, True), instances, {}
            )
        )
    packed = collate_plans(plans)["plans"]
    return draw_target_maps(packed, packed.unpack(CPU), shape, (0.3, 0.7)), packed


def circle(count, radius=30.0):
    angles = np.arange(count) * (2 * np.pi / count)
    points = [50 + radius * np.cos(angles), 40 + radius * np.sin(angles)]
    return np.stack(points, axis=1).astype(np.float32)


TEXT = rectangle(20, 20, 70, 50)
POLYGONS = {
    "none": [],
    "a text": [TEXT],
    "overlapping texts of different sizes": [TEXT, rectangle(60, 10, 90, 60), circle(7)],
    "texts with 4, 5, 8, 9 and 30 edges": [TEXT, *map(circle, (5, 8, 9, 30))],
    "one pixel": [rectangle(30, 30, 30, 30), TEXT],
    "one point": [TEXT[:1]],
    "two points": [TEXT[:2]],
    "on one line": [np.float32([[20, 20], [40, 30], [60, 40]])],
    "repeated vertices": [np.repeat(TEXT, 2, axis=0), np.vstack([TEXT, TEXT[:1]])],
    "too small": [rectangle(20, 20, 80, 27.9), TEXT],
    "shrunk part outside": [rectangle(95, 20, 160, 60), TEXT],
    "outside": [rectangle(200, 200, 260, 240), rectangle(-60, -60, -20, -20)],
    "30,000 pixels wide": [rectangle(-15000, 30, 15000, 60)],
    "the image is a speck in it": [rectangle(-1e6, -1e6, 1e6, 1e6)],
    "crossing itself": [np.float32([[10, 10], [90, 70], [90, 10], [10, 30]])],
}


@pytest.mark.parametrize("ignored", [False, True, None])
@pytest.mark.parametrize("name", POLYGONS)
def test_target_maps_are_those_of_draw_targets(name, ignored):
    polygons, shape = POLYGONS[name], (80, 100)
    flags = [i % 2 == 0 if ignored is None else ignored for i in range(len(polygons))]
    maps, _ = draw_on_device(polygons, flags, shape)
    for sample, count in enumerate((0, len(polygons), 1)):
        expected = draw_targets(polygons[:count], flags, shape, 0.4, (0.3, 0.7), 8.0)
        assert_maps_agree({key: map_[sample] for key, map_ in maps.items()}, expected)


def test_threshold_map_by_hand():
    maps, _ = draw_on_device([TEXT], [False], (80, 100))
    distance = 1500 * (1 - 0.4**2) / 160  # D = A (1 - r^2) / L
    assert maps["thresh_map"][1, 35, 20] == pytest.approx(0.7)
    assert maps["thresh_map"][1, 35, 17] == pytest.approx(0.3 + 0.4 * (1 - 3 / distance))
    assert maps["thresh_map"][1, 35, 45] == pytest.approx(0.3)
    assert maps["shrink_map"][1].sum() == 15 * 35  # from 28 to 42 and from 28 to 62
    assert maps["shrink_map"][0].sum() == 0 and (maps["shrink_mask"] == 1).all()


@pytest.mark.parametrize("pixels", [1, 5000, 20000])
def test_chunks_bound_the_memory_and_change_nothing(monkeypatch, pixels):
    polygons = POLYGONS["texts with 4, 5, 8, 9 and 30 edges"] + POLYGONS["30,000 pixels wide"]
    flags, shape = [False] * len(polygons), (80, 100)
    whole, packed = draw_on_device(polygons, flags, shape)
    assert len(packed.chunks) == 1
    monkeypatch.setattr(packing, "PIXELS_AT_ONCE", pixels)
    maps, packed = draw_on_device(polygons, flags, shape)
    assert len(packed.chunks) > 1
    for chunk in packed.chunks:
        assert chunk.num_pixels <= pixels or chunk.last - chunk.first == 1
        assert chunk.num_pixels <= max(pixels, 80 * 100)  # a window is a map at most
    for name, map_ in maps.items():
        assert torch.equal(map_, whole[name]), name


# ---- pixels


def random_images(shapes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


def store_of(images, size=(64, 48)):
    layout = lay_out({i: image.shape[:2] for i, image in enumerate(images)}, size)
    store = torch.zeros((layout.num_pixels, 3), dtype=torch.uint8)
    for i, image in enumerate(images):
        layout.versions[i][0].framed(store)[1:-1, 1:] = torch.from_numpy(image)
    return store, [layout.versions[i][0] for i in range(len(images))]


def test_warp_is_that_of_cv2():
    size, images = (64, 48), random_images([(40, 60), (5, 3), (1, 1), (60, 90), (40, 61), (30, 30)])
    store, sources = store_of(images)
    matrices, filled, expected = [], [], []
    for i, image in enumerate(images):
        crop = (0, 0, image.shape[1], image.shape[0]) if i % 2 else (-5, -7, 20, 9)
        to_output, corner = crop_resize_matrix(crop, size)
        affine = compose(to_output, flip_rotate_matrix(image.shape[:2], i == 3, 9.0 * i))
        warped = np.zeros((48, 64, 3), np.uint8)
        warped[: corner[1], : corner[0]] = cv2.warpAffine(image, affine, corner)
        matrices.append(cv2.invertAffineTransform(affine))
        filled.append(corner)
        expected.append(warped)
    warps = np.float32([[*m.flat, *corner] for m, corner in zip(matrices, filled)])
    table = torch.tensor([(source.first, *source.shape) for source in sources])
    images = warp_batch(store, table, torch.from_numpy(warps), size)
    # cv2 rounds to whole values, older versions after coordinates rounded to 1/32 pixel.
    difference = (images - torch.from_numpy(np.stack(expected))).abs()
    assert difference.mean() < 0.5 and difference.max() < 12


def test_images_do_not_bleed_into_each_other():
    # A black image between two white ones of other sizes stays black, however far one samples.
    images = [np.full((*shape, 3), 255, np.uint8) for shape in ((9, 50), (30, 20), (7, 3))]
    images[1][:] = 0
    store, sources = store_of(images)
    table = torch.tensor([[sources[1].first, *sources[1].shape]] * 3)
    for scale in (0.5, 1.0, 2.5):
        warps = [[scale, 0, -9, 0, scale, -9, 64, 48], [0, 1, -9, scale, 0, -9, 64, 48]]
        warps.append([-scale, 0.3, 40, 0.2, -scale, 60, 64, 48])
        assert not warp_batch(store, table, torch.tensor(warps), (64, 48)).any()


def test_what_lies_beyond_the_filled_corner_is_black():
    store, sources = store_of([np.full((200, 200, 3), 200, np.uint8)])
    table = torch.tensor([[sources[0].first, 200, 200]])
    warps = torch.tensor([[1.0, 0.1, 20, -0.1, 1, 20, 30, 11]])
    image = warp_batch(store, table, warps, (64, 48))[0]
    assert (image[:11, :30] > 199.9).all()
    assert image.sum() == pytest.approx(11 * 30 * 3 * 200, rel=1e-4)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("brightness", "saturation"), [(1, 1), (1.5, 1.8), (0.6, 0.3), (1.6, 0.2), (0.5, 2)]
)
def test_jitter_is_that_of_the_transform(brightness, saturation, first):
    image = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    jitter = ColorJitter(0.0, 0.0)
    jitter.sample = lambda rng: JitterFactors(brightness, saturation, first)
    expected = jitter(dict(img=image, rng=None))["img"]
    factors = (brightness, saturation, 1.0) if first else (1.0, saturation, brightness)
    result = jitter_batch(torch.from_numpy(image)[None].float(), torch.tensor([factors]))
    assert result.dtype == torch.uint8
    difference = np.abs(result[0].numpy().astype(int) - expected)
    # Rounded once instead of after each step: half a value, times the next factor.
    assert difference.max() <= 2 and difference.mean() < 0.5


# ---- the store


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((480, 640), 1),
        ((720, 1280), 1),  # by exactly 2: bilinear sampling averages 2x2
        ((720, 1281), 2),
        ((1921, 500), 3),  # 1921 / 640 = 3.002
        ((1, 1), 1),
    ],
)
def test_versions_of_an_image(shape, expected):
    assert num_versions(shape, (640, 640)) == expected


def test_layout_counts_every_pixel_once():
    layout = lay_out({3: (4, 6), 7: (20, 30)}, (10, 10))
    # Frames of one more column and two more rows; 30 / 10 = 3, so one version by 2.
    assert layout.versions[3] == [Source(0, (4, 6))]
    assert layout.versions[7] == [Source(6 * 7, (20, 30)), Source(6 * 7 + 22 * 31, (10, 15))]
    assert layout.num_pixels == 6 * 7 + 22 * 31 + 12 * 16 + 30 + 3


def test_icdar2015_takes_what_its_pixels_take():
    layout = lay_out(dict.fromkeys(range(1000), (720, 1280)), (640, 640))
    assert layout.num_pixels * 3 == pytest.approx(1000 * 720 * 1280 * 3, rel=0.004)  # 2.8 GB


def test_budget(monkeypatch):
    assert check_budget(2_500_000_000, CPU, None) == "2.5 GB"
    assert check_budget(2_500_000_000, CPU, 3) == "2.5 GB of 3 GB (max_gb)"
    with pytest.raises(UserError, match=r"take 2.5 GB of 2 GB \(max_gb\); train without"):
        check_budget(2_500_000_000, CPU, 2.0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4_000_000_000, 0))
    with pytest.raises(UserError, match=r"2.5 GB of 2 GB \(half of what is free on cuda:1\)"):
        check_budget(2_500_000_000, torch.device("cuda:1"), None)
    assert "of 3 GB" in check_budget(2_500_000_000, torch.device("cuda:1"), 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"", "not an image"), (b"GIF89a nonsense", "not an image")],
)
def test_unreadable_image_is_named(tmp_path, content, message):
    path = tmp_path / "broken.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"broken\.jpg: {message}"):
        read_shape(str(path))


def test_image_of_another_size_than_its_head_says(tmp_path):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), np.zeros((4, 6, 3), np.uint8))
    assert read_shape(str(path)) == (4, 6)
    layout = lay_out({0: (4, 7)}, (10, 10))
    pictures = [(0, decode(str(path), layout.versions[0]))]
    store, failed = fill_store(layout, pictures, CPU, LOGGER)
    assert not store.any() and list(failed) == [0]
    assert "image.png: is damaged: its head states another size" in str(failed[0])


def test_stand_ins_are_the_next_readable_images_of_the_process():
    assert substitutes_of([1, 3, 5, 7], {3: 0, 7: 0}) == {3: 5, 7: 1}
    with pytest.raises(UserError, match="none of 2 images can be read"):
        substitutes_of([0, 1], {0: 0, 1: 0})


# ---- what is refused


@pytest.mark.parametrize(
    "transforms",
    [
        [LoadImage(), GenerateDBTargets(), PackTextDetInputs()],
        [
            LoadImage(),
            ColorJitter(0.1, 0.1),
            RandomAffineCrop((8, 8)),
            GenerateDBTargets(),
            PackTextDetInputs(),
        ],
    ],
)
def test_other_pipelines_are_refused(transforms):
    with pytest.raises(UserError, match="LoadImage, RandomAffineCrop, ColorJitter") as caught:
        pipeline_parts(Compose(transforms).transforms)
    assert "\n" not in str(caught.value)


def test_loaders_without_image_files_or_keys_are_refused(scenes, monkeypatch):
    dataset = make_dataset(scenes)
    check_loader(DataLoader(dataset, sampler=EpochKeySampler(dataset, seed=0)))
    with pytest.raises(UserError, match=r"train_dataloader\.dataset is a list, not a TextDet"):
        make_shares([1, 2])
    with pytest.raises(UserError, match="sampler is a SequentialSampler"):
        check_loader(DataLoader(dataset))
    with pytest.raises(UserError, match="batch_sampler"):
        check_loader(DataLoader(dataset, None, sampler=EpochKeySampler(dataset, seed=0)))
    monkeypatch.setattr("dbnet.datasets.device.planned_dataset.get_dist_info", lambda: (0, 9))
    with pytest.raises(UserError, match="fewer images than there are processes, 9"):
        make_shares(dataset)


# ---- shards


def test_shards_divide_the_images():
    # 10 images on 4 processes: 0 4 8, 1 5 9, 2 6 and one of them again, 3 7 and one of them again.
    seen = []
    for rank in range(4):
        items = range(rank, 10, 4)
        plans = PlannedDataset([{}] * 10, items, items, {}, lambda sample: sample["sample_idx"])
        assert len(plans) == 3
        seen.append([[plans[SampleKey(3, epoch, i)] for i in range(3)] for epoch in range(2)])
    assert seen[0] == [[0, 4, 8]] * 2 and seen[1] == [[1, 5, 9]] * 2
    assert seen[2] == [[2, 6, 2], [2, 6, 6]] and seen[3] == [[3, 7, 3], [3, 7, 7]]


def test_shards_are_shuffled_by_epoch_and_go_on_in_the_middle():
    sampler = ShardKeySampler(30, 1, True, seed=3)
    first = list(sampler)
    assert {(key.seed, key.epoch) for key in first} == {(3, 0)}
    assert [key.item for key in first] != sorted(key.item for key in first)
    sampler.set_epoch(1)
    second = list(sampler)
    assert [key.item for key in second] != [key.item for key in first]
    assert sorted(key.item for key in second) == list(range(30)) and len(sampler) == 30
    sampler.start = 20
    assert list(sampler) == second[20:]
    assert [key.item for key in ShardKeySampler(30, 1, False, seed=3)] == list(range(30))


# ---- several datasets, scenes among them


def make_mixed(root, length=6, crop=(128, 96), weights=(2, 1), thresh_max=0.7):
    drawn = [
        dict(type="RandomScaleCrop", size=crop, scale=(0.8, 2.0)),
        dict(type="GenerateDBTargets", thresh_max=thresh_max),
        dict(type="PackTextDetInputs"),
    ]
    photos = [
        dict(type="LoadImage"),
        dict(type="RandomAffineCrop", size=(128, 96)),
        dict(type="ColorJitter", brightness=0.2, saturation=0.5),
        dict(type="GenerateDBTargets"),
        dict(type="PackTextDetInputs"),
    ]
    scenes = dict(type="SyntheticTextDataset", size=(300, 200), length=length, difficulty=0.5)
    files = dict(type="TextDetDataset", data_root=str(root), ann_file="train.json")
    return ConcatDataset(
        [dict(scenes, pipeline=drawn), dict(files, pipeline=photos)], weights=weights
    )


def assert_same_samples(dataset, planned, maker, keys, host_keys=None):
    expected = collate_text_det([dataset[key] for key in host_keys or keys])
    batch = maker(collate_plans([planned[key] for key in keys]))
    assert batch["metas"] == expected["metas"]
    difference = (batch["inputs"].int() - expected["inputs"].int()).abs()
    assert difference.double().mean() < 1
    assert_maps_agree(batch["targets"], expected["targets"])
    assert expected["targets"]["shrink_map"].any()


@pytest.mark.parametrize("weights", [None, (2, 1)])
def test_scenes_and_files_together_agree_with_the_transforms(scenes, weights):
    dataset = make_mixed(scenes, weights=weights)
    planned, maker = on_device(dataset)
    assert len(planned) == len(dataset) == 14
    names = set()
    for epoch in range(3):
        keys = [SampleKey(1, epoch, i) for i in range(14)]
        assert_same_samples(dataset, planned, maker, keys)
        names |= {planned[key].metas["img_path"] for key in keys}
    assert {f"synthetic_0_{i:06d}.png" for i in range(6)} <= names
    assert {str(scenes / f"img_{i}.png") for i in range(8)} <= names


@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_have_every_second_scene_and_file(scenes, monkeypatch, rank):
    where = "dbnet.datasets.device.planned_dataset.get_dist_info"
    monkeypatch.setattr(where, lambda: (rank, 2))
    dataset = make_mixed(scenes, length=5, weights=None)
    planned, maker = on_device(dataset)
    assert planned.lengths == [3, 4] and len(planned) == 7
    # Of 5 scenes the first process has 0, 2, 4 and the other one 1, 3 and, in epoch 1, again 3.
    items = [0, 2, 4, 5, 7, 9, 11] if rank == 0 else [1, 3, 3, 6, 8, 10, 12]
    keys = [SampleKey(4, 1, i) for i in range(7)]
    host_keys = [SampleKey(4, 1, item) for item in items]
    assert_same_samples(dataset, planned, maker, keys, host_keys)
    assert maker.store.shape[0] < 0.6 * on_one_process(dataset, monkeypatch).store.shape[0]


def on_one_process(dataset, monkeypatch):
    monkeypatch.undo()
    return on_device(dataset)[1]


def test_datasets_that_do_not_fit_together_are_refused(scenes):
    with pytest.raises(UserError, match=r"datasets\.0 has crops of \(64, 64\), dataset\.datasets"):
        on_device(make_mixed(scenes, crop=(64, 64)))
    with pytest.raises(UserError, match="have different GenerateDBTargets"):
        on_device(make_mixed(scenes, thresh_max=0.8))


# ---- training

SWITCH = "default_hooks.device_data.type=DeviceDataHook"


def train(config, work_dir, *options, resume=()):
    arguments = [config, "--work-dir", str(work_dir), "--seed", "5", *resume]
    return train_tool.main([*arguments, *(["--cfg-options", *options] if options else [])])


@pytest.mark.slow
def test_training_takes_the_same_course_and_resumes(tmp_path):
    root = write_scenes(tmp_path, count=8)
    config = write_config(root, "both", epochs=2)
    assert train(config, tmp_path / "host") == 0
    assert train(config, tmp_path / "device", SWITCH) == 0
    host, device = losses(tmp_path / "host"), losses(tmp_path / "device")
    assert len(device) == 4
    # Pixels differ by less than 1/255 on average; the first losses hardly, the later ones by what
    # the updates have made of it.
    assert device[0][1] == pytest.approx(host[0][1], rel=1e-3)
    for (step, loss, lr), expected in zip(device, host):
        assert (step, lr) == (expected[0], expected[2])
        assert loss == pytest.approx(expected[1], rel=0.01)  # seen: 3e-4

    stopped = write_config(
        root, "stopped", 2, extra='custom_hooks = [dict(type="StopAfterEpoch", epoch=1)]'
    )
    assert train(stopped, tmp_path / "part", SWITCH) == 0
    assert train(config, tmp_path / "part", SWITCH, resume=["--resume"]) == 0
    assert losses(tmp_path / "part") == device


@pytest.mark.slow
def test_mistakes_of_a_run_are_one_line(tmp_path, capsys):
    config = write_config(write_scenes(tmp_path, count=8), "mistake", epochs=1)
    assert train(config, tmp_path / "work", SWITCH, "default_hooks.device_data.max_gb=1e-4") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "the decoded training images take 0.000403 GB of 0.0001 GB" in error


MIXED = """
_files = dict(
    type="TextDetDataset", data_root="{root}", ann_file="train.json", pipeline=_train_pipeline
)
_scenes = dict(
    type="SyntheticTextDataset", size=(160, 160), length=8, pipeline=_train_pipeline[1:]
)
train_dataloader["dataset"] = dict(
    _delete_=True, type="ConcatDataset", datasets=[_files, _scenes], weights=[1, 3]
)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "taken", "steps"),
    [("", "4 images take 0.000202 GB", 2), (MIXED, "8 images take 0.000515 GB", 4)],
)
def test_two_processes_keep_a_share_each(tmp_path, extra, taken, steps):
    root = write_scenes(tmp_path, count=8)
    config = write_config(root, "two", epochs=2, extra=extra.format(root=root))
    tool = Path(__file__).parents[2] / "tools" / "train.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = ["--launcher", "pytorch", "--work-dir", str(tmp_path), "--cfg-options", SWITCH]
    done = subprocess.run(
        [*launch, str(tool), config, *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"device data: {taken}" in done.stdout + done.stderr
    assert len(losses(tmp_path)) == steps  # of 4 images in each of 2 processes, in 2 epochs
