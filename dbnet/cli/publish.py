import argparse
from pathlib import Path

from dbnet.checkpoints.publish import publish, read_metrics
from dbnet.cli.errors import one_line_errors
from dbnet.config.load import load_config
from dbnet.errors import UserError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dbnet publish",
        description="Make a checkpoint ready for others: the weights alone (the averaged ones, if "
        "the run kept an average), the SHA-256 in the name, and a model card.",
    )
    parser.add_argument("config", help="config file, or its name")
    parser.add_argument("checkpoint", help="of that config: path or URL")
    parser.add_argument("--out", type=Path, required=True, help="folder for both files")
    parser.add_argument("--fp16", action="store_true", help="half the size, rounded to 11 bits")
    parser.add_argument(
        "--results", type=Path, help="results.json of `dbnet test --out`, for the card"
    )
    parser.add_argument("--data", help="what was trained on and under which licence, for the card")
    return parser.parse_args(argv)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Publish a checkpoint; give the exit status."""
    args = parse_args(argv)
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
