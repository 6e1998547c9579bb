from functools import partial
from pathlib import Path

import cv2
import numpy as np
from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from dbnet.datasets.transforms.loading import read_image
from dbnet.registry import HOOKS
from dbnet.visualization.detections import LEGEND, draw_detections, draw_tile
from dbnet.visualization.draw import write_image
from dbnet.visualization.legend import add_legend
from dbnet.visualization.matches import judge_image
from dbnet.visualization.sheet import WorstImages, worst_sheet

SHEET = "worst"
NUM_WORST = 16


@HOOKS.register_module()
class ShowPredictionsHook(Hook):
    """Draw matches, misses and false alarms of every test image, and a sheet of the worst.

    It draws in a test, and in the validation after the last step of training.

    All predictions are matched as the competition does, which `icdar/official_*` counts. Each
    process draws the images it has tested; the first one writes the sheet, `worst.jpg`, of those
    with the most misses and false alarms.

    Args:
        show_dir: Folder for one JPEG per image, named as the image, and for the sheet; a relative
            one lies in the work directory.
    """

    def __init__(self, show_dir: str) -> None:
        self.show_dir = Path(show_dir)
        self.worst = WorstImages(NUM_WORST)
        self.paths = {SHEET: ""}  # the image that a file shows, by the file's stem

    def before_run(self, runner: Runner) -> None:
        self.show_dir = Path(runner.work_dir) / self.show_dir

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list[dict] | None = None,
    ) -> None:
        if runner.iter >= runner.max_iters:
            self.after_test_iter(runner, batch_idx, data_batch, outputs)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list[dict] | None = None,
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
            write_image(self.show_dir / f"{SHEET}.jpg", sheet)

    def show(self, meta: dict, inputs: Tensor, polygons: list) -> None:
        """Draw one image into its file and, if it is among the worst, for the sheet.

        Args:
            meta: `img_path`, `ori_shape`, `gt_polygons` and others of `PackTextDetInputs`.
            inputs: What the network gets, (3, H, W) uint8 BGR.
            polygons: Predictions, each (K, 2), in pixels of the original image.
        """
        path, truth = meta["img_path"], meta["gt_polygons"]
        verdict = judge_image(truth, meta["gt_ignored"], polygons)
        facts = (original_image(meta, inputs), Path(path).name, verdict, truth, polygons)
        write_image(self.show_dir / f"{self._free_stem(path)}.jpg", draw_detections(*facts))
        self.worst.offer(verdict.num_errors, path, partial(draw_tile, *facts))

    def _free_stem(self, path: str) -> str:
        """Stem of the image, with a number behind it if another image's file has it already."""
        stem = free = Path(path).stem
        number = 1
        while self.paths.setdefault(free, path) != path:
            number += 1
            free = f"{stem}_{number}"
        return free


def original_image(meta: dict, inputs: Tensor) -> np.ndarray:
    """Read a test image; one without a file, of `SyntheticTextDataset`, comes from the batch."""
    if Path(meta["img_path"]).is_file():
        return read_image(meta["img_path"])
    height, width = meta["img_shape"]
    image = np.ascontiguousarray(inputs[:, :height, :width].cpu().numpy().transpose(1, 2, 0))
    return cv2.resize(image, meta["ori_shape"][::-1])
