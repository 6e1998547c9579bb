"""A command's parser, and the arguments that several commands have."""

import argparse
from pathlib import Path
from typing import Any

from dbnet.cli.options.values import ConfigOptions, parse_names, parse_size, positive

LAUNCHERS = ("none", "pytorch", "slurm")
DIR: dict[str, Any] = dict(type=Path, metavar="DIR")
NUMBER: dict[str, Any] = dict(type=positive, metavar="N")
SIZE: dict[str, Any] = dict(type=parse_size, metavar="W,H")

SHARED: dict[str, dict[str, Any]] = {
    "config": dict(help="config file, or its name"),
    "--work-dir": dict(help="logs; ./work_dirs/CONFIG_NAME if not given"),
    "--data-root": dict(help="folder of the annotation files"),
    "--test-size": dict(**SIZE, help="long and short side at most, in pixels"),
    "--cfg-options": dict(nargs="+", action=ConfigOptions, metavar="KEY=VALUE"),
    "--launcher": dict(choices=LAUNCHERS, default="none"),
    "--device": dict(help="cpu, cuda, cuda:1, ...; an accelerator if there is one"),
    "--amp": dict(action="store_true", help="bfloat16 where the device computes it natively"),
}


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` for a command."""

    add = argparse.ArgumentParser.add_argument

    def __init__(self, command: str, description: str, **kwargs: Any) -> None:
        super().__init__(prog=f"dbnet {command}", description=description, **kwargs)

    def share(self, *names: str) -> None:
        """Add options that several commands have."""
        for name in names:
            self.add(name, **SHARED[name])


def share_network(parser: Parser) -> None:
    parser.add(
        "--amp",
        action=argparse.BooleanOptionalAction,
        help="bfloat16, or float32; if not given, bfloat16 on processors that compute it natively",
    )
    parser.share("--device", "--test-size", "--cfg-options")


def share_classes(parser: Parser) -> None:
    for option, text in (
        ("--keep", "classes of labels that are texts; others are left out (default: all)"),
        ("--ignore", "classes whose texts are ignored, neither learnt nor counted"),
    ):
        parser.add(option, type=parse_names, default=(), metavar="NAME,NAME", help=text)
