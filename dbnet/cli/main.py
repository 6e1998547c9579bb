import importlib
import sys

COMMANDS = {
    "train": "train a text detector",
    "test": "test a text detector",
    "evaluate": "evaluate predictions in files",
    "prepare": "make annotation files of a public data set",
}


def main() -> int:
    """Run `dbnet COMMAND ARGUMENTS...`."""
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command in COMMANDS:
        return importlib.import_module(f"dbnet.cli.{command}").main(sys.argv[2:])
    lines = [f"  {name:8}  {text}" for name, text in COMMANDS.items()]
    print("usage: dbnet COMMAND ARGUMENTS... (dbnet COMMAND --help explains)", *lines, sep="\n")
    return 0 if command in ("-h", "--help") else 2
