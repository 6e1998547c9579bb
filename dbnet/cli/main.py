import importlib
import sys
from collections.abc import Sequence

from dbnet.cli.console import one_line_errors
from dbnet.cli.options import parse

COMMANDS = {
    "train": "train a text detector",
    "test": "test a text detector",
    "infer": "find the texts in images",
    "evaluate": "evaluate predictions in files",
    "prepare": "make annotation files of public datasets or of your own labels",
    "check": "look for damaged images, bad polygons and common pictures before training",
    "browse": "draw a config's samples as the network sees them",
    "plot-log": "plot the losses and metrics of runs",
    "model-info": "print parameters, FLOPs and speed of a model",
    "convert": "convert weights between the names of several projects",
    "publish": "make a checkpoint ready for others, with a model card",
    "zoo": "show and download the models that MMOCR has released",
}


def main() -> int:
    """Run `dbnet COMMAND ARGUMENTS...`."""
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command in COMMANDS:
        return run(command, sys.argv[2:])
    lines = [f"  {name:10}  {text}" for name, text in COMMANDS.items()]
    print("usage: dbnet COMMAND ARGUMENTS... (dbnet COMMAND --help explains)", *lines, sep="\n")
    return 0 if command in ("-h", "--help") else 2


def run(command: str, argv: Sequence[str] | None = None) -> int:
    """Parse the arguments of a command and run it; what it needs is imported in between."""
    args = parse(command, argv)
    name = f"dbnet.cli.{command.replace('-', '_')}"
    return one_line_errors(lambda: importlib.import_module(name).main(args))
