"""Results in parts: each image once, whatever ends in the middle, here and through Ray."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from dbnet.cli import infer_parts
from dbnet.cli.infer import main
from dbnet.errors import UserError
from dbnet.evaluation.result_parts import ResultParts, alone_in, row_of

SIZE = ["--test-size", "320,160"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Seven pictures of a word, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(7):
        image = np.full((120, 240, 3), 255, np.uint8)
        cv2.putText(image, f"HOUSE{number}", (20, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 3)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    (folder / "8.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(infer_parts, "PART", 3)


def rows_in(folder):
    return [
        json.loads(line)
        for path in sorted(folder.glob("part-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def test_parts_hold_what_results_json_holds(photos, tmp_path, capsys):
    out, whole = tmp_path / "parts", tmp_path / "whole"
    assert main([str(photos), "--out", str(out), "--format", "jsonl", *SIZE]) == 1
    assert "7 images, 1 not readable" in capsys.readouterr().out
    assert [len(p.read_text().splitlines()) for p in sorted(out.glob("part-*"))] == [3, 3, 2]
    assert main([str(photos), "--out", str(whole), *SIZE]) == 1
    rows = rows_in(out)
    assert rows[-1]["polygons"] == [] and "8.png" in rows[-1]["error"]
    expected = json.loads((whole / "results.json").read_text())["images"]
    assert [{**image, "error": None} for image in expected] == rows[:-1]
    assert sum(len(row["scores"]) for row in rows) >= 7
    assert json.loads((out / "parts.json").read_text())["test_size"] == [320, 160]


def test_resuming_does_what_is_missing(photos, tmp_path, capsys):
    command = [str(photos), "--out", str(tmp_path), "--format", "jsonl", *SIZE]
    main(command)
    before = rows_in(tmp_path)
    (tmp_path / "part-000001.jsonl").unlink()
    assert main(command) == 1
    assert "holds results; continue with --resume" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 1  # what could not be read is in a part
    assert "5 of 8 images are done already, 1 of them not readable" in capsys.readouterr().out
    after = rows_in(tmp_path)
    assert len(after) == 8 and sorted(map(json.dumps, after)) == sorted(map(json.dumps, before))
    assert sorted(p.name for p in tmp_path.glob("part-*")) == [
        *("part-000000.jsonl", "part-000002.jsonl", "part-000003.jsonl")
    ]
    assert main([*command, "--resume"]) == 1
    assert len(list(tmp_path.glob("part-*"))) == 3


def test_parts_of_other_settings_are_not_mixed(photos, tmp_path, capsys):
    command = [str(photos), "--out", str(tmp_path), "--format", "jsonl", "--resume"]
    main([*command, *SIZE])
    assert main([*command, "--test-size", "640,320"]) == 1
    error = capsys.readouterr().err
    assert "are of test_size [320, 160], not [640, 320]" in error


@pytest.mark.parametrize("resume", [True, False])
def test_parts_of_another_format_are_not_mixed(tmp_path, monkeypatch, resume):
    monkeypatch.setitem(sys.modules, "pyarrow", object())
    ResultParts(tmp_path, "jsonl", {"model": 1}, False).add([row_of("a.png", UserError("no"))])
    before = (tmp_path / "parts.json").read_bytes()
    with pytest.raises(UserError, match="of format jsonl, not parquet" if resume else "--resume"):
        ResultParts(tmp_path, "parquet", {"model": 1}, resume)
    assert (tmp_path / "parts.json").read_bytes() == before


def test_a_model_that_changes_under_its_name_is_not_mixed(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    paths = [model / "config.json", model / "model.safetensors"]
    paths += [tmp_path / name for name in ("mine.py", "mine.pth", "a.xml", "a.bin")]
    given = [(None, str(model)), ("mine.py", str(tmp_path / "mine.pth"))]
    given += [(str(tmp_path / "mine.py"), "x.pth"), (None, str(tmp_path / "a.xml"))]

    def settings():
        empty = dict.fromkeys(("test_size", "cfg_options", "amp"))
        return [
            infer_parts.settings_of(argparse.Namespace(config=c, checkpoint=w, **empty))
            for c, w in given
        ]

    for path in paths:
        path.write_text("before")
    for path, place in zip(paths, (0, 0, 2, 1, 3, 3)):
        before = settings()
        path.write_text("after")
        changed = [a != b for a, b in zip(before, settings())]
        assert changed == [index == place for index in range(4)], path


def test_two_commands_do_not_share_a_folder(photos, tmp_path, capsys):
    command = [str(photos), "--out", str(tmp_path), "--format", "jsonl", "--resume", *SIZE]
    with alone_in(tmp_path):
        assert main(command) == 1
    assert "another command writes there" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main(command) == 1  # the file that is no picture
    assert len(rows_in(tmp_path)) == 8


def test_faulty_folders_and_parts(tmp_path):
    def parts(resume=True, settings=None):
        return ResultParts(tmp_path, "jsonl", settings or {"a": 1}, resume)

    parts().add([row_of("a.png", UserError("a.png: no image"))])
    assert parts().done() == {"a.png": "a.png: no image"}
    (tmp_path / "part-000001.jsonl").write_text('{"img_path": "b')
    with pytest.raises(UserError, match=r"part-000001.jsonl: damaged .* remove it"):
        parts().done()
    (tmp_path / "part-000001.jsonl").write_text('{"path": "b"}\n')
    with pytest.raises(UserError, match=r"part-000001.jsonl: damaged"):
        parts().done()
    (tmp_path / "part-000001.jsonl").rename(tmp_path / "part-000000.jsonl.bak")
    assert parts().done() == {"a.png": "a.png: no image"}  # a copy of the user's is no part
    (tmp_path / "parts.json").unlink()
    with pytest.raises(UserError, match=r"parts\.json: is not of these parts"):
        parts()
    with pytest.raises(UserError, match="holds results; continue with --resume"):
        parts(resume=False)
    for path in tmp_path.glob("part*"):
        path.unlink()
    parts(resume=False)  # a run that ended before its first part
    parts(resume=False, settings={"a": 2})
    (tmp_path / "parts.json").write_text("of somebody else")
    with pytest.raises(UserError, match=r"parts\.json: is not of these parts"):
        parts(resume=False)
    assert (tmp_path / "parts.json").read_text() == "of somebody else"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--resume"], "--resume: not with --format json"),
        (["--actors", "2", "--format", "coco"], "--actors: not with --format coco"),
        (["--gpus-per-actor", "0.5"], "--gpus-per-actor: not with --format json"),
        (["--format", "jsonl", "--actors", "2"], "of --ray; add it"),
        (["--format", "jsonl", "--crops", "c"], "--crops: not with --format jsonl"),
    ],
)
def test_options_that_do_not_go_together(photos, tmp_path, capsys, options, message):
    assert main([str(photos), "--out", str(tmp_path / "o"), *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_pictures_that_only_a_query_tells_apart(tmp_path, capsys):
    urls = [f"https://host/picture?id={number}" for number in range(2)]
    assert main([*urls, "--out", str(tmp_path / "o"), "--format", "jsonl"]) == 1
    assert "some URLs differ in their queries alone" in capsys.readouterr().err


def test_without_the_packages(photos, tmp_path, capsys, monkeypatch):
    for package in ("ray", "pyarrow"):
        monkeypatch.setitem(sys.modules, package, None)
    command = [str(photos), "--out", str(tmp_path)]
    for options in (["--format", "parquet"], ["--ray", "auto"]):
        assert main([*command, *options]) == 1
        assert "pip install 'dbnet[ray]'" in capsys.readouterr().err


def test_sigterm_leaves_whole_parts(photos, tmp_path):
    for number in range(60):
        shutil.copy(photos / "1.png", tmp_path / f"{number}.png")
    out = tmp_path / "out"
    program = "import sys; from dbnet.cli import infer, infer_parts; infer_parts.PART = 5\n"
    program += "sys.exit(infer.main(sys.argv[1:]))"
    options = ["--out", str(out), "--format", "jsonl", "--test-size", "2000,1000"]
    command = [sys.executable, "-c", program, str(tmp_path), *options]
    environment = os.environ | dict(OMP_NUM_THREADS="1")
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not (out / "part-000001.jsonl").exists():
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGTERM)
    error = run.communicate()[1]
    assert run.returncode == 143 and "continue with --resume" in error
    assert {len(p.read_text().splitlines()) for p in out.glob("part-*")} == {5}
    assert not list(out.glob(".*"))


def test_parquet(photos, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    command = [str(photos), "--out", str(tmp_path), "--format", "parquet", *SIZE]
    assert main(command) == 1
    rows = [r for p in sorted(tmp_path.glob("part-*")) for r in parquet.read_table(p).to_pylist()]
    assert [Path(row["img_path"]).stem for row in rows] == list("01234568")
    assert [row["error"] is None for row in rows] == [True] * 7 + [False]
    assert {len(polygon) for row in rows for polygon in row["polygons"]} == {8}
    (tmp_path / "part-000000.parquet").unlink()
    assert main([*command, "--resume"]) == 1
    assert {p.name for p in tmp_path.glob("part-*")} == {
        *("part-000001.parquet", "part-000002.parquet", "part-000003.parquet")
    }


def test_ray_finds_the_same(photos, tmp_path):
    ray = pytest.importorskip("ray")
    command = [str(photos), *SIZE, "--device", "cpu"]
    try:
        assert (
            main([*command, "--out", str(tmp_path / "ray"), "--ray", "auto", "--actors", "2"]) == 1
        )
        assert main([*command, "--out", str(tmp_path / "wrong"), "--ray", "10.255.255.1:1"]) == 1
    finally:
        ray.shutdown()
    assert main([*command, "--out", str(tmp_path / "here"), "--format", "jsonl"]) == 1
    rows = [
        sorted(rows_in(tmp_path / name), key=lambda row: row["img_path"])
        for name in ("ray", "here")
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 8
