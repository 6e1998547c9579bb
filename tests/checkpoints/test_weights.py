"""The model that comes with the package."""

import hashlib
import json

import cv2
import numpy as np
import pytest

import dbnet
from dbnet import weights
from dbnet.checkpoints.download import fetch
from dbnet.cli.infer import main
from dbnet.datasets.synthetic_text_dataset import SyntheticTextDataset
from dbnet.errors import UserError
from dbnet.evaluation.metrics import HmeanIOUMetric
from dbnet.synthetic.page import draw_page
from dbnet.weights import SHIPPED, shipped_model


@pytest.mark.parametrize("name", SHIPPED)
def test_file_is_small_whole_and_has_a_card(name):
    config, checkpoint = shipped_model(name)
    content = checkpoint.read_bytes()
    assert len(content) <= 6e6
    digest = hashlib.sha256(content).hexdigest()
    assert checkpoint.name == f"{config}-{digest[:8]}.pth"
    card = checkpoint.with_suffix(".md").read_text()
    for part in (digest, "`icdar/hmean`", "`icdar/official_hmean`", "Apache-2.0", "CC BY 4.0"):
        assert part in card
    assert sorted(p.suffix for p in checkpoint.parent.glob(f"{config}-*")) == [".md", ".pth"]


@pytest.fixture(scope="module")
def detector():
    return dbnet.TextDetInferencer()


def test_it_finds_words_without_config_or_network(detector):
    # Words that the project draws itself, which are no part of what it was trained on.
    scenes = SyntheticTextDataset(
        (640, 480), length=8, seed=5, difficulty=0.0, num_words=(3, 6), test_mode=True
    )
    metric = HmeanIOUMetric()
    for index in range(len(scenes)):
        sample = scenes[index]
        meta = dict(
            img_path=f"{index}.png", gt_polygons=sample["polygons"], gt_ignored=sample["ignored"]
        )
        metric.process(dict(metas=[meta]), detector([sample["img"]]))
    metrics = metric.evaluate(len(scenes))
    assert metrics["icdar/official_hmean"] > 0.6  # large words on calm grounds; see the card


def test_an_empty_picture_has_no_text(detector):
    [found] = detector(np.full((300, 400, 3), 128, np.uint8))
    assert found["polygons"] == [] and found["scores"].shape == (0,)


def test_command_without_config(tmp_path):
    picture = np.full((240, 640, 3), 255, np.uint8)
    cv2.putText(picture, "HARBOUR", (120, 140), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (0, 0, 0), 5)
    cv2.imwrite(str(tmp_path / "sign.png"), picture)
    assert main([str(tmp_path / "sign.png"), "--out", str(tmp_path / "out")]) == 0
    [image] = json.loads((tmp_path / "out" / "results.json").read_text())["images"]
    [polygon] = image["polygons"]
    (left, top), (right, bottom) = (
        np.reshape(polygon, (-1, 2)).min(axis=0),
        np.reshape(polygon, (-1, 2)).max(axis=0),
    )
    (width, height), _ = cv2.getTextSize("HARBOUR", cv2.FONT_HERSHEY_SIMPLEX, 2.0, 5)
    assert abs(left - 120) < 20 and abs(right - 120 - width) < 20
    assert abs(top - 140 + height) < 20 and abs(bottom - 140) < 20


def test_words_on_their_side():
    page = draw_page(np.random.default_rng(7), (640, 480), difficulty=0.0)
    found = {}
    for name in SHIPPED:
        detect = dbnet.TextDetInferencer(checkpoint=name)
        for quarters in (0, 1):
            [result] = detect([np.ascontiguousarray(np.rot90(page.image, quarters))])
            found[name, quarters] = len(result["polygons"]) / len(page.polygons)
    assert found["small", 0] > 0.9 and found["turned", 0] > 0.9 and found["turned", 1] > 0.9
    assert found["small", 1] < 0.6
    assert found["tiny", 0] > 0.9 and found["tiny", 1] > 0.9


def test_models_by_name():
    assert fetch("dbnet://tiny") == shipped_model("tiny").checkpoint
    with pytest.raises(UserError, match="large: the package has the models small, "):
        fetch("dbnet://large")


def test_installation_without_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(
        UserError, match="holds no weights of the model small: install the package whole"
    ):
        dbnet.TextDetInferencer()
