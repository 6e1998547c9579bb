"""Count what a sample, a training step, a validation image and the metric pass through.

    python benchmarks/walk.py

On two drawn pictures and DBNet_r18: the project's own files and functions that run, the lines of
those files, and the lines of those functions with and without docstrings.
"""

import ast
import inspect
import json
import logging
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import cv2
import numpy as np
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, MODELS, init_default_scope

import dbnet
from dbnet.config.load import load_config
from dbnet.datasets import SampleKey, collate_text_det
from dbnet.evaluation.metrics import HmeanIOUMetric

PACKAGE = Path(dbnet.__file__).parent
CONFIG = "dbnet_r18_fpnc_1200e_icdar2015"


def functions_run(action: Callable[[], object]) -> dict[CodeType, int]:
    """Run an action; return the project's functions in the order of their first calls."""
    calls: dict[CodeType, int] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        own = code.co_filename.startswith(f"{PACKAGE}/") and code.co_name[0] != "<"
        if event == "call" and own:
            calls[code] = calls.get(code, 0) + 1

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


def lines_of(code: CodeType) -> tuple[int, int]:
    """Count the lines of a function, with its docstring and without."""
    source = inspect.getsource(code)
    (function,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(function, ast.FunctionDef)
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    total = len(source.splitlines())
    return total, total - docstring


def write_pictures(folder: Path) -> None:
    """Write two pictures of a word each and their annotation file."""
    entries = []
    for index in range(2):
        image = np.full((96, 128, 3), 40, np.uint8)
        cv2.putText(image, "TEXT", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1, (240, 240, 240), 2)
        cv2.imwrite(str(folder / f"{index}.png"), image)
        word = dict(polygon=[18, 34, 100, 34, 100, 64, 18, 64], ignore=False)
        entries.append(dict(img_path=f"{index}.png", height=96, width=128, instances=[word]))
    for part in ("train", "test"):
        (folder / f"textdet_{part}.json").write_text(json.dumps(dict(data_list=entries)))


class Walks:
    """The parts of a run, ready for one sample, one step and one validation image."""

    def __init__(self, folder: Path) -> None:
        write_pictures(folder)
        crop = {"train_dataloader.dataset.pipeline.1.size": (64, 64)}
        options = {"model.backbone.init_cfg": None, **crop}
        config = load_config(CONFIG, options, data_root=str(folder), test_size=(128, 96))
        config.work_dir = str(folder / "work")
        init_default_scope("dbnet")
        self.train_data = DATASETS.build(config.train_dataloader.dataset)
        self.test_data = DATASETS.build(config.val_dataloader.dataset)
        self.model = MODELS.build(config.model)
        self.wrapper = build_optim_wrapper(self.model, config.optim_wrapper)
        self.metric = HmeanIOUMetric()

    def train(self) -> None:
        samples = [self.train_data[SampleKey(0, 0, index)] for index in range(2)]
        self.model.train().train_step(collate_text_det(samples), self.wrapper)

    def validate(self) -> None:
        batch = collate_text_det([self.test_data[0]])
        self.metric.process(batch, self.model.eval().val_step(batch))
        self.metric.compute_metrics(self.metric.results)

    def both(self) -> None:
        self.train()
        self.validate()


def describe(name: str, calls: dict[CodeType, int]) -> str:
    files = {code.co_filename for code in calls}
    counted = [lines_of(code) for code in calls]
    file_lines = sum(len(Path(file).read_text().splitlines()) for file in files)
    with_docs, without = (sum(column) for column in zip(*counted))
    return (
        f"{name:40} {len(files):3} files of {file_lines:5} lines, {len(calls):4} functions of "
        f"{with_docs:5} lines ({without} without docstrings), {sum(calls.values())} calls"
    )


def main() -> None:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        walks = Walks(Path(folder))
        print(describe("two samples, collate, step", functions_run(walks.train)))
        print(describe("one validation image with its metric", functions_run(walks.validate)))
        print(describe("both", functions_run(walks.both)))


if __name__ == "__main__":
    main()
