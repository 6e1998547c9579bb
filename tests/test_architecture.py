"""docs/architecture.md is true: the order of the rooms, and what the three walks pass through."""

import ast
import re
import sys
import threading
from pathlib import Path

import pytest
from mmengine.optim import build_optim_wrapper

import dbnet
from dbnet.config.load import load_config
from dbnet.datasets import SampleKey, collate_text_det
from dbnet.evaluation.metrics import HmeanIOUMetric
from dbnet.registry import DATASETS, MODELS
from tests.scenes import write_config, write_scenes

PACKAGE = Path(dbnet.__file__).parent
PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()


def section(title):
    return PAGE.split(f"## {title}\n")[1].split("\n## ")[0]


def rows(title):
    return re.findall(r"^\| `([^`]+)` \|(?: `([^`]+)` \|)?", section(title), re.M)


ROOMS = [room for room, _ in rows("Rooms")]


def room_of(module):
    return (module.split(".") + ["dbnet"])[1]


def imports():
    """Every import of one room by another: (file, room, imported room)."""
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "dbnet":
                names = [f"dbnet.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                if name.startswith("dbnet.") and room_of(name) != room:
                    yield path.relative_to(PACKAGE), room, room_of(name)


def test_every_room_is_listed():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert set(ROOMS) == found - {"__init__", "__pycache__"}


def test_no_arrow_runs_up():
    up = [
        f"{path}: {room} imports {other}"
        for path, room, other in imports()
        if room != "__init__" and ROOMS.index(other) >= ROOMS.index(room)
    ]
    assert up == []


# --- The walks ---


def functions_run(action):
    """Names of the project's functions, "file: function", in the order of their first calls."""
    names = {}

    def note(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(f"{PACKAGE}/"):
            path = Path(code.co_filename).relative_to(PACKAGE).as_posix()
            # Python 3.10 has no co_qualname.
            owner = frame.f_locals.get("self")
            names.setdefault((path, code.co_name, type(owner).__mro__ if owner else ()), None)

    sys.setprofile(note)
    threading.setprofile(note)  # in threads that begin now
    try:
        action()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(names)


def assert_passed(title, action):
    """Each function of a walk's table runs, and first in the order of the table."""
    run = functions_run(action)
    position = -1
    for path, qualified in rows(title):
        owner, _, name = qualified.rpartition(".")
        places = [
            index
            for index, (file, function, classes) in enumerate(run)
            if (file, function) == (path, name)
            and (not owner or owner in {cls.__name__ for cls in classes})
        ]
        assert places, f"{title}: {path} {qualified} does not run"
        assert places[0] > position, f"{title}: {qualified} runs before the one above it"
        position = places[0]


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = write_scenes(tmp_path_factory.mktemp("walk"), count=2)
    return load_config(write_config(root, "walk", epochs=1, tiny=False))


@pytest.fixture(scope="module")
def model(config):
    return MODELS.build(config.model)


def test_walk_of_a_training_sample(config, model):
    data = DATASETS.build(config.train_dataloader.dataset)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    model.train()

    def walk():
        batch = collate_text_det([data[SampleKey(0, 0, index)] for index in range(2)])
        model.train_step(batch, wrapper)

    assert_passed("The walk of a training sample", walk)


def test_walk_of_a_test_image(config, model):
    data, metric = DATASETS.build(config.val_dataloader.dataset), HmeanIOUMetric()
    model.eval()
    model.postprocessor.bin_thresh = 0.1  # so that an untrained network finds a region

    def walk():
        batch = collate_text_det([data[0]])
        metric.process(batch, model.val_step(batch))
        metric.compute_metrics(metric.results)

    assert_passed("The walk of a test image", walk)


def test_walk_of_a_photo(config):
    detect = dbnet.TextDetInferencer()
    photo = Path(config.train_dataloader.dataset.data_root) / "img_0.png"
    assert_passed("The walk of a photo", lambda: detect(str(photo)))
