import argparse
import functools
import os
from collections.abc import Callable
from pathlib import Path

from dbnet.apis.inferencer import Network
from dbnet.cli.console import command
from dbnet.cli.infer import make_inferencer
from dbnet.cli.serve import listen, require


@command("demo")
def main(args: argparse.Namespace) -> int:
    """Show the page until Ctrl-C."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is sent anywhere
    require("gradio", extra="demo")
    with listen("127.0.0.1", args.port) as free:  # gradio binds it itself
        port = free.getsockname()[1]
    from dbnet.serving.page import build_page
    from dbnet.serving.session import Models

    page = build_page(Models(openers(args)))
    print(f"the page is at http://127.0.0.1:{port}; Ctrl-C stops", flush=True)
    page.launch(server_name="127.0.0.1", server_port=port, quiet=True)
    return 0


def openers(args: argparse.Namespace) -> dict[str, Callable[[], Network]]:
    """Name the detectors to choose from: that of --config and --checkpoint, then the others."""
    first = args.checkpoint or args.config or "the package's"
    chosen = {Path(first).name: args}
    for path in args.models:
        own = argparse.Namespace(**vars(args) | dict(config=None, checkpoint=path))
        chosen[Path(path).name] = own
    return {name: functools.partial(open_network, own) for name, own in chosen.items()}


def open_network(args: argparse.Namespace) -> Network:
    return make_inferencer(args).network
