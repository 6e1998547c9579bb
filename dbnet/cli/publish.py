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
    try:
        published = publish(args.checkpoint, config, name, args.out, args.fp16, metrics, args.data)
    except OSError as error:
        raise UserError(f"{error.filename or args.out}: {error.strerror or error}") from error
    print(f"{published.weights}: {published.weights.stat().st_size / 1e6:.2f} MB")
    print(f"{published.card}: its card")
    return 0
