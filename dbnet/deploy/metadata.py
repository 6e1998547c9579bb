"""What an exported file knows besides its network: how to find texts with it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from dbnet.errors import UserError

KEY = "dbnet"  # of the JSON object in the file


@dataclass(frozen=True)
class Metadata:
    """Settings of a detector, stored in the exported file under `KEY`.

    Attributes:
        config: Name of the config.
        checkpoint: Name of the checkpoint's file.
        checkpoint_sha256: Of the checkpoint's file.
        version: Of this project.
        precision: "fp32", "fp16", "bf16" or "int8".
        layout: "nchw", or "opencv": pixels 0..255 in BGR order in, a map (H, W) out.
        size: (W, H) of a fixed input; None where it is free.
        mean: Subtracted from the pixels, in the network's order of channels.
        std: Divides the differences.
        channel_order: "bgr" or "rgb", of the network's input.
        divisor: Height and width of the input are multiples of it; pads are 0.
        resize: Arguments of `dbnet.resizing.fitted_size`: `scale` (long and short side), ...
        postprocessor: Arguments of `DBPostprocessor`.
    """

    config: str
    checkpoint: str
    checkpoint_sha256: str
    version: str
    precision: str
    layout: str
    size: tuple[int, int] | None
    mean: list[float]
    std: list[float]
    channel_order: str
    divisor: int
    resize: dict[str, Any]
    postprocessor: dict[str, Any]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def parse_metadata(text: str, source: str) -> Metadata:
    """Read the JSON object of an exported file."""
    try:
        return Metadata(**json.loads(text))
    except (TypeError, ValueError) as error:
        reason = str(error).removeprefix("Metadata.__init__() ")
        raise UserError(
            f"{source}: its settings cannot be read ({reason}); export the checkpoint again with "
            "this version of dbnet"
        ) from None
