"""Formats of checkpoints: whose names the weights have, and in what kind of file they lie."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from dbnet.checkpoints import FORMATS
from dbnet.checkpoints.mhliao import from_mhliao, is_mhliao, to_mhliao
from dbnet.checkpoints.names import from_backbone, rename_keys, to_backbone, to_mmocr0
from dbnet.checkpoints.read import read_checkpoint, safetensors_package, state_dict_of, to_bytes
from dbnet.errors import UserError
from dbnet.utils.files import replace_when_complete

State = dict[str, Tensor]


class Format(NamedTuple):
    """Whose names a state dict has: whether it has them, how it is read to ours, and written."""

    recognises: Callable[[Mapping[str, Tensor]], bool]
    read: Callable[[Mapping[str, Tensor]], State]
    write: Callable[[Mapping[str, Tensor]], State]


def having(*beginnings: str) -> Callable[[Mapping[str, Tensor]], bool]:
    """Make the check whether a name in a state dict begins with one of these."""
    return lambda state: any(key.startswith(beginnings) for key in state)


# The first that recognises a file is taken.
NAMED = {
    "mhliao": Format(is_mhliao, from_mhliao, to_mhliao),
    "mmocr0": Format(having("bbox_head.", "module.bbox_head."), rename_keys, to_mmocr0),
    "dbnet": Format(having("det_head.", "neck.", "backbone."), rename_keys, dict),
    "backbone": Format(having("layer1.0."), from_backbone, to_backbone),
}


def read_weights(source: str, format_name: str | None = None) -> tuple[State, str]:
    """Read a file of any format, which is found out if not given, to the names of this project.

    Returns:
        The state dict and the format's name.
    """
    state = {
        key: value
        for key, value in state_dict_of(read_checkpoint(source), source).items()
        if isinstance(value, Tensor)
    }
    if format_name is None:
        format_name = next((name for name in NAMED if NAMED[name].recognises(state)), None)
        if format_name is None:
            first = next(iter(state), "nothing")
            raise UserError(
                f"{source}: names of no known format (first: {first}); formats are "
                f"{', '.join(FORMATS)}"
            )
    elif not NAMED[format_name].recognises(state):
        raise UserError(f"{source}: has no names of {FORMATS[format_name]}")
    return NAMED[format_name].read(state), format_name


def write_weights(state: Mapping[str, Tensor], target: Path, format_name: str = "dbnet") -> int:
    """Write weights of this project's names, and nothing else, by the names of a format.

    A `target` that ends in `.safetensors` is one, any other PyTorch's.

    Returns:
        How many tensors the file has.
    """
    written = NAMED[format_name].write(state)
    renamed = {key: value.contiguous() for key, value in written.items()}
    # To memory first: of a folder where nothing can be written, neither package says so by OSError.
    if target.suffix == ".safetensors":
        content = safetensors_package().save(renamed)
    else:
        content = to_bytes({"state_dict": renamed})
    with replace_when_complete(target) as partial:
        partial.write_bytes(content)
    return len(renamed)
