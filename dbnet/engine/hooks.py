import math
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from dbnet.engine.loss_hooks import Step
from dbnet.models.detectors.dbnet import unwrap
from dbnet.registry import HOOKS
from dbnet.visualization.curves import plot_curves


@HOOKS.register_module()
class ConstantPredictorHook(Hook):
    """Warn once if training sits at the constant predictor P = 0.25.

    Balanced cross-entropy with 3 negatives per positive has its constant optimum 0.562 there, and
    the Dice loss stays near 1 (mmocr #349: "loss_prob 2.85 forever").

    Args:
        window: Steps that a mean is taken over. The first window counts as warm-up.
    """

    BCE_RANGE = (0.55, 0.58)
    MIN_DICE = 0.95

    def __init__(self, window: int = 200) -> None:
        self.window = window
        self.steps = 0
        self.sums = np.zeros(2)
        self.warned = False

    def after_losses_read(self, runner: Runner, steps: list[Step]) -> None:
        """Check the losses that `BatchedRuntimeInfoHook` has read."""
        for step in steps:
            if self.warned or not {"loss_prob", "loss_db"} <= set(step.losses):
                return  # warned already, or another loss
            self.sums += [float(step.losses[key]) for key in ("loss_prob", "loss_db")]
            self.steps += 1
            if self.steps % self.window == 0:
                self._judge(runner)
                self.sums[:] = 0

    def _judge(self, runner: Runner) -> None:
        loss: Any = unwrap(runner.model).loss_module
        weight = getattr(loss, "prob_weight", math.nan)  # a user's loss may have none
        loss_prob, loss_db = (self.sums / self.window).tolist()
        low, high = self.BCE_RANGE
        stuck = low <= loss_prob / weight <= high and loss_db > self.MIN_DICE
        if stuck and self.steps > self.window:
            self.warned = True
            runner.logger.warning(
                f"the last {self.window} steps sit at the constant predictor P = 0.25 (loss_prob "
                f"{loss_prob:.2f}, loss_db {loss_db:.2f}): nothing is learnt. Lower the learning "
                "rate, clip gradients, start from ImageNet weights, or check the annotations"
            )


@HOOKS.register_module()
class CurvesHook(Hook):
    """Plot losses, learning rate and metrics into `work_dir/curves.png` when training ends."""

    priority = "VERY_LOW"

    @master_only
    def after_train(self, runner: Runner) -> None:
        target = Path(runner.work_dir) / "curves.png"
        plot_curves(Path(runner.work_dir), target)
        runner.logger.info(f"curves: {target}")


@HOOKS.register_module()
class MetricsHook(Hook):
    """Keep the metrics of the last validation in `metrics`."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        self.metrics = dict(metrics or {})
