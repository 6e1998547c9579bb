import json
import zipfile

import numpy as np
import pytest
import torch

from dbnet.cli import test as test_tool
from dbnet.config.load import load_config
from dbnet.errors import UserError
from dbnet.evaluation.files import (
    evaluate_predictions,
    read_ground_truth,
    read_predictions,
    round_predictions,
)
from dbnet.evaluation.submission import (
    check_submission_path,
    parse_submission,
    to_submission_quads,
    write_submission,
)
from dbnet.geometry import signed_area
from dbnet.registry import MODELS
from tests.evaluation.test_evaluate import FAR, SQUARE, numbers, run, write_zip
from tests.evaluation.test_official_protocol import random_quad
from tests.scenes import write_config, write_scenes

# --- Rounding and writing ---

ROUNDINGS = {
    "whole": (SQUARE, SQUARE),
    "nearest, halves to even": ("0.5,0.4,10.6,-0.4,9.5,10,-0.6,10", "0,0,11,0,10,10,-1,10"),
    "counter-clockwise": ("0,0,0,10,10,10,10,0", SQUARE),
    "starts anywhere": ("10,10,0,10,0,0,10,0", "10,10,0,10,0,0,10,0"),
    "loses its area": ("0,0,3,0.2,2,0.4,0,0.3", "0,0,3,0,2,0,0,0"),
    # Twice the area is 4 * 1.7 - 2.2 * 2.6 = 1.08 (clockwise), but of the rounded one, (0, 0),
    # (4, 3), (3, 2), (0, 0), it is 4 * 2 - 3 * 3 = -1: turned around.
    "turned by rounding": ("0,0.4,4,2.6,2.6,2.1,0,0.4", "0,0,0,0,3,2,4,3"),
    "one point": ("3.4,4", "3,4,3,4,3,4,3,4"),
}


@pytest.mark.parametrize(("polygon", "quad"), ROUNDINGS.values(), ids=ROUNDINGS)
def test_rounding(polygon, quad):
    polygon = np.float32(polygon.split(",")).reshape(-1, 2)
    before = polygon.copy()
    (rounded,) = to_submission_quads([polygon])
    assert numbers(rounded) == quad
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(polygon, before)


def test_polygon_becomes_its_least_rectangle():
    # A regular pentagon-like arch over a base of 20 x 10: all inside the box of 20 x 12.
    arch = np.float32([[0, 0], [5, -2], [15, -2], [20, 0], [20, 10], [0, 10]])
    (quad,) = to_submission_quads([arch])
    assert sorted(map(tuple, quad.tolist())) == [(0, -2), (0, 10), (20, -2), (20, 10)]
    assert signed_area(quad) == 20 * 12
    (line,) = to_submission_quads([np.float32([[0, 0], [5, 5], [9, 9]])])
    assert set(map(tuple, line.tolist())) == {(0, 0), (9, 9)}


def test_submission_holds_a_file_for_every_image(tmp_path):
    images = [
        dict(img_path="a/img_10.jpg", polygons=[[0.2, 0, 10, 0, 10, 10, 0, 10], [50] * 6]),
        dict(img_path="b\\img_2.png", polygons=[]),
    ]
    path = tmp_path / "new" / "submit.zip"
    write_submission(path, images)
    first = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name).decode() for name in archive.namelist()}
    assert contents == {
        "res_img_10.txt": f"{SQUARE}\n50,50,50,50,50,50,50,50\n",
        "res_img_2.txt": "",
    }
    write_submission(path, images)  # an earlier submission is replaced
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["submit.zip"]


def test_submission_never_replaces_another_file(tmp_path):
    write_zip(tmp_path / "photos.zip", {"res_img_1.txt": "", "photo.jpg": "x"})
    (tmp_path / "damaged.zip").write_bytes(b"PK")
    (tmp_path / "folder.zip").mkdir()
    for name in ("photos.zip", "damaged.zip", "folder.zip"):
        with pytest.raises(UserError, match=rf"{name} is there already and no submission"):
            write_submission(tmp_path / name, [])
    with pytest.raises(UserError, match=r"results\.json: a submission is a zip"):
        check_submission_path(tmp_path / "results.json")
    assert zipfile.ZipFile(tmp_path / "photos.zip").read("photo.jpg") == b"x"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        write_submission(tmp_path / "file" / "s.zip", [])


def test_two_images_of_one_name_cannot_be_submitted(tmp_path):
    images = [dict(img_path=f"{folder}/img_1.jpg", polygons=[]) for folder in "ab"]
    with pytest.raises(UserError, match=r"res_img_1\.txt.*b/img_1\.jpg"):
        write_submission(tmp_path / "s.zip", images)
    assert not list(tmp_path.iterdir())


def test_full_disk_leaves_the_earlier_submission(tmp_path, monkeypatch):
    path = tmp_path / "s.zip"
    write_submission(path, [])
    before = path.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", fail)
    with pytest.raises(UserError, match=r"s\.zip: No space left on device"):
        write_submission(path, [dict(img_path="img_1.jpg", polygons=[])])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.zip"]


def test_evaluating_the_zip_equals_evaluating_rounded_results(tmp_path):
    rng = np.random.default_rng(0)
    truths, images = {}, []
    for index in range(40):
        texts = [random_quad(rng) for _ in range(6)]
        truths[f"gt_img_{index}.txt"] = "\n".join(f"{numbers(t)},a" for t in texts)
        moved = [np.float32(t) + rng.normal(0, 2, (4, 2)).astype(np.float32) for t in texts]
        moved.append(rng.uniform(0, 60, (7, 2)).astype(np.float32))
        entry = dict(img_path=f"x/img_{index}.jpg", scores=rng.random(7).tolist())
        images.append(entry | dict(polygons=[m.ravel().tolist() for m in moved]))
    (tmp_path / "results.json").write_text(json.dumps(dict(metrics={}, images=images)))
    write_submission(tmp_path / "submit.zip", images)
    gt = read_ground_truth(write_zip(tmp_path / "gt.zip", truths))

    zipped = read_predictions(tmp_path / "submit.zip")
    results = read_predictions(tmp_path / "results.json")
    rounded = round_predictions(results)
    assert zipped.keys() == rounded.keys() == gt.keys()
    for stem, prediction in zipped.items():
        np.testing.assert_array_equal(prediction.polygons, rounded[stem].polygons)
    metrics = evaluate_predictions(gt, zipped)
    assert metrics == evaluate_predictions(gt, rounded)
    assert 0.2 < metrics["icdar/official_hmean"] < 0.9
    assert metrics != {key: evaluate_predictions(gt, results)[key] for key in metrics}


def test_submission_lines_may_have_spaces_and_any_line_ends():
    quads = parse_submission(f"\ufeff {SQUARE.replace(',', ' , ')} \r\n\n-1{FAR[2:]}".encode(), "f")
    assert [numbers(quad) for quad in quads] == [SQUARE, f"-1{FAR[2:]}"]


# --- test.py --submit ---


@pytest.mark.slow
def test_test_tool_writes_a_submission(tmp_path, capsys):
    (tmp_path / "scenes").mkdir()
    scenes = write_scenes(tmp_path / "scenes", 3)
    config = write_config(scenes, "tiny", epochs=1)
    torch.save(MODELS.build(load_config(config).model).state_dict(), tmp_path / "model.pth")
    argv = [config, str(tmp_path / "model.pth"), "--work-dir", str(tmp_path / "work")]
    (tmp_path / "mine.zip").write_text("precious")
    assert test_tool.main([*argv, "--submit", str(tmp_path / "mine.zip")]) == 1
    assert not (tmp_path / "work").exists()  # before anything is run

    out, submit = tmp_path / "results.json", tmp_path / "submit.zip"
    options = [
        "--cfg-options",
        "model.postprocessor.bin_thresh=0.2",
        "model.postprocessor.box_thresh=0.1",
    ]
    assert test_tool.main([*argv, "--out", str(out), "--submit", str(submit), *options]) == 0
    rounded = round_predictions(read_predictions(out))
    zipped = read_predictions(submit)
    assert len(zipped) == 3
    assert sum(len(prediction.polygons) for prediction in zipped.values()) > 0
    for stem, prediction in zipped.items():
        np.testing.assert_array_equal(prediction.polygons, rounded[stem].polygons)
    capsys.readouterr()
    for pred in (out, submit):
        assert run(capsys, pred, scenes / "train.json")[0] == 0
