"""Names of weights: of MMOCR 0.x and 1.x, in wrappers, and of a backbone alone."""

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from dbnet.errors import UserError

State = dict[str, Tensor]
Value = TypeVar("Value")


def rename_key(key: str) -> str:
    """Name of a parameter in MMOCR 1.x, given that of MMOCR 0.x, 1.x or a DDP-wrapped model."""
    key = key.removeprefix("module.")
    return "det_head." + key.removeprefix("bbox_head.") if key.startswith("bbox_head.") else key


def rename_keys(state: Mapping[str, Value]) -> dict[str, Value]:
    """Rename all parameters, see `rename_key`."""
    return {rename_key(key): value for key, value in state.items()}


def to_mmocr0(state: Mapping[str, Tensor]) -> State:
    """Rename the head as MMOCR 0.x does."""
    return {
        "bbox_head." + key.removeprefix("det_head.") if key.startswith("det_head.") else key: value
        for key, value in state.items()
    }


def from_backbone(state: Mapping[str, Tensor]) -> State:
    """Make a ResNet a detector's backbone, without its classifier."""
    left_out = ("fc.", "attnpool.")
    return {f"backbone.{key}": v for key, v in state.items() if not key.startswith(left_out)}


def to_backbone(state: Mapping[str, Tensor]) -> State:
    """Take the backbone out of a detector."""
    place = "backbone."
    found = {key.removeprefix(place): v for key, v in state.items() if key.startswith(place)}
    if not found:
        raise UserError("there is no backbone in it")
    return found
