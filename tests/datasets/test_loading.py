import json
import struct
import zlib

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from dbnet.datasets import EpochKeySampler, TextDetDataset, collate_text_det
from dbnet.datasets.transforms.loading import LoadImage, PackTextDetInputs
from dbnet.errors import ImageError, UserError
from dbnet.images import read_image, read_shape
from tests.conftest import rectangle

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("colour.png", IMAGE, IMAGE),
        ("grey.png", IMAGE[..., 0], np.repeat(IMAGE[..., :1], 3, axis=2)),
        ("alpha.png", np.dstack([IMAGE, np.full((40, 56), 255)]), IMAGE),
        ("sixteen_bits.png", IMAGE.astype(np.uint16) * 257, IMAGE),
    ],
)
def test_every_kind_of_image_becomes_bgr(tmp_path, name, image, expected):
    path = str(tmp_path / name)
    cv2.imwrite(path, image)
    np.testing.assert_array_equal(read_image(path), expected)


@pytest.mark.parametrize("read", [read_image, read_shape])
@pytest.mark.parametrize("name", ["a.png", "a.gif"])
def test_an_image_too_large_to_decode(tmp_path, read, name):
    """Pillow refuses from 179 million pixels on, OpenCV from 2^30 on."""
    if name == "a.png":
        head = struct.pack(">4sIIBBBBB", b"IHDR", 60_000, 60_000, 8, 2, 0, 0, 0)
        chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
        content = b"\x89PNG\r\n\x1a\n" + chunk + bytes(100)
    else:
        content = b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + b"\xf0" + bytes(100)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=f"{name}: "):
        read(str(tmp_path / name))


def test_jpeg_is_decoded_as_pillow_does(tmp_path):
    from PIL import Image

    path = tmp_path / "photo.jpg"
    smooth = cv2.GaussianBlur(IMAGE, (0, 0), 3)
    cv2.imwrite(str(path), smooth)
    with Image.open(path) as picture:
        expected = np.asarray(picture.convert("RGB"))[..., ::-1].astype(int)
    assert np.abs(read_image(str(path)) - expected).max() <= 1  # both use libjpeg-turbo
    assert np.abs(smooth - expected).mean() < 5


def test_an_image_that_is_given_is_not_read():
    given = dict(img_path="nowhere.jpg", img=IMAGE)
    results = LoadImage()(given)
    assert results["img"] is IMAGE and results["ori_shape"] == (40, 56)
    assert given == dict(img_path="nowhere.jpg", img=IMAGE)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"\xff\xd8\xff", "not an image, or damaged")]
)
@pytest.mark.parametrize("cache", [None, "ram"])
def test_an_unreadable_image_ends_loading_with_its_name(tmp_path, workers, content, reason, cache):
    if content is not None:
        (tmp_path / "bad.jpg").write_bytes(content)
    entry = dict(img_path="bad.jpg", instances=[])
    (tmp_path / "train.json").write_text(json.dumps(dict(data_list=[entry])))
    pipeline = [dict(type="LoadImage"), dict(type="PackTextDetInputs")]
    dataset = TextDetDataset("train.json", str(tmp_path), pipeline, cache=cache)
    loader = DataLoader(
        dataset,
        sampler=EpochKeySampler(dataset, seed=0),
        num_workers=workers,
        collate_fn=collate_text_det,
    )
    with pytest.raises(UserError) as caught:
        next(iter(loader))
    last = str(caught.value).strip().splitlines()[-1]  # a worker puts its traceback in front
    assert f"image {tmp_path / 'bad.jpg'}: {reason}" in last


def test_inputs_are_planes_of_the_image():
    results = dict(img_path="a.jpg", img=IMAGE, ori_shape=(40, 56), img_shape=(40, 56))
    view = IMAGE[5:30, 3:47]
    view.flags.writeable = False  # as an image of the cache
    for image in (IMAGE, view):
        packed = PackTextDetInputs()(
            {**results, "img": image, "polygons": [rectangle(0, 0, 9, 9)], "ignored": [False]}
        )
        np.testing.assert_array_equal(packed["inputs"], image.transpose(2, 0, 1))
