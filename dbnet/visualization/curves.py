import itertools
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSSES = ("loss", "loss_prob", "loss_thr", "loss_db")
METRICS = ("icdar/precision", "icdar/recall", "icdar/hmean", "icdar/official_hmean")

# Okabe and Ito's palette, for colour-blind readers, without the yellow that is faint on white.
# Lines and markers repeat after other numbers of runs than colours, so that 28 runs differ.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "v", "D", "x", "*", "P", "+")
NUM_MARKED = 12  # points of a curve that have a marker


class Records(NamedTuple):
    """The log of a run."""

    train: list[dict]  # losses, `lr`, `epoch`, `iter` and `step`, in order of steps
    # `icdar/...` and `step`, in order of steps: the epoch, or the last logged iteration where
    # training counts no epochs.
    evaluation: list[dict]


def read_scalars(work_dir: Path) -> Records:
    """Read what mmengine logged below a work directory, over all its resumed runs.

    A step that a resumed run repeats counts once, as it was last.
    """
    train: dict[int, dict] = {}
    evaluation: dict[int, dict] = {}
    iteration = 0
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            if not line.endswith("}"):  # cut off when a disk was full
                continue
            record = json.loads(line)
            if "loss" in record:
                iteration = record["step"]
                train[iteration] = record
            else:  # mmengine logs epoch 0 where there are none
                step = record["step"] or iteration
                evaluation[step] = {**record, "step": step}
    return Records(
        [train[step] for step in sorted(train)], [evaluation[s] for s in sorted(evaluation)]
    )


def plot_curves(work_dir: Path, target: Path) -> None:
    """Plot the losses, the learning rate and the metrics of a work directory into a PNG."""
    plot_runs({work_dir.name: read_scalars(work_dir)}, target)


def plot_runs(runs: Mapping[str, Records], target: Path) -> None:
    """Plot the losses, learning rates and metrics of runs, by name, into a picture.

    Runs differ in colour, line and marker. The suffix of `target` is a format of matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(20, 8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 5)
    upper, (*lower, corner) = panels
    for axes, key in zip(upper, (*LOSSES, "lr")):
        _plot_panel(axes, {name: points(run.train, key) for name, run in runs.items()})
        axes.set(title="learning rate" if key == "lr" else key, xlabel="iteration")
        if key != "lr":
            axes.set(yscale="log")
            axes.yaxis.set(major_formatter=LogFormatter(), minor_formatter=LogFormatter())
    for axes, key in zip(lower, METRICS):
        _plot_panel(axes, {name: points(run.evaluation, key) for name, run in runs.items()})
        axes.set(title=key, xlabel="epoch (iteration, if there are none)", ylim=(0, 1))
    corner.axis("off")
    corner.legend(*upper[0].get_legend_handles_labels(), loc="upper left", handlelength=5)
    figure.savefig(target, dpi=100)


def points(records: list[dict], key: str) -> np.ndarray:
    """Steps and values (N, 2) of the records that have a finite value of `key`."""
    found = [(record["step"], record[key]) for record in records if key in record]
    return np.array([pair for pair in found if math.isfinite(pair[1])]).reshape(-1, 2)


def _plot_panel(axes: "Axes", curves: Mapping[str, np.ndarray]) -> None:
    """Draw one curve (N, 2) per run, each in the style of its place."""
    styles = zip(itertools.cycle(COLORS), itertools.cycle(LINE_STYLES), itertools.cycle(MARKERS))
    for (name, curve), (color, line, marker) in zip(curves.items(), styles):
        axes.plot(
            *curve.T,
            label=name,
            color=color,
            linestyle=line,
            marker=marker,
            markevery=max(1, len(curve) // NUM_MARKED),
        )
    axes.grid(alpha=0.3)
