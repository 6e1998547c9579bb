import argparse
from collections.abc import Sequence
from pathlib import Path

from dbnet.cli.console import command
from dbnet.errors import UserError
from dbnet.utils.text import format_table
from dbnet.visualization.curves import LOSSES, Records, plot_runs, points, read_scalars

HMEAN = "icdar/hmean"


@command("plot-log")
def main(args: argparse.Namespace) -> int:
    """Plot runs and print how far they have come; return the exit status."""
    runs = {name: read_run(path) for name, path in run_names(args.work_dirs).items()}
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        plot_runs(runs, args.out)
    except (OSError, ValueError) as error:  # ValueError: no format of matplotlib
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"--out {args.out}: {reason}") from error
    print(*format_table([HEADER, *(summarise(name, run) for name, run in runs.items())]), sep="\n")
    print(f"curves: {args.out}")
    return 0


def run_names(work_dirs: Sequence[Path]) -> dict[str, Path]:
    """Name work directories by their last part, or by all of it where two are alike."""
    last = [path.resolve().name for path in work_dirs]
    return {
        name if last.count(name) == 1 else str(path): path for name, path in zip(last, work_dirs)
    }


def read_run(work_dir: Path) -> Records:
    """Read a run's log."""
    try:
        run = read_scalars(work_dir)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{work_dir}: damaged log, {error}") from error
    if not any(run):
        raise UserError(
            f"{work_dir}: no log of a training run; expected TIME/vis_data/scalars.json in there"
        )
    return run


HEADER = ("run", "steps", *LOSSES, "best hmean", "at", "last hmean", "at")


def summarise(name: str, run: Records) -> tuple[str, ...]:
    """One line of the table: steps, last losses, best (first of equals) and last `icdar/hmean`.

    These come with their epoch, or iteration where there are none.
    """
    steps = str(run.train[-1]["step"]) if run.train else "-"
    last = run.train[-1] if run.train else {}
    losses = [f"{last[key]:.4f}" if key in last else "-" for key in LOSSES]
    hmeans = points(run.evaluation, HMEAN).tolist()
    if not hmeans:
        return (name, steps, *losses, "-", "-", "-", "-")
    best, latest = max(hmeans, key=lambda point: point[1]), hmeans[-1]
    return (
        name,
        steps,
        *losses,
        *(cell for epoch, hmean in (best, latest) for cell in (f"{hmean:.4f}", f"{epoch:.0f}")),
    )
