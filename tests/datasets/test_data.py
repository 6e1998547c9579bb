import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Resize as MMCVResize
from mmengine.dataset import DefaultSampler, RepeatDataset
from torch.utils.data import DataLoader
from torchvision.transforms import ColorJitter as TorchvisionColorJitter
from torchvision.transforms.functional import adjust_saturation as torchvision_saturation

from dbnet.datasets import (
    EpochKeySampler,
    EqualShapeBatchSampler,
    InfiniteKeySampler,
    SampleKey,
    TextDetDataset,
    collate_text_det,
)
from dbnet.datasets.transforms import LimitedResize, Resize
from dbnet.datasets.transforms.loading import LoadImage
from dbnet.datasets.transforms.photometric import ColorJitter, adjust_brightness, adjust_saturation
from dbnet.errors import ImageError, UserError
from dbnet.images import read_image, read_shape
from dbnet.models.data_preprocessor import TextDetDataPreprocessor
from tests.conftest import rectangle

TRAIN_PIPELINE = [
    dict(type="LoadImage"),
    dict(type="RandomAffineCrop", size=(64, 64)),
    dict(type="ColorJitter", brightness=0.2, saturation=0.5),
    dict(type="GenerateDBTargets"),
    dict(type="PackTextDetInputs"),
]
TEST_PIPELINE = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(60, 40), keep_ratio=True),
    dict(type="PackTextDetInputs"),
]


@pytest.fixture
def annotated(tmp_path):
    """Folder with six noise images of 90x60 and their annotation file; the last has no text."""
    rng = np.random.default_rng(0)
    data_list = []
    (tmp_path / "images").mkdir()
    for i in range(6):
        image = cv2.GaussianBlur(rng.integers(0, 255, (60, 90, 3), dtype=np.uint8), (0, 0), 3)
        cv2.imwrite(str(tmp_path / "images" / f"img_{i}.png"), image)
        quad = rectangle(10 + i, 15, 60 + i, 40).flatten().tolist()
        instances = [dict(polygon=quad, bbox=quad[:2] + quad[4:6], bbox_label=0, ignore=i == 2)]
        entry = dict(img_path=f"images/img_{i}.png", height=60, width=90)
        data_list.append({**entry, "instances": instances if i < 5 else []})
    (tmp_path / "train.json").write_text(json.dumps(dict(metainfo={}, data_list=data_list)))
    return tmp_path


def make_dataset(root, pipeline=TRAIN_PIPELINE, **kwargs):
    return TextDetDataset(data_root=str(root), ann_file="train.json", pipeline=pipeline, **kwargs)


# ---- dataset


def test_dataset_reads_polygons_and_ignored(annotated):
    dataset = make_dataset(annotated, pipeline=[], test_mode=True)
    sample = dataset[2]
    assert len(dataset) == 6
    assert sample["img_path"].endswith("images/img_2.png")
    np.testing.assert_array_equal(sample["polygons"][0], rectangle(12, 15, 62, 40))
    assert sample["polygons"][0].dtype == np.float32
    assert sample["ignored"] == [True]
    assert dataset[5]["polygons"] == []


def test_polygons_of_all_lengths_survive_the_annotation_list(tmp_path):
    circle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    round_ = np.stack([np.cos(circle), np.sin(circle)], axis=1).astype(np.float32)
    polygons = [rectangle(0, 0, 9, 5), rectangle(1, 2, 3, 4)[:3], round_]
    instances = [dict(polygon=p.flatten().tolist(), ignore=i == 1) for i, p in enumerate(polygons)]
    entries = [dict(img_path=f"{i}.png", instances=instances[:i]) for i in range(4)]
    (tmp_path / "train.json").write_text(json.dumps(dict(data_list=entries)))
    dataset = make_dataset(tmp_path, pipeline=[], test_mode=True)
    for i, sample in enumerate(dataset):
        assert sample["img_path"] == str(tmp_path / f"{i}.png")
        assert sample["ignored"] == [False, True, False][:i]
        assert len(sample["polygons"]) == i
        for polygon, expected in zip(sample["polygons"], polygons):
            np.testing.assert_array_equal(polygon, expected)
            assert polygon.dtype == np.float32


def test_byte_order_mark_of_windows_editors(annotated):
    text = (annotated / "train.json").read_text()
    (annotated / "train.json").write_text(text, encoding="utf-8-sig")
    assert len(make_dataset(annotated, pipeline=[])) == 6


def test_image_paths_are_relative_to_the_annotation_files_folder(annotated):
    (annotated / "sub").mkdir()
    text = (annotated / "train.json").read_text().replace("images/", "../images/")
    (annotated / "sub" / "train.json").write_text(text)
    dataset = TextDetDataset(data_root=str(annotated), ann_file="sub/train.json", test_mode=True)
    assert read_image(dataset[0]["img_path"]).shape == (60, 90, 3)


def test_test_sample_keeps_ground_truth_in_original_pixels(annotated):
    sample = make_dataset(annotated, TEST_PIPELINE, test_mode=True)[0]
    metas = sample["metas"]
    assert tuple(sample["inputs"].shape) == (3, 40, 60) and sample["inputs"].dtype == torch.uint8
    assert metas["ori_shape"] == (60, 90) and metas["img_shape"] == (40, 60)
    assert metas["scale_factor"] == pytest.approx((2 / 3, 2 / 3))
    np.testing.assert_array_equal(metas["gt_polygons"][0], rectangle(10, 15, 60, 40))


def test_training_sample(annotated):
    sample = make_dataset(annotated)[SampleKey(0, 0, 0)]
    assert tuple(sample["inputs"].shape) == (3, 64, 64)
    assert set(sample["targets"]) == {"shrink_map", "shrink_mask", "thresh_map", "thresh_mask"}
    for map_ in sample["targets"].values():
        assert map_.shape == (64, 64)
    assert sample["targets"]["shrink_map"].any()


def test_masks_travel_as_bytes_and_enter_the_model_as_float32(annotated):
    batch = collate_text_det([make_dataset(annotated)[SampleKey(0, 0, i)] for i in (0, 2)])
    preprocessor = TextDetDataPreprocessor(mean=[0, 0, 0], std=[1, 1, 1])
    targets = preprocessor(batch)["targets"]
    for name, map_ in batch["targets"].items():
        assert map_.dtype == (torch.float32 if name == "thresh_map" else torch.uint8)
        assert targets[name].dtype == torch.float32
        assert torch.equal(targets[name], map_.float())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "prepare_data.py"),
        ("{", "not a JSON file"),
        ("[]", 'no "data_list"'),
        ('{"data_list": [{"img_path": "a.jpg"}]}', r"data_list\[0\]: no 'instances'"),
        (
            '{"data_list": [{"img_path": "a", "instances": [{"polygon": [1], "ignore": 0}]}]}',
            r"data_list\[0\] \(a\): instances\[0\]: polygon is no list of x, y",
        ),
        (
            '{"data_list": [{"img_path": "a", "instances": [{"polygon": [1, NaN], "ignore": 0}]}]}',
            r"data_list\[0\] \(a\): instances\[0\]: polygon has 1 points, left out: 1 of 1 words",
        ),
    ],
)
def test_annotation_mistakes_are_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "train.json").write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        make_dataset(tmp_path)
    assert "train.json" in str(caught.value) and "\n" not in str(caught.value)


# ---- a sample is a function of (seed, epoch, index)


def assert_same(one, other):
    assert one["metas"]["img_path"] == other["metas"]["img_path"]
    torch.testing.assert_close(one["inputs"], other["inputs"], rtol=0, atol=0)
    for name, map_ in one["targets"].items():
        torch.testing.assert_close(map_, other["targets"][name], rtol=0, atol=0)


def test_sample_depends_on_seed_epoch_and_index_alone(annotated):
    dataset = make_dataset(annotated)
    first = dataset[SampleKey(3, 7, 1)]
    np.random.seed(99)  # noqa: NPY002, the global generators must not matter
    torch.manual_seed(99)
    _ = dataset[SampleKey(0, 0, 0)]
    assert_same(first, dataset[SampleKey(3, 7, 1)])
    for other in (SampleKey(3, 8, 1), SampleKey(4, 7, 1)):
        assert not torch.equal(first["inputs"], dataset[other]["inputs"])


def batches(dataset, workers, epochs):
    sampler = EpochKeySampler(dataset, seed=5)
    loader = DataLoader(
        dataset,
        batch_size=2,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate_text_det,
        persistent_workers=workers > 0,
        multiprocessing_context=multiprocessing.get_context("fork") if workers else None,
    )
    for epoch in epochs:
        sampler.set_epoch(epoch)
        for batch in loader:
            yield [meta["img_path"] for meta in batch["metas"]], batch["inputs"]


def test_batches_depend_neither_on_workers_nor_on_a_restart(annotated):
    dataset = make_dataset(annotated)
    whole = list(batches(dataset, 0, range(3)))
    for other in (list(batches(dataset, 2, range(3))), list(batches(dataset, 3, range(3)))):
        assert [paths for paths, _ in whole] == [paths for paths, _ in other]
        for (_, one), (_, two) in zip(whole, other):
            torch.testing.assert_close(one, two, rtol=0, atol=0)
    restarted = list(batches(dataset, 2, [2]))
    for (paths, one), (other_paths, two) in zip(whole[-3:], restarted):
        assert paths == other_paths
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_epochs_differ(annotated):
    dataset = make_dataset(annotated)
    sampler = EpochKeySampler(dataset, seed=5)
    sampler.set_epoch(7)
    assert {(key.seed, key.epoch) for key in sampler} == {(5, 7)}
    assert sorted(key.item for key in sampler) == [0, 1, 2, 3, 4, 5]
    first, second = list(batches(dataset, 0, [0])), list(batches(dataset, 0, [1]))
    assert [paths for paths, _ in first] != [paths for paths, _ in second]


def test_infinite_sampler_yields_whole_epochs():
    keys = [key for key, _ in zip(InfiniteKeySampler(range(5), seed=1), range(12))]
    for epoch in (0, 1):
        part = keys[5 * epoch : 5 * epoch + 5]
        assert {key.epoch for key in part} == {epoch}
        assert sorted(key.item for key in part) == [0, 1, 2, 3, 4]
    assert [k.item for k in keys[:5]] != [k.item for k in keys[5:10]]
    unshuffled = [k for k, _ in zip(InfiniteKeySampler(range(3), shuffle=False, seed=1), range(4))]
    assert unshuffled == [(1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 1, 0)]


def test_infinite_sampler_shards_by_rank(monkeypatch):
    streams = []
    for rank in (0, 1):
        monkeypatch.setattr("dbnet.datasets.samplers.get_dist_info", lambda rank=rank: (rank, 2))
        streams.append([k for k, _ in zip(InfiniteKeySampler(range(5), seed=1), range(5))])
    merged = [key for pair in zip(*streams) for key in pair]
    monkeypatch.setattr("dbnet.datasets.samplers.get_dist_info", lambda: (0, 1))
    assert merged == [k for k, _ in zip(InfiniteKeySampler(range(5), seed=1), range(10))]


def test_samplers_that_send_no_epoch_are_refused_in_training(annotated):
    dataset = make_dataset(annotated)
    with pytest.raises(UserError, match="EpochKeySampler"):
        dataset[0]
    config = dict(type="TextDetDataset", data_root=str(annotated), ann_file="train.json")
    for sampler in (EpochKeySampler, InfiniteKeySampler):
        with pytest.raises(UserError, match="ConcatDataset"):
            sampler(RepeatDataset(config, times=2), seed=0)


def shaped(folder, sizes):
    """Make a dataset for tests whose annotation states these (H, W), or none."""
    entries = [
        dict(
            img_path=f"{i}.png",
            instances=[],
            **(dict(height=size[0], width=size[1]) if size else {}),
        )
        for i, size in enumerate(sizes)
    ]
    (folder / "train.json").write_text(json.dumps(dict(data_list=entries)))
    return entries


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(4, 6)] * 5, [[0, 1], [2, 3], [4]]),
        ([(4, 6), (4, 6), (6, 4), (4, 6)], [[0, 1], [2], [3]]),
        ([(4, 6), None, None, (4, 6)], [[0], [1], [2], [3]]),
    ],
)
def test_batches_of_one_shape(tmp_path, sizes, expected):
    shaped(tmp_path, sizes)
    dataset = make_dataset(tmp_path, [], test_mode=True)
    batches = EqualShapeBatchSampler(DefaultSampler(dataset, shuffle=False), 2)
    assert list(batches) == expected and len(batches) == len(expected)


def test_sorting_by_size_makes_full_batches(tmp_path):
    shaped(tmp_path, [(6, 4), (4, 6), (6, 4), None, (4, 6)])
    dataset = make_dataset(tmp_path, [], test_mode=True, sort_by_size=True)
    names = [Path(dataset.get_data_info(i)["img_path"]).stem for i in range(5)]
    assert names == ["3", "1", "4", "0", "2"]  # of one size as in the file
    batches = EqualShapeBatchSampler(DefaultSampler(dataset, shuffle=False), 2)
    assert list(batches) == [[0], [1, 2], [3, 4]]
    with pytest.raises(UserError, match="a test leaves nothing out"):
        EqualShapeBatchSampler(DefaultSampler(dataset), 2, drop_last=True)


def test_batches_of_one_shape_are_for_tests_of_stated_sizes(tmp_path):
    shaped(tmp_path, [(4, 6)])
    dataset = make_dataset(tmp_path, [])
    with pytest.raises(UserError, match="not a EpochKeySampler"):
        EqualShapeBatchSampler(EpochKeySampler(dataset, seed=0), 2)
    with pytest.raises(UserError, match="dataset is a list, which states no sizes"):
        EqualShapeBatchSampler(DefaultSampler([1, 2]), 2)


# ---- collate


def test_collate_stacks_equal_sizes_and_lists_others(annotated):
    dataset = make_dataset(annotated)
    batch = collate_text_det([dataset[SampleKey(0, 0, i)] for i in (0, 5)])
    assert batch["inputs"].shape == (2, 3, 64, 64)
    assert batch["targets"]["thresh_map"].shape == (2, 64, 64)
    images = [dict(inputs=torch.zeros(3, h, 8, dtype=torch.uint8), metas={}) for h in (4, 5)]
    batch = collate_text_det(images)
    assert [tuple(image.shape) for image in batch["inputs"]] == [(3, 4, 8), (3, 5, 8)]
    assert "targets" not in batch


# ---- loading


def test_exif_orientation_is_ignored(tmp_path):
    from PIL import Image

    image = Image.new("RGB", (40, 20), (255, 0, 0))
    exif = image.getexif()
    exif[0x0112] = 6  # to be shown rotated
    image.save(tmp_path / "rotated.jpg", exif=exif)
    results = LoadImage()(dict(img_path=str(tmp_path / "rotated.jpg")))
    assert results["img"].shape == (20, 40, 3) and results["ori_shape"] == (20, 40)
    assert results["img"][10, 20, 2] > 200  # BGR: red is last


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"", "not an image"), (b"GIF89a nonsense", "not an image")],
)
def test_unreadable_image_is_named(tmp_path, content, message):
    path = tmp_path / "broken.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"broken\.jpg: {message}"):
        read_image(str(path))


def test_gif_is_its_first_picture(tmp_path):
    from PIL import Image

    pictures = [Image.new("RGB", (5, 4), color) for color in ((255, 0, 0), (0, 255, 0))]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:])
    image = read_image(str(tmp_path / "a.gif"))
    assert image.shape == (4, 5, 3) and image.dtype == np.uint8
    assert (image == (0, 0, 255)).all()  # BGR
    (tmp_path / "cut.gif").write_bytes((tmp_path / "a.gif").read_bytes()[:30])
    with pytest.raises(UserError, match=r"cut\.gif: not an image, or damaged"):
        read_image(str(tmp_path / "cut.gif"))


@pytest.mark.parametrize("path", ["a\0b.jpg", "a\ud800.jpg"])
@pytest.mark.parametrize("read", [read_image, read_shape])
def test_what_is_no_path_is_an_unreadable_image(path, read):
    with pytest.raises(ImageError, match="image 'a"):
        read(path)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [  # (H, W); scale (4068, 1024), at most twice as large
        ((720, 1280), (1024, 1820)),  # 1024 / 720 = 1.42
        ((200, 500), (400, 1000)),
        ((500, 200), (1000, 400)),  # upright as well
        ((512, 600), (1024, 1200)),  # exactly twice
        ((3000, 4000), (1024, 1365)),
        ((1, 1), (2, 2)),
    ],
)
def test_limited_resize(shape, expected):
    results = LimitedResize((4068, 1024), max_scale=2.0)(dict(img=np.zeros((*shape, 3), np.uint8)))
    assert results["img"].shape[:2] == expected == results["img_shape"]
    np.testing.assert_allclose(
        results["scale_factor"], (expected[1] / shape[1], expected[0] / shape[0])
    )


@pytest.mark.parametrize("keep_ratio", [True, False])
@pytest.mark.parametrize("shape", [(720, 1280), (33, 701), (501, 37)])
def test_resize_is_that_of_mmcv(shape, keep_ratio):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    ours, theirs = (
        kind(scale=(320, 200), keep_ratio=keep_ratio)(dict(img=image))
        for kind in (Resize, MMCVResize)
    )
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value)


@pytest.mark.parametrize(
    ("shape", "expected"), [((1, 4000), (1, 320)), ((4000, 1), (320, 1)), ((3, 4000), (1, 320))]
)
def test_resize_leaves_a_pixel_of_each_side(shape, expected):
    results = Resize(scale=(320, 320), keep_ratio=True)(dict(img=np.zeros((*shape, 3), np.uint8)))
    assert results["img"].shape[:2] == expected == results["img_shape"]
    assert results["scale_factor"] == (expected[1] / shape[1], expected[0] / shape[0])


# ---- colour jitter


def test_brightness_and_saturation_agree_with_torchvision():
    from PIL import Image

    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    picture = Image.fromarray(image[..., ::-1])
    for factor in (0.5, 0.9, 1.0, 1.12, 1.5):
        expected = np.asarray(torchvision_saturation(picture, factor))[..., ::-1]
        assert np.abs(adjust_saturation(image, factor).astype(int) - expected).max() <= 2
        bright = np.minimum(image * factor, 255)
        assert np.abs(adjust_brightness(image, factor) - bright).max() <= 0.51


def test_jitter_has_torchvisions_distribution():
    # Over many draws: mean and spread of one grey and one red pixel.
    image = np.array([[[100, 100, 100], [20, 20, 200]]], np.uint8)  # BGR
    ours = [
        ColorJitter(0.2, 0.5)(dict(img=image, rng=np.random.default_rng(seed)))["img"]
        for seed in range(3000)
    ]
    tensor = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    theirs = TorchvisionColorJitter(brightness=0.2, saturation=0.5)
    drawn = [theirs(tensor).permute(1, 2, 0).numpy()[..., ::-1] for _ in range(3000)]
    np.testing.assert_allclose(np.mean(ours, axis=0), np.mean(drawn, axis=0), atol=2)
    np.testing.assert_allclose(np.std(ours, axis=0), np.std(drawn, axis=0), atol=2)


def test_jitter_keeps_pads_black():
    image = np.zeros((4, 4, 3), np.uint8)
    output = ColorJitter(0.2, 0.5)(dict(img=image, rng=np.random.default_rng(0)))["img"]
    assert not output.any()


def test_color_jitter_comes_in_both_orders():
    # Clipping tells them apart: of (250, 0, 0), brightness 1.5 makes (255, 0, 0) first.
    image = np.full((2, 2, 3), (250, 0, 0), np.uint8)
    jitter, orders = ColorJitter(0.5, 0.5), set()
    for seed in range(20):
        brightness, saturation, first = jitter.sample(np.random.default_rng(seed))
        expected = adjust_brightness(image, brightness) if first else image
        expected = adjust_saturation(expected, saturation)
        expected = expected if first else adjust_brightness(expected, brightness)
        found = jitter(dict(img=image, rng=np.random.default_rng(seed)))["img"]
        np.testing.assert_array_equal(found, expected)
        orders.add(first)
    assert orders == {True, False}
