"""What each command takes. Nothing here is slow to import, so help and mistakes come at once."""

import argparse
from collections.abc import Sequence

from dbnet.cli.options import data, models, weights

MODULES = {
    data: "prepare convert-labels check browse evaluate report plot-log",
    models: "train test tune infer export serve demo",
    weights: "model-info convert publish zoo",
}
PARSERS = {
    name: getattr(module, name.replace("-", "_"))
    for module, names in MODULES.items()
    for name in names.split()
}


def parse(command: str, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments of a command; None stands for those of the process."""
    parser = PARSERS[command]()
    args = parser.parse_args(argv)
    if command == "prepare" and not args.list:
        args.raw = args.raw or (args.labels if args.images else None)
        if None in (args.name, args.raw, args.out):
            parser.error("NAME, --raw and --out are needed (or --list alone)")
    return args
