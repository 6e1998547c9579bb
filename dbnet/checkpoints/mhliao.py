"""MhLiao/DB, the paper's own code: names of its weights, and the order of its pyramid's levels.

Its networks concatenate the levels p5, p4, p3, p2, ours p2, p3, p4, p5, so that the first
convolutions of both branches of the head have their input channels in another order. Their
classifier `fc` and the convolution `smooth`, which no forward pass uses, are left out.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from dbnet.errors import UserError

LEVELS = 4
PREFIX = "model.module."  # of the training class and DataParallel around the network
UNUSED = re.compile(r"backbone\.(fc|smooth)\.")
# Regular expressions from its names to ours, and templates back.
RULES = [
    (r"backbone\.(.*)\.conv2_offset\.(\w+)", r"backbone.\1.conv2.conv_offset.\2"),
    (r"backbone\.(.*)", r"backbone.\1"),
    *[
        (rf"decoder\.in{level + 2}\.(\w+)", rf"neck.lateral_convs.{level}.conv.\1")
        for level in range(LEVELS)
    ],
    (r"decoder\.out2\.(\w+)", r"neck.smooth_convs.0.conv.\1"),
    *[
        (rf"decoder\.out{level + 2}\.0\.(\w+)", rf"neck.smooth_convs.{level}.conv.\1")
        for level in range(1, LEVELS)
    ],
    (r"decoder\.binarize\.(.*)", r"det_head.binarize.\1"),
    (r"decoder\.thresh\.(.*)", r"det_head.threshold.\1"),
]
OFFSETS = re.compile(r"backbone\.(.*)\.conv2\.conv_offset\.(\w+)")
FIRST_OF_HEAD = re.compile(r"det_head\.(binarize|threshold)\.0\.weight")


def is_mhliao(state: Mapping[str, object]) -> bool:
    """Check whether a state dict has MhLiao/DB's names."""
    return any(_bare(key).startswith("decoder.in5.") for key in state)


def from_mhliao(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of MhLiao/DB to the names of this project."""
    renamed = {}
    for key, value in state.items():
        if UNUSED.match(_bare(key)):
            continue
        name = _rename(_bare(key))
        if name is None:
            raise UserError(f"{key} of MhLiao/DB has no counterpart here; DBNet++ of it has none")
        renamed[name] = _reverse_levels(value) if FIRST_OF_HEAD.fullmatch(name) else value
    return renamed


def to_mhliao(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `from_mhliao`."""
    inverse = {_rename(name): name for name in _decoder_names(state)}
    renamed = {}
    for key, value in state.items():
        if FIRST_OF_HEAD.fullmatch(key):
            value = _reverse_levels(value)
        if key.startswith("backbone."):
            name = OFFSETS.sub(r"backbone.\1.conv2_offset.\2", key)
        elif key in inverse:
            name = inverse[key]
        else:
            raise UserError(f"{key} has no counterpart in MhLiao/DB")
        renamed[PREFIX + name] = value
    return renamed


def _bare(key: str) -> str:
    """Strip what the training class and wrappers for several GPUs put before a name."""
    return re.sub(r"^(model\.|module\.)*", "", key)


def _rename(name: str) -> str | None:
    for pattern, template in RULES:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, template, name)
    return None


def _decoder_names(state: Mapping[str, Tensor]) -> list[str]:
    """Names that a decoder of MhLiao/DB can have, with the endings that occur in a state dict."""
    endings = {key.rpartition(".")[2] for key in state}
    stems = [f"decoder.in{level}" for level in range(2, LEVELS + 2)] + ["decoder.out2"]
    stems += [f"decoder.out{level}.0" for level in range(3, LEVELS + 2)]
    stems += [f"decoder.{branch}.{i}" for branch in ("binarize", "thresh") for i in range(7)]
    return [f"{stem}.{ending}" for stem in stems for ending in endings]


def _reverse_levels(weight: Tensor) -> Tensor:
    """Turn round the four groups of input channels of a convolution's weight."""
    return torch.cat(weight.chunk(LEVELS, dim=1)[::-1], dim=1)
