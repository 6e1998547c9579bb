"""Pictures at URLs and in archives: in training, checks, inference and preparation."""

import json
import os
import shutil
import tarfile
import zipfile

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from dbnet.cli import browse, check, infer, prepare
from dbnet.config.load import load_config
from dbnet.datasets import EpochKeySampler, TextDetDataset
from dbnet.datasets.device.shares import FileShare
from dbnet.datasets.device.store import Source
from dbnet.errors import ImageError, UserError
from dbnet.evaluation.submission import submission_names
from dbnet.images import MAX_PIXELS, read_image
from dbnet.registry import DATASETS
from dbnet.remote import objects
from tests.bright import draw_patch, write_bright
from tests.remote.server import serving
from tests.remote.test_archives import write_tar, write_zip
from tests.scenes import write_config, write_scenes

COUNT = 6


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DBNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "WAITS", (0.01,))
    objects._dead.clear()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = write_scenes(tmp_path_factory.mktemp("scenes"), count=COUNT)
    pictures = {path.name: path.read_bytes() for path in root.glob("*.png")}
    write_zip(root / "all.zip", pictures, zipfile.ZIP_DEFLATED)
    write_tar(root / "all.tar", pictures)
    return root


@pytest.fixture
def server(scenes):
    with serving(scenes) as running:
        yield running


def moved(scenes, prefix, suffix="", name="moved"):
    """Write the annotation anew, with pictures that lie elsewhere."""
    content = json.loads((scenes / "train.json").read_text())
    for entry in content["data_list"]:
        entry["img_path"] = f"{prefix}{entry['img_path']}{suffix}"
    path = scenes / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def dataset_of(scenes, ann_file="train.json", **changes):
    config = load_config(write_config(scenes, "config", epochs=1))
    return DATASETS.build({**config.train_dataloader.dataset, "ann_file": str(ann_file), **changes})


def batches(dataset, workers=0):
    sampler = EpochKeySampler(dataset, seed=0)
    return [s["inputs"] for s in DataLoader(dataset, None, sampler=sampler, num_workers=workers)]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", ["zip", "tar", "near", "http"])
def test_samples_do_not_depend_on_the_place(scenes, server, place, workers):
    prefix, suffix = {
        "zip": ("zip://", f"::{scenes}/all.zip"),
        "tar": ("tar://", f"::{scenes}/all.tar"),
        "near": ("zip://", "::all.zip"),  # relative to the annotation's folder
        "http": (f"{server.url}/", ""),
    }[place]
    expected = batches(dataset_of(scenes))
    found = batches(dataset_of(scenes, moved(scenes, prefix, suffix)), workers)
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))


def test_all_the_data_at_a_url(scenes, server):
    expected, root = batches(dataset_of(scenes)), f"{server.url}/?key=SECRET"
    dataset = dataset_of(scenes, data_root=root)
    assert dataset.ann_file == f"{server.url}/train.json"
    assert dataset.annotations.path_of(0) == f"{server.url}/img_0.png?key=SECRET"
    found = batches(dataset)
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))
    with pytest.raises(UserError, match=f"^{server.url}/none.json: not found"):
        dataset_of(scenes, "none.json", data_root=root)
    write_zip(scenes / "set.zip", {p.name: p.read_bytes() for p in scenes.glob("*.png")})
    with zipfile.ZipFile(scenes / "set.zip", "a") as archive:
        archive.write(scenes / "train.json", "train.json")
    found = batches(dataset_of(scenes, data_root=f"zip://::{scenes}/set.zip"))
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("secret", ["http://me:SECRET@host/set", "https://host/set?key=SECRET"])
def test_a_config_has_no_secrets(scenes, secret):
    config = write_config(scenes, "secrets", epochs=1)
    with pytest.raises(UserError, match="leave password and query out") as caught:
        load_config(config, data_root=secret)
    assert "SECRET" not in str(caught.value)


def test_a_picture_that_is_gone_in_the_middle_of_an_epoch(scenes, server, caplog):
    path = moved(scenes, f"{server.url}/", "?key=SECRET")
    dataset = dataset_of(scenes, path, max_damaged=0.2)
    server.faults["img_2.png"] = [404] * 9
    expected = batches(dataset_of(scenes))
    found = batches(dataset)
    keys = [key.item for key in EpochKeySampler(dataset, seed=0)]
    different = [k for k, a, b in zip(keys, expected, found, strict=True) if not (a == b).all()]
    assert different == [2]
    [warning] = [r.message for r in caplog.records if "img_2" in r.message]
    assert warning == f"image {server.url}/img_2.png: not found (HTTP 404); the next image is taken"
    server.faults["img_3.png"] = [403] * 9
    shutil.rmtree(os.environ["DBNET_CACHE"])
    with pytest.raises(UserError, match="2 of 6 images damaged") as caught:
        batches(dataset)
    assert "SECRET" not in str(caught.value) + caplog.text


def test_pictures_on_the_device(scenes, server):
    server.faults["img_1.png"] = [404]
    dataset = dataset_of(scenes, moved(scenes, f"{server.url}/"), max_damaged=0.2)
    share = FileShare(dataset, range(COUNT))
    assert share.shapes() == {item: (128, 128) for item in range(COUNT) if item != 1}
    assert isinstance(share.failed[1], ImageError)
    versions = {item: [Source(0, (128, 128))] for item in share.shapes()}
    for item, [image] in share.pictures(versions):
        assert (image == read_image(scenes / f"img_{item}.png")).all()


def test_check_and_browse(scenes, tmp_path, capsys):
    path = moved(scenes, "zip://", f"::{scenes}/all.zip")
    assert check.main([str(path)]) == 0
    text = path.read_text().replace("zip://img_4", "zip://img_40")
    path.write_text(text.replace("zip://img_5.png::", "http://127.0.0.1:1/img_5.png?key=SECRET#"))
    assert check.main([str(path), "--json", str(tmp_path / "found.json")]) == 1
    output = capsys.readouterr().out + (tmp_path / "found.json").read_text()
    assert "is not in the archive" in output and "connection refused" in output
    assert "http://127.0.0.1:1/img_5.png" in output and "SECRET" not in output
    browsed = moved(scenes, "zip://", "::all.zip", "browsed")
    extra = f'train_dataloader["dataset"]["ann_file"] = "{browsed}"'
    config = write_config(scenes, "browsed", epochs=1, extra=extra)
    assert browse.main([config, "--out", str(tmp_path / "drawn"), "--number", "2"]) == 0
    drawn = sorted(p.name for p in (tmp_path / "drawn").iterdir())
    assert len(drawn) == 3 and all("img_" in name for name in drawn[:2])


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    config, checkpoint = write_bright(tmp_path_factory.mktemp("bright"))
    return ["--config", config, "--checkpoint", checkpoint, "--device", "cpu"]


@pytest.fixture
def photos(tmp_path):
    """A served folder with an archive of two pictures of odd names, and a picture."""
    folder = tmp_path / "photos"
    folder.mkdir()
    content = cv2.imencode(".png", draw_patch())[1].tobytes()
    (folder / "a 1.png").write_bytes(content)
    inside = {"in/100% #1?.png": content, "other/100% #1?.png": content, "notes.txt": b""}
    write_zip(folder / "photos.zip", inside)
    with serving(folder) as running:
        yield running


def test_infer_urls_and_archives(bright, photos, tmp_path, capsys):
    local = photos.folder / "photos.zip"
    sources = [str(local), f"{photos.url}/photos.zip?key=SECRET"]
    sources += [f"{photos.url}/a%201.png?key=SECRET", f"{photos.url}/%2e%2e%2fx.png?key=SECRET"]
    out = tmp_path / "out"
    assert infer.main([*sources, "--out", str(out), *bright]) == 1
    output = capsys.readouterr()
    assert f"error: image {photos.url}/%2e%2e%2fx.png: not found (HTTP 404)" in output.err
    assert "5 images, 1 not readable, 5 texts" in output.out
    results = (out / "results.json").read_text()
    names = [image["img_path"] for image in json.loads(results)["images"]]
    inner = ("in/100% #1?.png", "other/100% #1?.png")
    archives = (local, f"{photos.url}/photos.zip")
    assert names == [
        *(f"zip://{n}::{a}" for a in archives for n in inner),
        f"{photos.url}/a%201.png",
    ]
    assert "SECRET" not in results + output.err + output.out
    drawings = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg")}
    stems = ["100% #1_", *(f"100% #1__{n}" for n in (2, 3, 4)), "a 1"]
    assert drawings == {f"out/{stem}.jpg" for stem in stems}


def test_label_files_of_pictures_in_archives(bright, photos, tmp_path):
    url, out = f"{photos.url}/a%201.png?key=SECRET", tmp_path / "labels"
    assert infer.main([url, "--out", str(out), "--format", "labelme", *bright]) == 0
    label = json.loads((out / "a 1.json").read_text())
    assert label["imagePath"] == f"{photos.url}/a%201.png"
    twins = str(photos.folder / "photos.zip")
    assert infer.main([twins, "--out", str(out), "--format", "labelme", *bright]) == 1


def test_names_in_a_submission():
    urls = ["zip://in/img_7.jpg::/data/test.zip", "https://host/img_8.jpg?key=1.png", "a/img_9.jpg"]
    assert submission_names(urls) == ["res_img_7.txt", "res_img_8.txt", "res_img_9.txt"]


# ---------------------------------------------------------------- prepare


@pytest.fixture
def official(tmp_path):
    """The four downloads of ICDAR2015 as folders, with two training images and one test image."""
    raw = tmp_path / "raw"
    train, test = "ch4_training_images", "ch4_test_images"
    truths = {train: "ch4_training_localization_transcription_gt", test: "Challenge4_Test_Task1_GT"}
    for folder, count in ((train, 2), (test, 1)):
        for number in range(1, count + 1):
            for name in (folder, truths[folder]):
                (raw / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(raw / folder / f"img_{number}.jpg"), np.zeros((30, 40, 3), np.uint8))
            line = f"0,0,{number},0,4,4,0,4,word\n"
            (raw / truths[folder] / f"gt_img_{number}.txt").write_text(line)
    return raw


def zip_all(folder, target):
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    return target


def entries_of(out, part="train"):
    found = json.loads((out / f"textdet_{part}.json").read_text())["data_list"]
    return [entry.pop("img_path") for entry in found], found


def run(name, raw, out, *options):
    return prepare.main([name, "--raw", str(raw), "--out", str(out), *options])


def test_zips_stay_as_they_are(official, tmp_path):
    assert run("icdar2015", official, tmp_path / "unpacked") == 0
    for folder in list(official.iterdir()):
        zip_all(folder, official / f"{folder.name}.zip")
        shutil.rmtree(folder)
    out = tmp_path / "out"
    assert run("icdar2015", official, out, "--in-place") == 0
    assert sorted(p.name for p in out.iterdir()) == ["textdet_test.json", "textdet_train.json"]
    for part, count in (("train", 2), ("test", 1)):
        names, entries = entries_of(out, part)
        assert entries == entries_of(tmp_path / "unpacked", part)[1]
        stem = "ch4_training_images" if part == "train" else "ch4_test_images"
        archive = f"{official}/{stem}.zip"
        assert names == [f"zip://img_{i + 1}.jpg::{archive}" for i in range(count)]
    dataset = TextDetDataset("textdet_train.json", str(out), [dict(type="LoadImage")])
    assert dataset[next(iter(EpochKeySampler(dataset, seed=0)))]["img"].shape == (30, 40, 3)


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("inside", ["set/train/", "set/"])
def test_a_folder_of_your_own_in_an_archive(official, tmp_path, suffix, inside):
    folder = tmp_path / "mine" / inside
    folder.mkdir(parents=True)
    for path in (*official.glob("*training_images/*"), *official.glob("*transcription_gt/*")):
        shutil.copy(path, folder)
    content = sorted(p.relative_to(tmp_path / "mine") for p in folder.iterdir())
    archive = tmp_path / f"a{suffix}"
    if suffix == ".zip":
        zip_all(tmp_path / "mine", archive)
    else:
        with tarfile.open(archive, "w") as written:
            for name in content:
                written.add(tmp_path / "mine" / name, name)
    assert run("icdar_folder", archive, tmp_path / "out", "--in-place") == 0
    names, entries = entries_of(tmp_path / "out")
    kind = suffix[1:]
    assert names == [f"{kind}://{inside}img_{i}.jpg::{archive}" for i in (1, 2)]
    assert [entry["instances"][0]["text"] for entry in entries] == ["word", "word"]


def test_images_and_labels_in_two_archives(official, tmp_path):
    images = zip_all(official / "ch4_training_images", tmp_path / "i.zip")
    labels = zip_all(official / "ch4_training_localization_transcription_gt", tmp_path / "l.zip")
    options = ["--images", str(images), "--labels", str(labels), "--in-place"]
    assert run("icdar_folder", tmp_path, tmp_path / "out", *options) == 0
    assert entries_of(tmp_path / "out")[0] == [f"zip://img_{i}.jpg::{images}" for i in (1, 2)]


def test_synthtext_in_its_zip(tmp_path):
    from tests.labels.test_public_datasets import save_synthtext

    save_synthtext(tmp_path / "raw" / "SynthText")
    assert run("synthtext", tmp_path / "raw", tmp_path / "unpacked") == 0
    archive = zip_all(tmp_path / "raw", tmp_path / "SynthText.zip")
    shutil.rmtree(tmp_path / "raw")
    for raw, out in ((tmp_path, "out"), (archive, "of_the_zip")):
        assert run("synthtext", raw, tmp_path / out, "--in-place") == 0
        names, entries = entries_of(tmp_path / out)
        assert names[0] == f"zip://SynthText/8/a_1_0.jpg::{archive}"
        assert entries == entries_of(tmp_path / "unpacked")[1]


def test_labels_of_a_tool_in_an_archive(tmp_path, scenes):
    folder = tmp_path / "mine"
    (folder / "imgs").mkdir(parents=True)
    for path in scenes.glob("img_*.png"):
        shutil.copy(path, folder / "imgs")
    content = json.loads((scenes / "train.json").read_text())
    (folder / "textdet_train.json").write_text(json.dumps(content))
    archive = zip_all(folder, tmp_path / "a.zip")
    assert run("mmocr", archive, tmp_path / "out", "--in-place") == 0
    names, _ = entries_of(tmp_path / "out")
    assert names == [f"zip://imgs/img_{i}.png::{archive}" for i in range(COUNT)]


@pytest.mark.parametrize(
    ("options", "member", "expected"),
    [
        ([], "1.jpg", "a.zip is an archive; add --in-place, or unpack it"),
        (["--in-place", "--copy"], "1.jpg", "--copy and --in-place exclude each other"),
        (["--in-place"], "../1.jpg", "a.zip: the entry '../1.jpg' leaves the folder"),
        (["--in-place"], "in.zip", "no images in"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, options, member, expected):
    archive = write_zip(tmp_path / "a.zip", {member: b"1"})
    assert run("icdar_folder", archive, tmp_path / "out", *options) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and expected in error
    assert not (tmp_path / "out").exists()


def test_a_damaged_label_in_an_archive_is_one_line(official, tmp_path, capsys):
    archive = zip_all(official / "ch4_training_images", tmp_path / "i.zip")
    labels = zip_all(official / "ch4_training_localization_transcription_gt", tmp_path / "l.zip")
    content = bytearray(labels.read_bytes())
    content[content.index(b"0,0,1")] ^= 1
    labels.write_bytes(content)
    options = ["--images", str(archive), "--labels", str(labels), "--in-place"]
    assert run("icdar_folder", tmp_path, tmp_path / "out", *options) == 1
    error = capsys.readouterr().err
    assert f"{labels}/gt_img_1.txt: is damaged or cut off in the archive" in error


def test_limits_agree():
    """A picture of the most pixels, uncompressed, is just within the limit of bytes."""
    assert 3 * MAX_PIXELS <= objects.MOST < 3 * (MAX_PIXELS + 1000)
