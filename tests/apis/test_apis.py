import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

import dbnet
from dbnet.apis import inferencer as inferencer_module
from dbnet.cli import test as test_tool
from dbnet.errors import UserError
from tests.bright import PATCH_POLYGON, corners, draw_patch, write_bright

SCRATCH = "dbnet_r18_fpnc_100e_icdar2015_scratch"


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Paths of the config and the checkpoint of a detector of bright areas."""
    return write_bright(tmp_path_factory.mktemp("bright"))


@pytest.fixture(scope="module")
def detect(bright):
    return dbnet.TextDetInferencer(*bright)


def write(path: Path, image: np.ndarray) -> str:
    cv2.imwrite(str(path), image)
    return str(path)


def test_the_package_is_light():
    program = """
import sys, dbnet
assert not {"torch", "mmengine", "cv2", "numpy"} & set(sys.modules)
assert {"TextDetInferencer", "init_detector", "__version__"} <= set(dir(dbnet))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_package_names_what_it_lacks():
    with pytest.raises(AttributeError, match=r"module 'dbnet' has no attribute 'nothing'"):
        _ = dbnet.nothing


def test_a_detector_without_weights_downloads_nothing(monkeypatch):
    def refuse(*args):
        raise AssertionError("ImageNet weights are asked for")

    monkeypatch.setattr("dbnet.models.backbones.resnet.load_imagenet_weights", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    detector = dbnet.init_detector("dbnet_r18_fpnc_1200e_icdar2015")
    assert detector.backbone.init_cfg["checkpoint"] == "torchvision://resnet18"
    assert not detector.training


def test_all_names_of_the_package_exist():
    assert all(getattr(dbnet, name) for name in dbnet.__all__)


def test_a_config_may_be_loaded_and_stays_as_it_is(bright):
    config = Config.fromfile(bright[0])
    before = config.to_dict()
    options = {"model.postprocessor.box_thresh": 0.55}
    for given in (config, *bright[:1], Path(bright[0])):
        detector = dbnet.init_detector(given, cfg_options=options)
        assert detector.postprocessor.box_thresh == 0.55
        assert dbnet.init_detector(given).postprocessor.box_thresh == 0.3
    assert config.to_dict() == before


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model.postprocesor.box_thresh": 1}, "nearest: model.postprocessor.box_thresh"),
        ({"model.postprocessor.type": "DBPostproces"}, "DBPostproces"),
        ({"model.postprocessor.text_repr_type": "oval"}, '"quad" or "poly", got "oval"'),
    ],
)
def test_mistakes_in_options_are_one_line(bright, options, message, loaded):
    config = Config.fromfile(bright[0]) if loaded else bright[0]
    with pytest.raises(UserError, match=message) as caught:
        dbnet.init_detector(config, cfg_options=options)
    assert "\n" not in str(caught.value)


def test_a_config_without_a_model_is_refused():
    with pytest.raises(UserError, match="no model"):
        dbnet.init_detector(Config(dict(model=None)))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta"])
def test_a_device_that_cannot_compute_is_refused(bright, device):
    with pytest.raises(UserError, match=f"^device {device}: cannot be used") as caught:
        dbnet.init_detector(bright[0], device=device)
    assert "\n" not in str(caught.value)


def test_weights_are_loaded_and_have_to_fit(bright, tmp_path):
    state = torch.load(bright[1], weights_only=True)["state_dict"]
    state["backbone.gain"].fill_(3)
    torch.save(state, tmp_path / "three.pth")
    assert dbnet.init_detector(bright[0], tmp_path / "three.pth").backbone.gain.item() == 3
    with pytest.raises(UserError, match=r"too little of it fits the model.*for another config"):
        dbnet.init_detector(SCRATCH, bright[1])


@pytest.mark.parametrize("scope", ["mmengine", "dbnet"])
def test_the_scope_of_other_libraries_is_left_alone(bright, scope):
    with DefaultScope.overwrite_default_scope(scope):
        dbnet.TextDetInferencer(*bright)
        assert DefaultScope.get_current_instance().scope_name == scope


@pytest.mark.parametrize(
    ("given", "lacks"), [((None, "weights.pth"), "config"), ((SCRATCH,), "checkpoint")]
)
def test_half_a_model_is_refused_and_the_way_out_told(given, lacks):
    with pytest.raises(UserError, match=f"^no {lacks} given: give both a config and a checkpoint"):
        dbnet.TextDetInferencer(*given)


def test_configs_that_say_nothing_of_images_are_refused(bright):
    config = Config.fromfile(bright[0])
    config.test_dataloader.dataset.pipeline = []
    with pytest.raises(UserError, match="test_dataloader has no pipeline"):
        dbnet.TextDetInferencer(config, bright[1])
    config.test_dataloader = None
    with pytest.raises(UserError, match="test_dataloader has no pipeline"):
        dbnet.TextDetInferencer(config, bright[1])


def test_a_pipeline_that_loads_nothing_is_taken_whole(bright):
    config = Config.fromfile(bright[0])
    config.test_dataloader.dataset.pipeline = config.test_dataloader.dataset.pipeline[1:]
    steps = dbnet.TextDetInferencer(config, bright[1]).network.pipeline.transforms
    assert [type(step).__name__ for step in steps] == ["Resize", "PackTextDetInputs"]


def test_a_wrapped_dataset_has_its_pipeline_further_in(bright, detect):
    config = Config.fromfile(bright[0])
    dataset = config.test_dataloader.dataset
    config.test_dataloader.dataset = dict(type="ConcatDataset", datasets=[dataset])
    wrapped = dbnet.TextDetInferencer(config, bright[1])
    resize, pack = wrapped.network.pipeline.transforms
    assert repr(resize) == repr(detect.network.pipeline.transforms[0])
    assert type(pack).__name__ == "PackTextDetInputs"


def test_an_array_of_the_size_of_the_network(detect):
    [texts] = detect(draw_patch())
    assert list(texts) == ["polygons", "scores"]
    [polygon], [score] = texts["polygons"], texts["scores"]
    assert polygon.dtype == np.float32 and texts["scores"].dtype == np.float32
    # The clipper's vertices are integers.
    np.testing.assert_allclose(corners(polygon), corners(PATCH_POLYGON), atol=1)
    # 61 x 31 of 128 x 128 pixels are 1, the others -1: they exceed the mean by this much.
    excess = 2 * (1 - 61 * 31 / 128**2)
    assert score == pytest.approx(1 / (1 + np.exp(2 - 2 * excess)), abs=1e-5)


def test_polygons_are_in_pixels_of_the_original(detect):
    # Twice the size: pixel 40 of the network's input is 80 and 81 of the image.
    image = draw_patch((256, 256), (80, 60, 201, 121))
    [texts] = detect(image)
    expected = (PATCH_POLYGON + 0.5) * 2 - 0.5
    np.testing.assert_allclose(corners(texts["polygons"][0]), corners(expected), atol=2)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_polygons_are_in_the_displayed_orientation(detect, tmp_path, suffix):
    exif = Image.Exif()
    exif[274] = 6  # to be shown turned to the right by a quarter
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(np.rot90(draw_patch((128, 112)))).save(path, exif=exif, quality=100)
    upright, turned = detect([draw_patch((128, 112)), path])
    np.testing.assert_allclose(
        corners(turned["polygons"][0]), corners(upright["polygons"][0]), atol=1e-4
    )


def test_files_and_arrays_give_the_same(detect, tmp_path):
    image = draw_patch()
    path = write(tmp_path / "a.png", image)
    flipped = np.ascontiguousarray(image[:, ::-1])[:, ::-1]  # same pixels, negative strides
    first, *others = detect([path, Path(path), image, flipped])
    for other in others:
        np.testing.assert_array_equal(other["polygons"], first["polygons"])
        np.testing.assert_array_equal(other["scores"], first["scores"])


def draw_patches(count: int) -> list[np.ndarray]:
    """Draw images of four padded sizes, two of them of two sizes each, with patches anywhere."""
    rng = np.random.default_rng(0)
    sizes = [(128, 128), (128, 60), (60, 128), (128, 63), (256, 256), (200, 97)]
    images = []
    for index in range(count):
        width, height = sizes[index % len(sizes)]
        x, y = int(rng.integers(5, width // 2)), int(rng.integers(5, height // 2))
        images.append(draw_patch((width, height), (x, y, x + width // 3, y + height // 3)))
    return images


@pytest.mark.parametrize("batch_size", [2, 3, 64])
def test_results_do_not_depend_on_the_batch_size(detect, batch_size, monkeypatch):
    monkeypatch.setattr(inferencer_module, "BATCHES_AHEAD", 2)
    sizes = []
    start = detect.network.start
    monkeypatch.setattr(
        detect.network, "start", lambda samples: sizes.append(len(samples)) or start(samples)
    )
    images = draw_patches(20)
    single = detect(images)
    assert sizes == [1] * 20
    sizes.clear()
    for one, batched in zip(single, detect(images, batch_size=batch_size)):
        assert one["polygons"]  # some of the grey padding too
        np.testing.assert_allclose(batched["polygons"], one["polygons"], atol=1e-4)
        np.testing.assert_allclose(batched["scores"], one["scores"], atol=1e-6)
    assert sum(sizes) == 20
    assert 1 < max(sizes) <= batch_size


def test_the_network_itself_does_not_mix_the_images_of_a_batch(tmp_path):
    model = dbnet.init_detector(SCRATCH)
    torch.save(model.state_dict(), tmp_path / "random.pth")
    # A random head gives P = 0.25 nearly everywhere.
    options = {"model.postprocessor.bin_thresh": 0.25, "model.postprocessor.box_thresh": 0.0}
    config = Config.fromfile(dbnet.config.load.find_config(SCRATCH))
    config.test_dataloader.dataset.pipeline[1].scale = (128, 128)
    detect = dbnet.TextDetInferencer(config, tmp_path / "random.pth")
    detect.model.postprocessor = dbnet.init_detector(config, cfg_options=options).postprocessor
    images = draw_patches(7)
    single, batched = detect(images), detect(images, batch_size=4)
    assert sum(len(texts["polygons"]) for texts in single) > 0
    for one, other in zip(single, batched):
        np.testing.assert_allclose(other["scores"], one["scores"], atol=1e-5)


def test_the_tool_for_tests_finds_the_same(bright, detect, tmp_path):
    data_list = []
    for index, image in enumerate(draw_patches(6)):
        write(tmp_path / f"{index}.jpg", image)
        data_list.append(dict(img_path=f"{index}.jpg", instances=[]))
    (tmp_path / "train.json").write_text(json.dumps(dict(metainfo={}, data_list=data_list)))
    arguments = [*bright, "--out", str(tmp_path / "out.json"), "--data-root", str(tmp_path)]
    assert test_tool.main([*arguments, "--work-dir", str(tmp_path / "work")]) == 0
    expected = json.loads((tmp_path / "out.json").read_text())["images"]
    found = detect([image["img_path"] for image in expected], batch_size=2)
    for texts, image in zip(found, expected, strict=True):
        assert image["polygons"]
        flat = [polygon.ravel().tolist() for polygon in texts["polygons"]]
        assert flat == image["polygons"]
        np.testing.assert_array_equal(texts["scores"], np.float32(image["scores"]))


def test_the_detector_gets_the_facts_of_every_image(detect, tmp_path, monkeypatch):
    path = write(tmp_path / "a.png", draw_patch((256, 64)))
    metas = []
    start = detect.network.start
    monkeypatch.setattr(
        detect.network,
        "start",
        lambda samples: metas.extend(s["metas"] for s in samples) or start(samples),
    )
    detect([path, draw_patch((256, 64))])
    facts = dict(ori_shape=(64, 256), img_shape=(32, 128), scale_factor=(0.5, 0.5))
    for meta, name in zip(metas, (path, "")):
        assert {key: meta[key] for key in (*facts, "img_path")} == {**facts, "img_path": name}


def test_a_folder_stands_for_its_images(detect, tmp_path):
    for number in (10, 9):
        write(tmp_path / f"{number}.png", draw_patch(patch=(number, 30, 90, 60)))
    from_folder, by_name = detect(tmp_path), detect([tmp_path / "9.png", str(tmp_path / "10.png")])
    np.testing.assert_array_equal(from_folder[0]["polygons"], by_name[0]["polygons"])
    np.testing.assert_array_equal(from_folder[1]["polygons"], by_name[1]["polygons"])


def test_no_images_and_no_texts(detect):
    assert detect([]) == []
    [texts] = detect(np.zeros((1, 1, 3), np.uint8))
    assert texts["polygons"] == []
    assert texts["scores"].shape == (0,)


def test_every_kind_of_image_gives_the_same_texts(detect, tmp_path):
    image = draw_patch()
    path = write(tmp_path / "a.png", image)
    letters = np.dstack([image, np.where(image[..., 0] > 0, 255, 0).astype(np.uint8)])
    kinds = [
        *(image, image[..., 0], image.astype(np.uint16) << 8, letters),
        *(Image.fromarray(image[..., ::-1]), Image.open(path), Path(path).read_bytes()),
        *(Path(path), write(tmp_path / "letters.png", letters)),
    ]
    for kind in kinds:
        [single] = detect(kind)
        np.testing.assert_allclose(corners(single["polygons"][0]), corners(PATCH_POLYGON), atol=1)
    assert len(detect(kinds, batch_size=2)) == len(kinds)


def test_the_drawing_shows_the_outline(detect, tmp_path):
    image = draw_patch()
    original = image.copy()
    from_array, from_file = detect([image, write(tmp_path / "a.png", image)], return_vis=True)
    np.testing.assert_array_equal(image, original)
    np.testing.assert_array_equal(from_array["vis"], from_file["vis"])
    changed = (from_array["vis"] != image).any(axis=2)
    assert changed[15, 26:114].mean() > 0.9  # the upper side of the polygon
    assert not changed[35:55, 45:95].any()


def test_crops_on_request(detect):
    [found] = detect(draw_patch(), return_crops=True)
    [crop] = found["crops"]
    assert crop.shape == (60, 90, 3)  # of PATCH_POLYGON, 25..115 x 15..75
    assert crop[30, 45].min() == 255 and crop[3, 3].max() == 0


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_stream_goes_on_after_an_unreadable_image(detect, tmp_path, batch_size):
    good = write(tmp_path / "good.png", draw_patch())
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(good).read_bytes()[:200])
    sources = [str(bad), good, str(tmp_path / "missing.png"), draw_patch()]
    results = list(detect.stream(sources, batch_size))
    assert [isinstance(result, UserError) for result in results] == [True, False, True, False]
    assert "bad.png: damaged" in str(results[0])
    assert "missing.png: No such file" in str(results[2])
    np.testing.assert_array_equal(results[1]["polygons"], results[3]["polygons"])
    with pytest.raises(UserError, match=r"bad\.png"):
        detect(sources, batch_size)


def test_a_stream_takes_sources_as_it_needs_them(detect):
    taken = []
    sources = (taken.append(i) or draw_patch() for i in range(100))
    stream = detect.stream(sources, batch_size=2)
    assert taken == []
    next(stream)
    # In chunks: one whose texts are found, two in the network or waiting for it, two being read.
    chunk = 2 * inferencer_module.BATCHES_AHEAD
    assert chunk <= len(taken) <= 5 * chunk < 100


def test_an_image_whose_side_would_vanish_has_no_texts(detect):
    for shape in ((1, 600, 3), (600, 1, 3), (1, 200, 3)):  # 128 x 0.2, 0.2 x 128, 128 x 0.6
        assert detect(np.zeros(shape, np.uint8))[0]["polygons"] == []


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((9, 8, 2), np.uint8), ValueError, r"shape \(9, 8, 2\) and dtype uint8"),
        (np.zeros(9, np.uint8), ValueError, r"shape \(9,\)"),
        (np.zeros((3, 9, 8), np.uint8), ValueError, r"shape \(3, 9, 8\)"),
        (np.zeros((2, 9, 8, 3), np.uint8), ValueError, r"shape \(2, 9, 8, 3\)"),
        (np.zeros((0, 8, 3), np.uint8), ValueError, r"shape \(0, 8, 3\)"),
        (np.zeros((9, 8, 3), np.float32), TypeError, r"shape \(9, 8, 3\) and dtype float32"),
        ([torch.zeros(9, 8, 3)], TypeError, "got Tensor"),
        ([None], TypeError, "got NoneType"),
    ],
)
def test_other_arrays_are_refused_with_shape_and_type(detect, image, error, message):
    with pytest.raises(error, match=message):
        detect(image)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_an_image_at_least(detect, batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
        detect(draw_patch(), batch_size=batch_size)


def test_weights_lie_as_the_inputs_do_and_give_the_same(bright):
    detector = dbnet.init_detector(*bright)
    weight = detector.backbone.conv1.weight if hasattr(detector.backbone, "conv1") else None
    weights = [p for p in detector.parameters() if p.ndim == 4] if weight is None else [weight]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)
    x = torch.rand(1, 3, 64, 96).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        found = detector(x)
        expected = detector.to(memory_format=torch.contiguous_format)(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_memory_is_given_back_after_every_batch(bright, monkeypatch):
    detect = dbnet.TextDetInferencer(*bright)
    calls = []
    monkeypatch.setattr(detect.freed, "give_back", lambda: calls.append(1))
    detect([draw_patch()] * 3, batch_size=2)
    assert len(calls) == 2
