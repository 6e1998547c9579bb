import argparse
from pathlib import Path

from dbnet.checkpoints.formats import ABOUT, READABLE, WRITABLE, read_weights, write_weights
from dbnet.cli.errors import one_line_errors
from dbnet.errors import UserError


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    lines = [f"  {name:9} {about}" for name, about in ABOUT.items()]
    parser = argparse.ArgumentParser(
        prog="dbnet convert",
        description="Convert the weights of a detector between the names of several projects. "
        "Only weights are kept: no optimizer, no history.",
        epilog="\n".join(["formats:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("src", metavar="SRC", help="checkpoint: path or URL, or an ONNX file")
    parser.add_argument("dst", metavar="DST", type=Path, help="new file, .pth or .safetensors")
    parser.add_argument(
        "--from", dest="source_format", choices=READABLE, help="default: found out by the names"
    )
    parser.add_argument(
        "--to", dest="target_format", choices=WRITABLE, default="dbnet", help="default: %(default)s"
    )
    return parser.parse_args(argv)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Convert a checkpoint; give the exit status."""
    args = parse_args(argv)
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
        f"({ABOUT[source_format]}) to {args.target_format}"
    )
    return 0
