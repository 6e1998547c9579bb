import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import all_gather_object, barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from dbnet.datasets.image_paths import free_stem, image_paths
from dbnet.errors import UserError
from dbnet.images import has_mark, read_image, write_image
from dbnet.registry import HOOKS
from dbnet.remote.paths import file_name, is_url
from dbnet.utils.worst import Worst
from dbnet.visualization.detections import (
    LEGEND,
    draw_detections,
    draw_small_detections,
    judge_image,
    layers_of,
)
from dbnet.visualization.sheet import add_legend, encode_tile, worst_sheet

SHEET = "worst"
NUM_WORST = 16
MARK = b"dbnet: predictions and ground truth"  # in each file, by which a later run knows it


@HOOKS.register_module()
class ShowPredictionsHook(Hook):
    """Draw matches, misses and false alarms of every test image, and a sheet of the worst.

    It draws in a test, and in the validation after the last step of training.

    All predictions are matched as the competition does, which `icdar/official_*` counts. Each
    process draws the images it has tested; the first one writes the sheet, `worst.jpg`, of those
    with the most misses and false alarms. What an earlier run has drawn is replaced, any other file
    stops the run before its first image.

    Args:
        show_dir: Folder for one JPEG per image, named as the image, and for the sheet; a relative
            one lies in the work directory.
    """

    def __init__(self, show_dir: str) -> None:
        self.show_dir = Path(show_dir)
        self.worst = Worst[bytes](NUM_WORST)
        self.images = {SHEET: ""}  # that a file shows, by the file's stem in lower case
        self.targets: dict[str, Path] = {}  # the file of an image

    def before_run(self, runner: Runner) -> None:
        self.show_dir = Path(runner.work_dir) / self.show_dir

    def before_train(self, runner: Runner) -> None:
        if runner.val_loop is not None:
            self.plan(image_paths(runner.val_dataloader.dataset))

    def before_test(self, runner: Runner) -> None:
        self.plan(image_paths(runner.test_dataloader.dataset))

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if runner.iter >= runner.max_iters:
            self.after_test_iter(runner, *args, **kwargs)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        batch = data_batch or dict(metas=[], inputs=[])
        for meta, inputs, prediction in zip(batch["metas"], batch["inputs"], outputs or []):
            self.show(meta, inputs, prediction["polygons"])

    def after_val(self, runner: Runner) -> None:
        if runner.iter >= runner.max_iters:
            self.after_test(runner)
            runner.logger.info(f"predictions: {self.show_dir}")

    def after_test(self, runner: Runner) -> None:
        kept = [tile for part in all_gather_object(self.worst.kept) for tile in part]
        sheet = worst_sheet(kept, NUM_WORST) if is_main_process() else None
        if sheet is not None:
            sheet = add_legend(sheet, "most errors first", LEGEND)
            write_image(self._sheet, sheet, MARK)

    def plan(self, paths: Sequence[str]) -> None:
        """Name the files of the images, and ensure that nothing else is there."""
        check_replaceable(self._sheet)
        targets = [self._sheet, *map(self._target, paths)]
        images = {os.path.realpath(path) for path in paths}
        for target in targets:
            if os.path.realpath(target) in images:
                raise UserError(
                    f"{target} is an image of the data; choose another folder to draw into"
                )
        barrier()  # no process finds here what another has drawn

    def show(self, meta: dict, inputs: Tensor, polygons: list) -> None:
        """Draw one image into its file and, if it is among the worst, for the sheet.

        `inputs` are (3, H, W) uint8 BGR, polygons (K, 2) in pixels of the original image.
        """
        path, truth = meta["img_path"], meta["gt_polygons"]
        verdict = judge_image(truth, meta["gt_ignored"], polygons)
        layers = layers_of(verdict, truth, polygons)
        facts = (original_image(meta, inputs), file_name(path), verdict, layers)
        write_image(self._target(path), draw_detections(*facts), MARK)
        self.worst.add(
            (verdict.num_errors, path), lambda: encode_tile(draw_small_detections(*facts))
        )

    @property
    def _sheet(self) -> Path:
        return self.show_dir / f"{SHEET}.jpg"

    def _target(self, path: str) -> Path:
        """File of an image, named as it; with a number if another image's file has the name."""
        if path not in self.targets:
            self.targets[path] = self.show_dir / f"{free_stem(path, self.images)}.jpg"
            check_replaceable(self.targets[path])
        return self.targets[path]


def check_replaceable(target: Path) -> None:
    """Refuse to replace a file, unless an earlier run has drawn it."""
    if os.path.lexists(target) and not has_mark(target, MARK):
        raise UserError(
            f"{target} is there already, is no drawing of a test and will not be overwritten; "
            "choose another folder to draw into"
        )


def original_image(meta: dict, inputs: Tensor) -> np.ndarray:
    """Read a test image; one without a file, of `SyntheticTextDataset`, comes from the batch."""
    if is_url(meta["img_path"]) or Path(meta["img_path"]).is_file():
        return read_image(meta["img_path"])
    height, width = meta["img_shape"]
    image = np.ascontiguousarray(inputs[:, :height, :width].cpu().numpy().transpose(1, 2, 0))
    return cv2.resize(image, meta["ori_shape"][::-1])
