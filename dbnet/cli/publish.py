import argparse
from pathlib import Path

from dbnet.checkpoints.publish import publish
from dbnet.cli.console import command
from dbnet.config.load import load_config
from dbnet.errors import UserError
from dbnet.evaluation.results import read_metrics


@command("publish")
def main(args: argparse.Namespace) -> int:
    """Publish a checkpoint; return the exit status."""
    config = load_config(args.config)
    metrics = None if args.results is None else read_metrics(args.results)
    name = Path(args.config).stem
    average = None if args.average is None else (args.average, args.share)
    facts = (metrics, args.data, args.license, args.hub, average)
    try:
        paths = publish(args.checkpoint, config, name, args.out, args.fp16, *facts)
    except OSError as error:
        raise UserError(f"{error.filename or args.out}: {error.strerror or error}") from error
    for path, what in zip(paths, ("weights", "card", "config")):
        print(f"{path}: {what}, {path.stat().st_size / 1e6:.2f} MB")
    return 0
