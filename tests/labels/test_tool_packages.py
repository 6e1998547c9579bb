"""The tools' own packages open what is written, and what they write is read."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from dbnet.cli.prepare import main as prepare
from dbnet.geometry import rectangle
from dbnet.labels.entries import Instance
from dbnet.labels.label_files import fill, make_pages, write_label_files
from dbnet.labels.writers import WRITERS

QUAD = np.array([[20.0, 30.0], [120.0, 32.0], [119.0, 60.0], [19.0, 58.0]])
BOX = rectangle(150, 40, 250, 80)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with 1.jpg, in which the quad and the box are texts."""
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "1.jpg"), np.zeros((200, 400, 3), np.uint8))
    return tmp_path / "photos"


def write(photos: Path, name: str) -> Path:
    pages, writer = make_pages([photos / "1.jpg"]), WRITERS[name]
    texts = [Instance(polygon, "", False) for polygon in (QUAD, BOX)]
    pages = [fill(page, writer.view, texts, "stored") for page in pages]
    write_label_files(pages, photos.parent / name, writer)
    return photos.parent / name


def read(name: str, folder: Path, photos: Path) -> list[list[float]]:
    out = folder.parent / f"again_{folder.name}"
    given = ["--labels", str(folder), "--images", str(photos)]
    assert prepare([name, "--raw", str(folder), *given, "--out", str(out)]) == 0
    [entry] = json.loads((out / "textdet_train.json").read_text())["data_list"]
    return sorted(word["bbox"] for word in entry["instances"])


BBOXES = [[19, 30, 120, 60], [150, 40, 250, 80]]


def test_pycocotools(photos: Path) -> None:
    source = write(photos, "coco") / "instances.json"
    coco = pytest.importorskip("pycocotools.coco").COCO(str(source))
    quad, box = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert coco.annToMask(box).sum() == box["area"] == 4000
    assert abs(int(coco.annToMask(quad).sum()) - quad["area"]) < 120  # a pixel of its outline


def test_supervision(photos: Path) -> None:
    sv = pytest.importorskip("supervision")
    source = str(write(photos, "coco") / "instances.json")
    data = sv.DetectionDataset.from_coco(str(photos), source, force_masks=True)
    [(_, _, found)] = list(data)
    np.testing.assert_allclose(found.xyxy, BBOXES, atol=1)
    folder = write(photos, "yolo")
    boxes = sv.DetectionDataset.from_yolo(
        str(photos), str(folder / "labels"), str(folder / "data.yaml"), is_obb=True
    )
    [(_, _, found)] = list(boxes)
    np.testing.assert_allclose(found.data["xyxyxyxy"], [QUAD, BOX], atol=0.01)
    data.as_coco(annotations_path=str(photos.parent / "sv_coco" / "instances.json"))
    data.as_pascal_voc(annotations_directory_path=str(photos.parent / "sv_voc"))
    data.as_yolo(
        annotations_directory_path=str(photos.parent / "sv_yolo" / "labels"),
        data_yaml_path=str(photos.parent / "sv_yolo" / "data.yaml"),
    )
    for name in ("coco", "voc", "yolo"):  # its VOC counts pixels from 1
        np.testing.assert_allclose(read(name, photos.parent / f"sv_{name}", photos), BBOXES, atol=2)


def test_labelme(photos: Path) -> None:
    module = pytest.importorskip("labelme._label_file", exc_type=ImportError)
    opened = module.LabelFile(str(write(photos, "labelme") / "1.json"))
    np.testing.assert_allclose([shape["points"] for shape in opened.shapes], [QUAD, BOX])
    assert opened.imagePath == "../photos/1.jpg"


def test_datumaro(photos: Path) -> None:
    datumaro = pytest.importorskip("datumaro")
    folder = write(photos, "cvat")
    shutil.copytree(photos, folder / "images")
    dataset = datumaro.Dataset.import_from(str(folder), "cvat")
    [item] = dataset
    np.testing.assert_allclose(
        [np.reshape(shape.points, (-1, 2)) for shape in item.annotations], [QUAD, BOX]
    )
    dataset.export(str(photos.parent / "dm"), "cvat", save_media=False)
    assert read("cvat", photos.parent / "dm", photos) == BBOXES


def test_label_studio_sdk(photos: Path) -> None:
    converter = pytest.importorskip("label_studio_sdk.converter")
    folder = write(photos, "labelstudio")
    [task] = json.loads((folder / "tasks.json").read_text())
    task["id"], task["annotations"][0]["completed_by"] = 1, 1
    mask = np.zeros((200, 400), np.uint8)
    mask[40:81, 150:251] = 255
    region = task["annotations"][0]["result"][1]
    rle = converter.brush.mask2rle(mask)
    region["type"], region["value"] = "brushlabels", dict(format="rle", rle=rle, brushlabels=["a"])
    (photos.parent / "ls").mkdir()
    (photos.parent / "ls" / "tasks.json").write_text(json.dumps([task]))
    assert read("labelstudio", photos.parent / "ls", photos) == BBOXES
    task["annotations"][0]["result"].pop()
    (folder / "exported.json").write_text(json.dumps([task]))
    config = (folder / "label_config.xml").read_text()
    converter = converter.Converter(config, str(photos.parent), download_resources=False)
    converter.convert_to_json_min(
        str(folder / "exported.json"), str(photos.parent / "min"), is_dir=False
    )
    assert read("labelstudio", photos.parent / "min", photos) == BBOXES[:1]
