"""A model as one folder: written, loaded from a disk, and from a hub."""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import dbnet
from dbnet.checkpoints import model_folder
from dbnet.checkpoints.choose import choose_model
from dbnet.cli.infer import main as infer
from dbnet.cli.publish import main as publish
from dbnet.config.find import find_config
from dbnet.config.load import load_config
from dbnet.errors import UserError
from dbnet.weights import shipped_model

NAME, SHIPPED = shipped_model()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("hub")
    options = ["--out", str(out), "--hub", "--license", "apache-2.0", "--fp16"]
    assert publish([NAME, str(SHIPPED), *options]) == 0
    return out / NAME


@pytest.fixture(scope="module")
def sign(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "sign.png"
    picture = np.full((240, 640, 3), 255, np.uint8)
    cv2.putText(picture, "HARBOUR", (120, 140), cv2.FONT_HERSHEY_SIMPLEX, 2.0, (0, 0, 0), 5)
    cv2.imwrite(str(path), picture)
    return path


def test_folder_is_what_the_hub_expects(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: dbnet\n")
    assert "\nlicense: apache-2.0\n---\n" in card
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() in card
    assert f"--checkpoint hf://OWNER/{NAME} --out found" in card
    assert json.loads((folder / "config.json").read_text())["model"]["type"] == "DBNet"


def test_a_folder_is_not_written_over(folder, capsys):
    before = (folder / "README.md").read_bytes()
    assert publish([NAME, str(SHIPPED), "--out", str(folder.parent), "--hub"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (folder / "README.md").read_bytes() == before


def test_a_folder_gives_the_same_texts_as_its_checkpoint(folder, sign):
    shipped = dbnet.TextDetInferencer(amp=False)(str(sign))[0]
    for detector in (
        dbnet.TextDetInferencer(str(folder), amp=False),
        dbnet.TextDetInferencer(checkpoint=folder, amp=False),
        dbnet.TextDetInferencer(NAME, str(folder), amp=False),
    ):
        [found] = detector(str(sign))
        np.testing.assert_array_equal(found["polygons"], shipped["polygons"])
        np.testing.assert_array_equal(found["scores"], shipped["scores"])
    model, other = dbnet.init_detector(str(folder)), dbnet.init_detector(NAME, SHIPPED)
    for key, value in other.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_names_of_the_package(tmp_path, monkeypatch):
    assert choose_model(None, None) == (NAME, str(SHIPPED))
    assert choose_model(None, "small") == choose_model("small", None) == (NAME, str(SHIPPED))
    assert choose_model("mine.py", "small") == ("mine.py", "small")  # a path, as ever
    for given, missing in ((("mine.py", None), "checkpoint"), ((None, "mine.pth"), "config")):
        with pytest.raises(UserError, match=f"no {missing} given"):
            choose_model(*given)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_bytes(b"")
    with pytest.raises(UserError, match="no config given"):
        choose_model(None, "small")  # a file of the user's goes first


def test_a_folder_without_its_weights_is_none(tmp_path, folder, sign, capsys):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    assert infer([str(sign), "--checkpoint", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert f"{tmp_path}: holds no model.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"custom_imports": {"imports": ["stranger"]}}, "custom_imports={'imports': ['stranger']}"),
        ({"_base_": "stranger.py"}, "_base_: unknown key"),
        ({"model.data_preprocessor": {"type": "stranger.make"}}, "type='stranger.make' would run"),
        ({"model.data_preprocessor": {"type": "mmengine.load", "file": "x"}}, "'mmengine.load' wo"),
        ({"default_scope": "stranger"}, "default_scope='stranger' would run code"),
        ({"model.data_preprocessor": 5}, "data_preprocessor: DBNet takes"),
        ({"model": "DBNet"}, "holds no config of a model"),
        ({"text": 1}, "text is reserved"),
    ],
)
def test_nothing_of_a_config_is_executed(tmp_path, folder, sign, capsys, change, message):
    place = tmp_path / "model"
    shutil.copytree(folder, place)
    for name in ("stranger.py", "stranger/registry.py"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nmake = dict\n")
    config = json.loads((place / "config.json").read_text())
    for key, value in change.items():
        *above, last = key.split(".")
        functools.reduce(dict.__getitem__, above, config)[last] = value
    (place / "config.json").write_text(json.dumps(config))
    assert infer([str(sign), "--checkpoint", str(place), "--out", str(tmp_path / "o")]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and message in line
    assert not (tmp_path / "ran").exists() and str(place) not in sys.path


def test_a_config_sees_no_environment(tmp_path, folder):
    config = json.loads((folder / "config.json").read_text())
    config["experiment_name"] = "{{$HOME:}}"
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_config(str(tmp_path)).experiment_name == "{{$HOME:}}"


@pytest.mark.parametrize("content", [b"", b'{"model": ', b"[1, 2]", b"\xff\xfe", b"[" * 100_000])
def test_damaged_config(tmp_path, folder, sign, capsys, content):
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_bytes(content)
    options = ["--checkpoint", str(tmp_path / "model"), "--out", str(tmp_path / "o")]
    assert infer([str(sign), *options]) == 1
    assert "config.json: " in (line := capsys.readouterr().err) and line.count("\n") == 1
    assert "get the model's folder again" in line


def test_a_config_with_code_gets_no_folder(tmp_path, capsys):
    config = tmp_path / "mine.py"
    found = find_config(NAME)
    config.write_text(f"_base_ = [{str(found)!r}]\ncustom_imports = dict(imports=['json'])\n")
    assert publish([str(config), str(SHIPPED), "--out", str(tmp_path / "o"), "--hub"]) == 1
    assert "omit --hub" in capsys.readouterr().err and not (tmp_path / "o").exists()
    assert publish([str(config), str(SHIPPED), "--out", str(tmp_path / "o")]) == 0


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"hf://a/b: needs a package: pip install 'dbnet\[hub\]'"):
        model_folder.file_of("hf://a/b", "config.json")


def test_an_endpoint_that_is_none(monkeypatch, tmp_path):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_ENDPOINT", "nonsense")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"hf://a/b: .*missing an 'http"):
        model_folder.file_of("hf://a/b", "config.json")


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's protocol that a download of single files needs."""

    files: dict[str, bytes] = {}
    asked: list[str] = []

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, with_body):
        repository, _, rest = self.path[1:].partition("/resolve/")
        revision, _, name = rest.partition("/")
        self.asked.append(self.path)
        error = None
        if repository != "city/signs":
            error = "RepoNotFound"
        elif revision not in ("main", "v1"):
            error = "RevisionNotFound"
        elif name not in self.files:
            error = "EntryNotFound"
        content = b"" if error else self.files[name]
        self.send_response(404 if error else 200)
        if error:
            self.send_header("X-Error-Code", error)
        else:
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    Hub.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(hub, tmp_path, checkpoint, sign, out="found"):
    environment = os.environ | dict(
        HF_ENDPOINT=hub, HF_HOME=str(tmp_path / "hf"), HF_HUB_DISABLE_PROGRESS_BARS="1"
    )
    command = [str(sign), "--checkpoint", checkpoint, "--out", str(tmp_path / out)]
    return subprocess.run(
        [sys.executable, str(Path(__file__).parents[2] / "tools" / "infer.py"), *command],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_a_hub(hub, tmp_path, sign):
    done = run(hub, tmp_path, "hf://city/signs", sign)
    assert done.returncode == 0, done.stderr
    [image] = json.loads((tmp_path / "found" / "results.json").read_text())["images"]
    assert len(image["polygons"]) == 1
    assert {path.rpartition("/")[2] for path in Hub.asked if "/resolve/" in path} == {
        "config.json",
        "model.safetensors",
    }


@pytest.fixture
def here(hub, tmp_path, monkeypatch):
    """Let this process ask the hub of the test."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_ENDPOINT", hub)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://city/none", "no such model, or it is private"),
        ("hf://city", "no such model, or it is private"),
        ("hf://city/signs@v9", "has no revision v9"),
        ("hf://a b/c", "Repo id must use alphanumeric"),
        ("hf://city/signs@v1", "has no model.safetensors: it was not written by"),
    ],
)
def test_what_a_hub_lacks_is_one_line(here, address, message):
    del Hub.files["model.safetensors"]
    with pytest.raises(UserError, match=f"^{address}: {message}") as error:
        model_folder.file_of(address, "model.safetensors")
    assert "\n" not in str(error.value)


def test_a_hub_that_cannot_be_reached(here, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="hf://city/signs: the hub cannot be reached"):
        model_folder.file_of("hf://city/signs", "config.json")
