"""Write docs/command_line.md from the commands' own help.

python docs/generate_command_line.py
"""

import contextlib
import io
import os
from pathlib import Path
from unittest import mock

from dbnet.cli.main import COMMANDS
from dbnet.cli.options import PARSERS

TARGET = Path(__file__).with_name("command_line.md")
INTRODUCTION = """# Command line

After `pip install`, from any folder. The scripts in a clone's `tools/` are the same commands.
Written by `docs/generate_command_line.py` from the commands' own help (in Python 3.11).
"""


def help_of(command: str) -> str:
    """Catch what `dbnet COMMAND --help` prints, at a width of 88 columns."""
    output = io.StringIO()
    plain = mock.patch.dict(os.environ, COLUMNS="88", NO_COLOR="1")
    with plain, contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        PARSERS[command]().parse_args(["--help"])
    return output.getvalue().rstrip()


def reference() -> str:
    """Put the help of all commands into one page."""
    parts = [INTRODUCTION]
    for command, purpose in COMMANDS.items():
        parts.append(f"## dbnet {command}\n\n{purpose[0].upper()}{purpose[1:]}.\n")
        parts.append(f"```\n{help_of(command)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
