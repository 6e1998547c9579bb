import os

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from mmengine.visualization import Visualizer

import dbnet.registry  # noqa: F401, the scope that the tests build parts in

CORE = (
    *("test_geometry", "test_mmocr_reference", "models/test_db_loss", "models/test_models"),
    *("test_postprocessing", "datasets/test_data", "datasets/test_geometric"),
    *("datasets/test_targets", "evaluation/test_matching", "evaluation/test_hmean_iou"),
    *("evaluation/test_official_protocol", "checkpoints/test_read", "engine/test_step"),
    *("scenarios/test_nothing_lost", "scenarios/test_training"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.with_suffix("").as_posix().endswith(tuple(f"tests/{name}" for name in CORE)):
            item.add_marker("core")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Before fixtures of modules, whose runs are compared with those of processes of one thread."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_the_tests(tmp_path_factory):
    """Leave the user's cache of pictures alone."""
    os.environ["DBNET_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _scope_and_seed():
    init_default_scope("dbnet")
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)  # the tensors are small, and other processes may share the machine


@pytest.fixture(autouse=True)
def _runs_forgotten():
    """Forget the runs of other tests: mmengine takes those of one second for the same.

    Afterwards too, as fixtures of a module are made before those of its first test.
    """
    forget_runs()
    yield
    forget_runs()


def forget_runs():
    for shared in (MessageHub, MMLogger, Visualizer):
        shared._instance_dict.clear()


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Polygon (4, 2) of an axis-parallel rectangle, clockwise from the top left."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


@pytest.fixture
def make_rectangle():
    return rectangle
