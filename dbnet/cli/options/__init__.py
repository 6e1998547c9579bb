"""What each command takes. Nothing here is slow to import, so help and mistakes come at once."""

import argparse
from collections.abc import Sequence

from dbnet.cli.options.data import (
    browse,
    check,
    convert_labels,
    evaluate,
    plot_log,
    prepare,
    report,
)
from dbnet.cli.options.models import demo, export, infer, serve, test, train, tune
from dbnet.cli.options.weights import convert, model_info, publish, zoo

PARSERS = {
    "train": train,
    "test": test,
    "infer": infer,
    "export": export,
    "serve": serve,
    "demo": demo,
    "evaluate": evaluate,
    "report": report,
    "tune": tune,
    "prepare": prepare,
    "convert-labels": convert_labels,
    "check": check,
    "browse": browse,
    "plot-log": plot_log,
    "model-info": model_info,
    "convert": convert,
    "publish": publish,
    "zoo": zoo,
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
