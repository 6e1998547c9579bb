import argparse
import importlib
import signal
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dbnet.apis.inferencer import TextDetInferencer
from dbnet.cli.console import command
from dbnet.cli.infer import make_inferencer
from dbnet.errors import UserError
from dbnet.utils.files import sha256
from dbnet.version import __version__


@command("serve")
def main(args: argparse.Namespace) -> int:
    """Answer requests until SIGTERM or Ctrl-C."""
    uvicorn = importlib.import_module(require("uvicorn", "fastapi", "multipart", extra="serve"))
    listener = listen(args.host, args.port)
    from dbnet.serving.app import Limits, create_app
    from dbnet.serving.batcher import Batcher

    inferencer = make_inferencer(args)
    batcher = Batcher(inferencer, args.batch_size, args.max_waiting)
    limits = Limits(args.max_megabytes, args.max_megapixels, args.max_images, args.timeout)
    app = create_app(batcher, limits, describe(inferencer, args))
    host, port = listener.getsockname()[:2]
    print(f"listening at http://{host}:{port}, see /docs; Ctrl-C stops", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when all is answered
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=int(2 * args.timeout) + 1
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


def require(*modules: str, extra: str) -> str:
    """Ensure that the modules of an extra are there; return the first one's name."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            if error.name != module:
                raise
            raise UserError(f'{module} is missing: pip install "dbnet[{extra}]"') from None
    return modules[0]


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket, so that a taken port is found out before the model is loaded."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).split(" (")[0]  # asyncio's sockets repeat the address there
        raise UserError(
            f"--host {host} --port {port}: {reason}; choose others, or --port 0"
        ) from None
    listener.set_inheritable(True)
    return listener


def describe(inferencer: TextDetInferencer, args: argparse.Namespace) -> dict[str, Any]:
    """Say what the model is: the settings in an exported file, or config and checkpoint."""
    metadata = getattr(inferencer.network, "metadata", None)
    if metadata is not None:
        return {"dbnet": __version__, **asdict(metadata)}
    from dbnet.checkpoints.choose import choose_model

    config, checkpoint = choose_model(args.config, args.checkpoint)
    settings = vars(inferencer.network.postprocessor)
    facts = dict(dbnet=__version__, config=Path(config).stem, checkpoint=Path(checkpoint).name)
    card = Path(checkpoint).with_suffix(".md")  # as `dbnet publish` writes it
    if Path(checkpoint).is_file():
        facts["checkpoint_sha256"] = sha256(Path(checkpoint))
    if card.is_file():
        facts["card"] = card.read_text(encoding="utf-8")
    return {**facts, "postprocessor": settings}
