import argparse

from dbnet.checkpoints import FORMATS
from dbnet.checkpoints.formats import read_weights, write_weights
from dbnet.cli.console import command
from dbnet.errors import UserError


@command("convert")
def main(args: argparse.Namespace) -> int:
    """Convert a checkpoint; return the exit status."""
    if args.dst.exists():
        raise UserError(f"{args.dst} is there already; give another name, or remove it")
    state, source_format = read_weights(args.src, args.source_format)
    try:
        args.dst.parent.mkdir(parents=True, exist_ok=True)
        num_tensors = write_weights(state, args.dst, args.target_format)
    except OSError as error:
        raise UserError(f"{args.dst}: {error.strerror or error}") from error
    size = args.dst.stat().st_size / 1e6
    print(
        f"{args.dst}: {num_tensors} tensors, {size:.1f} MB, from {source_format} "
        f"({FORMATS[source_format]}) to {args.target_format}"
    )
    return 0
