import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from dbnet.cli.console import one_line_errors
from dbnet.cli.options import parse
from dbnet.config.find import find_config
from dbnet.weights import SHIPPED

COMMANDS = {
    "train": "train a text detector",
    "test": "test a text detector",
    "infer": "find the texts in images",
    "export": "write a detector for ONNX Runtime, OpenVINO, OpenCV and others",
    "serve": "find the texts in images that arrive by HTTP",
    "demo": "find the texts in images on a page in the browser",
    "evaluate": "evaluate predictions in files",
    "report": "show one result or two on a page: figures, causes of errors, the worst images",
    "tune": "search the settings of the post-processing",
    "prepare": "make annotation files of public datasets or of your own labels",
    "convert-labels": "write labels of one tool in the format of another",
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
    lines = [f"  {name:14}  {text}" for name, text in COMMANDS.items()]
    print("usage: dbnet COMMAND ARGUMENTS... (dbnet COMMAND --help explains)", *lines, sep="\n")
    return 0 if command in ("-h", "--help") else 2


def run(command: str, argv: Sequence[str] | None = None) -> int:
    """Parse the arguments of a command and run it; what it needs is imported in between."""
    args = parse(command, argv)
    status = one_line_errors(lambda: _work(command, args))
    _leave_processes(status)
    return status


def _leave_processes(status: int) -> None:
    """End one of several processes here: gloo's threads now and then abort an interpreter's end."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return
    distributed.destroy_process_group()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _work(command: str, args: argparse.Namespace) -> int:
    if getattr(args, "config", None) not in (None, *SHIPPED):
        find_config(args.config)  # a mistyped name is reported at once
    log, handler = logging.getLogger("dbnet"), logging.StreamHandler()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        return importlib.import_module(f"dbnet.cli.{command.replace('-', '_')}").main(args)
    finally:
        log.removeHandler(handler)
