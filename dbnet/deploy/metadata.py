"""What an exported file knows besides its network: how to find texts with it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from dbnet.errors import UserError

KEY = "dbnet"  # of the JSON object in the file


@dataclass(frozen=True)
class Metadata:
    """Settings of a detector, stored in the exported file under `KEY`."""

    config: str  # its name
    checkpoint: str  # name of its file
    checkpoint_sha256: str
    version: str  # of this project
    precision: str  # "fp32", "fp16", "bf16" or "int8"
    layout: str  # "nchw", or "opencv": pixels 0..255 in BGR order in, a map (H, W) out
    size: tuple[int, int] | None  # (W, H) of a fixed input; None where it is free
    mean: list[float]  # subtracted from the pixels, in the network's order of channels
    std: list[float]  # divides the differences
    channel_order: str  # "bgr" or "rgb", of the network's input
    divisor: int  # height and width of the input are multiples of it; pads are 0
    resize: dict[str, Any]  # arguments of `fitted_size`: `scale` (long and short side), ...
    postprocessor: dict[str, Any]  # arguments of `DBPostprocessor`

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def parse_metadata(text: str | None, source: str) -> Metadata:
    """Read the JSON object of an exported file, which it has if `dbnet export` has written it."""
    if not text:
        raise UserError(
            f"{source}: has no settings of dbnet in it, as `dbnet export` writes them; export it "
            "from its config and checkpoint"
        )
    try:
        return Metadata(**json.loads(text))
    except (TypeError, ValueError) as error:
        reason = str(error).removeprefix("Metadata.__init__() ")
        raise UserError(
            f"{source}: its settings cannot be read ({reason}); export the checkpoint again with "
            "this version of dbnet"
        ) from None
