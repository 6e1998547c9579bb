"""`dbnet tune`."""

import json

import cv2
import numpy as np
import pytest

from dbnet.cli import test as test_tool
from dbnet.cli import tune as tune_tool
from dbnet.config.load import load_config
from tests.bright import write_bright

# A white line of 200 x 10 pixels. The paper's way grows it by 1.5 * 2000 / 420 = 7.1 pixels, to an
# IoU of .63 with the text that targets shrink to it, for which D is 13.1.
LINE = (28, 60, 228, 70)
GROWN = [28 - 13.1, 60 - 13.1, 228 + 13.1, 70 + 13.1]


@pytest.fixture
def bright(tmp_path):
    config, checkpoint = write_bright(tmp_path)
    for name, count in (("train", 2), ("others", 2)):
        data_list = []
        for i in range(count):
            image = np.zeros((128, 256, 3), np.uint8)
            image[LINE[1] : LINE[3] + 1, LINE[0] : LINE[2] + 1] = 255
            cv2.imwrite(str(tmp_path / f"{name}_{i}.png"), image)
            left, top, right, bottom = GROWN
            polygon = [left, top, right, top, right, bottom, left, bottom]
            instances = [dict(polygon=polygon, ignore=False)]
            data_list.append(dict(img_path=f"{name}_{i}.png", instances=instances))
        content = dict(metainfo={}, data_list=data_list)
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return config, checkpoint


def test_long_lines_fit_after_tuning(bright, tmp_path, capsys):
    config, checkpoint = bright
    out = tmp_path / "tuned.py"
    given = [config, checkpoint, "--ann-file", "others.json", "--out", str(out), "--by"]
    given += ["hmean_iou_mean", "--test-sizes", "256,128", "--work-dir", str(tmp_path / "work")]
    assert tune_tool.main(given) == 0
    printed = capsys.readouterr().out
    assert "hmean_iou_mean 1.0000, 95 % interval 1.0000 to 1.0000, by" in printed
    assert "higher in 100.0% of the resamples" in printed and "*" in printed
    settings = load_config(str(out))
    assert settings.test_dataloader.dataset.pipeline[1].scale == (256, 128)
    assert settings.model.backbone.type == "GainBackbone"
    assert test_tool.main([str(out), checkpoint, "--work-dir", str(tmp_path / "work")]) == 0
    assert "1.0000 at IoU 0.8; mean IoU 0.9" in capsys.readouterr().out  # of ties the closest


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ([], "2 of the 2 images to tune on are of the config's test set"),
        (["--ann-file", "none.json"], "none.json"),
        (["--ann-file", "others.json", "--max-gigabytes", "1e-8"], "raise --max-gigabytes"),
        (["--cfg-options", "model.postprocessor.type=Other"], "Other"),
    ],
)
def test_mistakes_are_one_line(bright, tmp_path, capsys, options, line):
    out = tmp_path / "tuned.py"
    given = [*bright, "--out", str(out), "--work-dir", str(tmp_path / "work"), *options]
    assert tune_tool.main(given) in (1, 2)
    error = capsys.readouterr().err
    assert line in error and "Traceback" not in error
    assert not out.exists()


def test_nothing_is_overwritten(bright, tmp_path, capsys):
    out = tmp_path / "tuned.py"
    out.write_text("mine")
    assert tune_tool.main([*bright, "--ann-file", "others.json", "--out", str(out)]) in (1, 2)
    assert "is there already" in capsys.readouterr().err
    assert out.read_text() == "mine"
