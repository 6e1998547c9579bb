import copy
import ctypes
import json
import multiprocessing
import os
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dbnet.datasets import EpochKeySampler, TextDetDataset, collate_text_det, image_cache
from dbnet.datasets.image_cache import ImageCache
from dbnet.datasets.shared_memory import SharedMemory
from dbnet.errors import UserError
from dbnet.images import read_image
from tests.conftest import rectangle

PIPELINE = [
    dict(type="LoadImage"),
    dict(type="RandomAffineCrop", size=(64, 64)),
    dict(type="ColorJitter", brightness=0.2, saturation=0.5),
    dict(type="GenerateDBTargets"),
    dict(type="PackTextDetInputs"),
]
COUNT, HEIGHT, WIDTH = 6, 60, 90
BYTES = HEIGHT * WIDTH * 3  # 16,200 of one image


@pytest.fixture
def folder(tmp_path):
    """Folder with six JPEG images of 90x60 and their annotation file, which states the size."""
    rng = np.random.default_rng(0)
    data_list = []
    for i in range(COUNT):
        image = cv2.GaussianBlur(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 3)
        cv2.imwrite(str(tmp_path / f"{i}.jpg"), image)
        quad = rectangle(10 + i, 15, 60 + i, 40).flatten().tolist()
        entry = dict(img_path=f"{i}.jpg", height=HEIGHT, width=WIDTH)
        data_list.append({**entry, "instances": [dict(polygon=quad, ignore=False)]})
    (tmp_path / "train.json").write_text(json.dumps(dict(metainfo={}, data_list=data_list)))
    return tmp_path


def make_dataset(folder, **kwargs):
    return TextDetDataset(data_root=str(folder), ann_file="train.json", pipeline=PIPELINE, **kwargs)


def make_cache(folder, budget=10**6, size=(HEIGHT, WIDTH)):
    return ImageCache([(str(folder / f"{i}.jpg"), size) for i in range(COUNT)], budget)


def replace_by_black(path):
    cv2.imwrite(str(path), np.zeros((HEIGHT, WIDTH, 3), np.uint8))


# ---- the cache by itself


def test_an_image_is_decoded_once(folder):
    cache, path = make_cache(folder), folder / "2.jpg"
    first = cache.read(str(path))
    np.testing.assert_array_equal(first, read_image(str(path)))
    replace_by_black(path)
    second = cache.read(str(path))
    np.testing.assert_array_equal(first, second)
    assert first.any() and not second.flags.writeable


def test_budget_holds_the_first_images_that_fit(folder):
    cache = make_cache(folder, budget=2 * BYTES + BYTES // 2)
    assert len(cache) == 2 and cache.num_bytes == 2 * BYTES
    for i in range(COUNT):
        assert cache.read(str(folder / f"{i}.jpg")).any()
        replace_by_black(folder / f"{i}.jpg")
    assert [bool(cache.read(str(folder / f"{i}.jpg")).any()) for i in range(COUNT)] == [
        *(True, True, False, False, False, False)
    ]
    assert len(make_cache(folder, budget=BYTES - 1)) == 0


def test_half_written_images_are_not_read(folder, monkeypatch):
    """A worker that dies before it has entered the size leaves an image that others decode."""
    cache, path = make_cache(folder), str(folder / "0.jpg")
    cache._pixels.bytes[: BYTES // 2] = 7
    np.testing.assert_array_equal(cache.read(path), read_image(path))
    np.testing.assert_array_equal(cache.read(path), read_image(path))


class WatchedImage(np.ndarray):
    """Pixels that look at the cache's table in the moment when they are put into its memory."""

    def reshape(self, *shape):
        self.watch()
        return np.asarray(self).reshape(*shape)


def test_a_size_is_published_only_when_all_pixels_are_in_place(folder, monkeypatch):
    cache, seen = make_cache(folder), []
    sizes = cache._table.bytes.view(np.int32).reshape(-1, 2)

    def watched(path):
        image = read_image(path).view(WatchedImage)
        image.watch = lambda: seen.append(sizes[0].tolist())
        return image

    monkeypatch.setattr(image_cache, "read_image", watched)
    cache.read(str(folder / "0.jpg"))
    assert seen == [[0, 0]]  # other workers would read the image from here on
    assert sizes[0].tolist() == [HEIGHT, WIDTH]


@pytest.mark.parametrize(
    ("size", "kept"),
    {
        "from the header": (None, True),
        "sides swapped": ((WIDTH, HEIGHT), True),
        "stated too large": ((HEIGHT + 1, WIDTH), True),
        "stated too small": ((HEIGHT - 1, WIDTH), False),
    }.values(),
)
def test_images_of_another_size_than_stated_are_right(folder, size, kept):
    cache = make_cache(folder, size=size)
    images = [cache.read(str(folder / f"{i}.jpg")).copy() for i in range(COUNT)]
    for i, image in enumerate(images):
        np.testing.assert_array_equal(image, read_image(str(folder / f"{i}.jpg")))
        replace_by_black(folder / f"{i}.jpg")
    again = [cache.read(str(folder / f"{i}.jpg")) for i in range(COUNT)]
    assert all(np.array_equal(a, b) == kept for a, b in zip(images, again))


def test_a_damaged_image_is_named_each_time(folder):
    (folder / "1.jpg").write_bytes(b"no image")
    for size in (None, (HEIGHT, WIDTH)):
        cache = make_cache(folder, size=size)
        for _ in range(2):
            with pytest.raises(UserError, match=r"1\.jpg: not an image"):
                cache.read(str(folder / "1.jpg"))


# ---- through the dataset


def batches(dataset, workers, context, epochs=2):
    sampler = EpochKeySampler(dataset, seed=5)
    loader = DataLoader(
        dataset,
        batch_size=2,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate_text_det,
        persistent_workers=workers > 0,
        multiprocessing_context=context,
    )
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        yield from loader


@pytest.mark.parametrize("held", [COUNT, 3])
@pytest.mark.parametrize(
    ("workers", "context"), [(0, None), (1, "fork"), (2, "fork"), (1, "spawn")]
)
def test_samples_are_those_without_cache_whatever_the_workers(folder, held, workers, context):
    if context == "spawn" and held < COUNT:
        pytest.skip("takes seconds")
    without = list(batches(make_dataset(folder), 0, None))
    dataset = make_dataset(folder, cache="ram", cache_budget_gb=held * BYTES / 1e9)
    with_cache = list(batches(dataset, workers, context))
    assert len(with_cache) == len(without) == 6
    for one, other in zip(without, with_cache):
        assert one["metas"] == other["metas"]
        assert torch.equal(one["inputs"], other["inputs"])
        for name, map_ in one["targets"].items():
            assert torch.equal(map_, other["targets"][name])
    for i in range(COUNT):  # what the workers decoded is here
        replace_by_black(folder / f"{i}.jpg")
        assert dataset.images.read(str(folder / f"{i}.jpg")).any() == (i < held)


def test_the_log_says_what_is_held(folder, monkeypatch):
    lines = []
    monkeypatch.setattr("dbnet.datasets.text_det_dataset.log", lambda text: lines.append(text))
    make_dataset(folder, cache="ram", cache_budget_gb=0.02)
    make_dataset(folder, cache="ram", cache_budget_gb=2 * BYTES / 1e9)
    make_dataset(folder)
    assert lines == [
        "cache: holds 6 of 6 images once they are read, 0.00 of 0.02 GB",
        "cache: holds 2 of 6 images once they are read, 0.00 of 3.24e-05 GB",
    ]


def test_a_subset_finds_its_own_images(folder):
    for indices in ([4, 1], 2):
        subset = make_dataset(folder, cache="ram", indices=indices)
        order = range(COUNT)[:2] if indices == 2 else indices
        for item, original in enumerate(order):
            sample = subset.get_data_info(item)
            assert sample["img_path"].endswith(f"{original}.jpg")
            image = subset.images.read(sample["img_path"])
            np.testing.assert_array_equal(image, read_image(sample["img_path"]))


def test_an_unknown_cache_is_a_users_mistake(folder):
    with pytest.raises(UserError, match=r'dataset\.cache: must be None or "ram", got \'disk\''):
        make_dataset(folder, cache="disk")


# ---- memory


def test_shared_memory_leaves_nothing_behind():
    descriptors = len(os.listdir("/proc/self/fd"))
    shared = set(os.listdir("/dev/shm"))
    memory = SharedMemory(10**6)
    memory.bytes[-1] = 3
    assert copy.deepcopy(memory) is memory
    assert len(os.listdir("/proc/self/fd")) > descriptors
    assert set(os.listdir("/dev/shm")) <= shared
    del memory
    assert len(os.listdir("/proc/self/fd")) == descriptors


def write_and_report(memory, link):
    memory.bytes[1] = 2
    link.send(int(memory.bytes[0]))


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memory files")
@pytest.mark.parametrize("library", ["with", "without"])
def test_a_python_without_memory_files_takes_the_c_librarys_or_a_file(monkeypatch, library):
    monkeypatch.delattr(os, "memfd_create")
    if library == "without":
        monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())
    memory = SharedMemory(4096)
    place = os.readlink(f"/proc/self/fd/{memory._file.fileno()}")
    assert ("memfd:dbnet" in place) == (library == "with")
    memory.bytes[:] = 7
    assert memory.bytes.sum() == 7 * 4096


def test_processes_see_what_others_write():
    context = multiprocessing.get_context("fork")  # a dataset that is spawned is above
    memory, (ours, theirs) = SharedMemory(2), context.Pipe()
    memory.bytes[0] = 1
    process = context.Process(target=write_and_report, args=(memory, theirs))
    process.start()
    assert ours.recv() == 1
    process.join()
    assert memory.bytes.tolist() == [1, 2]


FAULTS = """
import resource
import numpy as np
from dbnet.utils.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        images = [np.empty(1_200_000, np.uint8) for _ in range(6)]  # of 640x640
        for image in images:
            image[::4096] = 1
        del image, images
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_freed_memory(), faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_freed_images_are_not_paid_for_in_page_faults_again():
    command = [sys.executable, "-c", FAULTS]
    before, known, after = subprocess.check_output(command, text=True).split()
    pages = 6 * 1_200_000 // 4096  # of one round of 20
    assert known == "True" and int(after) < 3 * pages < 15 * pages < int(before)
