import json
from pathlib import Path

import numpy as np

LOSSES = ("loss", "loss_prob", "loss_thr", "loss_db")


def read_scalars(work_dir: Path) -> tuple[list[dict], list[dict]]:
    """Read what mmengine logged below a work directory, over all its resumed runs.

    Returns:
        Training records (losses, `lr`, `iter`, `step`) and evaluation records (`icdar/...`,
        `step`), in order of time. A step that a resumed run repeats counts once, as it was last.
    """
    train: dict[int, dict] = {}
    evaluation: dict[int, dict] = {}
    for path in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            if not line.endswith("}"):  # cut off when a disk was full
                continue
            record = json.loads(line)
            kind = train if "loss" in record else evaluation
            kind[record["step"]] = record
    return [train[step] for step in sorted(train)], [evaluation[s] for s in sorted(evaluation)]


def plot_curves(work_dir: Path, target: Path) -> None:
    """Plot the losses, the learning rate and the metrics of a work directory into a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    train, evaluation = read_scalars(work_dir)
    figure = Figure(figsize=(15, 4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, rate, metrics = figure.subplots(1, 3)
    for name in LOSSES:
        points = [(record["step"], record[name]) for record in train if name in record]
        losses.plot(*np.array(points).reshape(-1, 2).T, label=name)
    losses.set(title="loss", xlabel="iteration", yscale="log")
    points = [(record["step"], record["lr"]) for record in train if "lr" in record]
    rate.plot(*np.array(points).reshape(-1, 2).T)
    rate.set(title="learning rate", xlabel="iteration")
    for name in ("icdar/hmean", "icdar/precision", "icdar/recall", "icdar/official_hmean"):
        points = [(record["step"], record[name]) for record in evaluation if name in record]
        metrics.plot(*np.array(points).reshape(-1, 2).T, marker=".", label=name)
    metrics.set(title="evaluation", xlabel="epoch", ylim=(0, 1))
    for axes in (losses, metrics):
        axes.legend()
    figure.savefig(target, dpi=100)
