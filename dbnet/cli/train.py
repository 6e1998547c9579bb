import argparse
import sys

from mmengine.dist import is_main_process

from dbnet.apis.train import train
from dbnet.cli.console import STARTED, command
from dbnet.engine.interrupt_hook import Interrupted
from dbnet.evaluation.closing_lines import format_metrics


@command("train")
def main(args: argparse.Namespace) -> int:
    """Train a detector and print its metrics; return the exit status."""
    try:
        metrics = train(
            args.config,
            args.data_root,
            args.work_dir,
            args.resume,
            cfg_options=args.cfg_options,
            amp=args.amp,
            seed=args.seed,
            launcher=args.launcher,
            max_minutes=args.max_minutes,
            started=STARTED,
        )
    except Interrupted as stop:
        lines, stream, status = [str(stop)], sys.stderr, stop.status
    else:
        lines, stream, status = format_metrics(metrics), sys.stdout, 0
    if is_main_process():
        print(*lines, sep="\n", file=stream)
    return status
