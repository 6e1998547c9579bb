import json
import os
import re
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dbnet.apis.inferencer import TextDetInferencer
from dbnet.cli import infer as infer_tool
from dbnet.cli.infer import name_drawings
from tests.bright import PATCH_POLYGON, corners, draw_patch, write_bright


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Arguments that choose a detector of bright areas."""
    config, checkpoint = write_bright(tmp_path_factory.mktemp("bright"))
    return ["--config", config, "--checkpoint", checkpoint, "--device", "cpu"]


@pytest.fixture
def scans(tmp_path):
    """Folder with two images of a patch and, between them, a text file named as an image."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a_2.png", "a_10.png"):
        cv2.imwrite(str(folder / name), draw_patch())
    (folder / "a_3.jpg").write_text("no image")
    return folder


def errors_of(capsys) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("batch_size", ["1", "4"])
def test_images_are_searched_and_the_unreadable_one_is_told(
    bright, scans, tmp_path, capsys, batch_size
):
    out = tmp_path / "results" / "today"
    arguments = [str(scans), "--out", str(out), "--batch-size", batch_size]
    assert infer_tool.main([*arguments, *bright]) == 1
    output = capsys.readouterr()
    [error] = [line for line in output.err.splitlines() if line.startswith("error: ")]
    assert error == f"error: image {scans / 'a_3.jpg'}: not an image, or damaged"
    assert re.fullmatch(
        rf"2 images, 1 not readable, 2 texts, \d+\.\d\d s per image: {re.escape(str(out))}",
        output.out.splitlines()[-1],
    )
    results = json.loads((out / "results.json").read_text())
    assert results["metrics"] == {}
    assert [Path(image["img_path"]).name for image in results["images"]] == ["a_2.png", "a_10.png"]
    for image in results["images"]:
        [polygon], [score] = image["polygons"], image["scores"]
        quad = np.float32(polygon).reshape(4, 2)
        np.testing.assert_allclose(corners(quad), corners(PATCH_POLYGON), atol=1)
        assert 0.8 < score < 0.9  # 0.82, see the test of the API
    assert sorted(path.name for path in out.iterdir()) == ["a_10.jpg", "a_2.jpg", "results.json"]
    drawing = cv2.imread(str(out / "a_2.jpg"))
    assert drawing.shape == (128, 128, 3)
    assert (drawing[15, 30:110].max(axis=1) > 60).all()  # black without the outline


def test_all_images_readable_is_status_0(bright, scans, tmp_path, capsys):
    arguments = [str(scans / "*.png"), str(scans / "a_2.png"), "--out", str(tmp_path / "out")]
    assert infer_tool.main([*arguments, *bright]) == 0
    assert errors_of(capsys) == []
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())["images"]) == 2


def test_options_reach_the_detector(bright, scans, tmp_path, monkeypatch):
    seen = []
    stream = TextDetInferencer.stream
    monkeypatch.setattr(
        TextDetInferencer, "stream", lambda self, *args: seen.append(self) or stream(self, *args)
    )
    arguments = [str(scans / "a_2.png"), "--out", str(tmp_path / "out"), "--test-size", "64,32"]
    options = ["--cfg-options", "model.postprocessor.box_thresh=0.9"]
    assert infer_tool.main([*arguments, *bright, *options]) == 0
    [detect] = seen
    assert detect.model.postprocessor.box_thresh == 0.9
    assert detect.network.pipeline.transforms[0].scale == (64, 32)
    [image] = json.loads((tmp_path / "out" / "results.json").read_text())["images"]
    assert image["polygons"] == []


def test_equal_stems_have_drawings_of_their_own():
    images = ["x/a.jpg", "y/a.jpg", "y/a_2.png", "z/A.png", "b.tar.png"]
    names = [path.name for path in name_drawings(Path("out"), images)]
    assert names == ["a.jpg", "a_2.jpg", "a_2_2.jpg", "A_3.jpg", "b.tar.jpg"]


@pytest.mark.parametrize("existing", ["results.json", "a_2.jpg"])
def test_nothing_is_overwritten(bright, scans, tmp_path, capsys, existing):
    out = tmp_path / "out"
    out.mkdir()
    (out / existing).write_text("mine")
    assert infer_tool.main([str(scans), "--out", str(out), *bright]) == 1
    [error] = errors_of(capsys)
    assert re.search(rf"--out .*out: {existing} is there already .*choose another folder", error)
    assert [path.read_text() for path in out.iterdir()] == ["mine"]


def test_other_files_of_the_folder_stay(bright, scans, tmp_path):
    assert infer_tool.main([str(scans / "a_2.png"), "--out", str(scans), *bright]) == 0
    names = ["a_10.png", "a_2.jpg", "a_2.png", "a_3.jpg", "results.json"]
    assert sorted(path.name for path in scans.iterdir()) == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cuda:99"], "device cuda:99: cannot be used"),
        (["--cfg-options", "model.box_thresh=1"], "nearest: model.postprocessor.box_thresh"),
        (["--config", "nowhere.py"], "nowhere.py: no such file"),
        (["--checkpoint", "nowhere.pth"], "checkpoint nowhere.pth"),
        (["--out", __file__], r"test_infer\.py: is a file"),
    ],
)
def test_mistakes_are_one_line(bright, scans, tmp_path, capsys, arguments, message):
    out = ["--out", str(tmp_path / "out")]
    assert infer_tool.main([str(scans), *out, *bright, *arguments]) == 1
    [error] = errors_of(capsys)
    assert re.search(message, error)
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.parametrize("given", ["--config", "--checkpoint"])
def test_half_a_model_is_a_mistake(scans, tmp_path, capsys, given):
    value = "dbnet_r18_fpnc_quickstart" if given == "--config" else "weights.pth"
    assert infer_tool.main([str(scans), "--out", str(tmp_path / "out"), given, value]) == 1
    [error] = errors_of(capsys)
    missing = "checkpoint" if given == "--config" else "config"
    assert f"no {missing} given: give both" in error and "or neither" in error


def test_an_empty_folder_is_a_mistake(bright, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    arguments = [str(tmp_path / "empty"), "--out", str(tmp_path / "out")]
    assert infer_tool.main([*arguments, *bright]) == 1
    assert "no images in it" in errors_of(capsys)[0]


@pytest.mark.parametrize("arguments", [["a.png"], ["a.png", "--out", "x", "--batch-size", "0"]])
def test_unreadable_arguments_exit_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        infer_tool.main(arguments)
    assert stop.value.code == 2
    capsys.readouterr()


def fail_at(monkeypatch, index: int, error: BaseException) -> None:
    """Let the detector fail at an image."""
    stream = TextDetInferencer.stream

    def failing(self, sources, batch_size):
        for i, result in enumerate(stream(self, sources, batch_size)):
            if i == index:
                raise error
            yield result

    monkeypatch.setattr(TextDetInferencer, "stream", failing)


def test_an_interrupt_keeps_what_is_done(bright, scans, tmp_path, monkeypatch, capsys):
    fail_at(monkeypatch, 2, KeyboardInterrupt())  # of a_2, a_3 and a_10
    assert infer_tool.main([str(scans), "--out", str(tmp_path / "out"), *bright]) == 130
    assert "interrupted after 2 of 3 images" in capsys.readouterr().err
    [image] = json.loads((tmp_path / "out" / "results.json").read_text())["images"]
    assert image["img_path"].endswith("a_2.png")


def test_lack_of_memory_gives_a_hint(bright, scans, tmp_path, monkeypatch, capsys):
    message = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 ..."
    fail_at(monkeypatch, 0, torch.OutOfMemoryError(message))
    assert infer_tool.main([str(scans), "--out", str(tmp_path / "out"), *bright]) == 1
    assert errors_of(capsys) == [
        "error: CUDA out of memory; lower --batch-size or --test-size",
    ]


def test_lack_of_memory_keeps_what_is_done(bright, scans, tmp_path, monkeypatch):
    fail_at(monkeypatch, 2, torch.OutOfMemoryError("CUDA out of memory."))
    assert infer_tool.main([str(scans), "--out", str(tmp_path / "out"), *bright]) == 1
    assert json.loads((tmp_path / "out" / "results.json").read_text())["images"]


def test_sigterm_keeps_what_is_done(bright, scans, tmp_path, monkeypatch, capsys):
    former = signal.getsignal(signal.SIGTERM)
    draw = infer_tool.draw

    def draw_and_terminate(image, result, target):
        if target.stem == "a_10":
            os.kill(os.getpid(), signal.SIGTERM)
        draw(image, result, target)

    monkeypatch.setattr(infer_tool, "draw", draw_and_terminate)
    assert infer_tool.main([str(scans), "--out", str(tmp_path / "out"), *bright]) == 143
    assert "interrupted after 3 of 3 images" in capsys.readouterr().err
    images = json.loads((tmp_path / "out" / "results.json").read_text())["images"]
    assert [Path(image["img_path"]).name for image in images] == ["a_2.png", "a_10.png"]
    assert [path.name for path in (tmp_path / "out").glob("*.jpg")] == ["a_2.jpg"]
    assert signal.getsignal(signal.SIGTERM) is former


def test_a_bug_keeps_what_is_done(bright, scans, tmp_path, monkeypatch):
    fail_at(monkeypatch, 2, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        infer_tool.main([str(scans), "--out", str(tmp_path / "out"), *bright])
    [image] = json.loads((tmp_path / "out" / "results.json").read_text())["images"]
    assert image["img_path"].endswith("a_2.png")


def test_a_folder_stays_free_if_nothing_was_done(bright, scans, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_at(patch, 0, torch.OutOfMemoryError("CUDA out of memory."))
        assert infer_tool.main([str(scans), "--out", str(tmp_path / "out"), *bright]) == 1
    assert not list((tmp_path / "out").iterdir())
    arguments = [str(scans / "*.png"), "--out", str(tmp_path / "out")]
    assert infer_tool.main([*arguments, *bright]) == 0  # with other options, it is let in


def test_other_errors_are_not_swallowed(bright, scans, tmp_path, monkeypatch):
    fail_at(monkeypatch, 0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        infer_tool.main([str(scans), "--out", str(tmp_path / "out"), *bright])


def test_a_terminal_shows_the_time_left(bright, scans, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert infer_tool.main([str(scans), "--out", str(tmp_path / "out"), *bright]) == 1
    error = capsys.readouterr().err
    assert re.search(r"\r\033\[K1/3 images, 0:00:\d\d left", error)
    assert f"\r\033[Kerror: image {scans / 'a_3.jpg'}" in error
    assert error.endswith("\r\033[K3/3 images, 0:00:00 left\r\033[K")


def test_an_image_too_long_for_a_jpeg_has_a_smaller_drawing(bright, tmp_path):
    path, out = tmp_path / "long.png", tmp_path / "out"
    cv2.imwrite(str(path), np.zeros((300, 65_600, 3), np.uint8))
    assert infer_tool.main([str(path), "--out", str(out), *bright]) == 0
    assert cv2.imread(str(out / "long.jpg")).shape == (300, 65_500, 3)


def test_crops_are_the_polygons_of_the_results(bright, scans, tmp_path):
    crops, out = tmp_path / "crops", tmp_path / "out"
    arguments = [str(scans), *bright, "--crops", str(crops)]
    assert infer_tool.main([*arguments, "--out", str(out)]) == 1  # one is no image
    for image in json.loads((out / "results.json").read_text())["images"]:
        for index, polygon in enumerate(image["polygons"]):
            crop = cv2.imread(str(crops / f"{Path(image['img_path']).stem}_{index}.png"))
            box = cv2.minAreaRect(np.float32(polygon).reshape(-1, 2))
            assert sorted(crop.shape[:2]) == pytest.approx(sorted(box[1]), abs=1)


def test_a_folder_of_crops_that_holds_something_is_refused(bright, scans, tmp_path, capsys):
    arguments = [str(scans), *bright, "--crops", str(scans), "--out", str(tmp_path / "out")]
    assert infer_tool.main(arguments) == 1
    assert "is not empty; choose a new folder" in capsys.readouterr().err


# ---------------------------------------------------------------- for labelling tools


def test_predictions_for_a_tool_lie_beside_the_images(bright, scans, capsys):
    before = sorted(scans.iterdir())
    arguments = [str(scans / "*.png"), "--out", str(scans), "--format", "labelme"]
    assert infer_tool.main([*arguments, *bright]) == 0
    assert sorted({*scans.iterdir()} - {*before}) == [scans / "a_10.json", scans / "a_2.json"]
    document = json.loads((scans / "a_2.json").read_text())
    [shape] = document["shapes"]
    np.testing.assert_allclose(corners(np.float32(shape["points"])), corners(PATCH_POLYGON), atol=1)
    assert 0.8 < shape["score"] < 0.9
    assert infer_tool.main([*arguments, *bright]) == 1
    [error] = errors_of(capsys)
    assert "a_2.json is there already and will not be overwritten" in error


def test_an_unreadable_image_is_left_out_of_the_files(bright, scans, tmp_path, capsys):
    out = tmp_path / "labels"
    assert infer_tool.main([str(scans), "--out", str(out), "--format", "cvat", *bright]) == 1
    assert [path.name for path in out.iterdir()] == ["annotations.xml"]
    assert re.findall(r'name="(.*?)"', (out / "annotations.xml").read_text()) == [
        "a_2.png",
        "a_10.png",
    ]
    assert len(errors_of(capsys)) == 1


def test_ranking(bright, scans, tmp_path, capsys):
    cv2.imwrite(str(scans / "b.png"), np.zeros((128, 128, 3), np.uint8))  # nothing to doubt
    out = tmp_path / "rank"
    arguments = [str(scans), "--out", str(out), "--rank", *bright]
    assert infer_tool.main(arguments) == 1
    assert "a_3.jpg: not an image" in errors_of(capsys)[0]
    rows = (out / "rank.csv").read_text().splitlines()
    assert rows[0] == "rank,img_path,doubt,near,weak,flip"
    assert [Path(row.split(",")[1]).name for row in rows[1:]] == ["a_2.png", "a_10.png", "b.png"]
    assert rows[3].endswith(",0.00000,0,0.0000")
    assert [path.name for path in out.iterdir()] == ["rank.csv"]
    assert infer_tool.main(arguments) == 1
    assert "rank.csv is there already" in errors_of(capsys)[0]


def test_an_interrupted_ranking_keeps_what_is_done(bright, scans, tmp_path, monkeypatch, capsys):
    measure = infer_tool.measure_doubt

    def measure_first(inferencer, path):
        if Path(path).name != "a_2.png":
            raise KeyboardInterrupt
        return measure(inferencer, path)

    monkeypatch.setattr(infer_tool, "measure_doubt", measure_first)
    arguments = [str(scans), "--out", str(tmp_path / "rank"), "--rank", *bright]
    assert infer_tool.main(arguments) == 130
    assert len((tmp_path / "rank" / "rank.csv").read_text().splitlines()) == 2
