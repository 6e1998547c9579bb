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
# Modules by its names, and by ours; what they have inside is called alike.
STEMS = {
    "backbone": "backbone",
    **{f"decoder.in{level + 2}": f"neck.lateral_convs.{level}.conv" for level in range(LEVELS)},
    "decoder.out2": "neck.smooth_convs.0.conv",
    **{f"decoder.out{i + 2}.0": f"neck.smooth_convs.{i}.conv" for i in range(1, LEVELS)},
    "decoder.binarize": "det_head.binarize",
    "decoder.thresh": "det_head.threshold",
}
OFFSETS = (".conv2_offset.", ".conv2.conv_offset.")  # of deformable convolutions
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
        name = _rename(_bare(key).replace(*OFFSETS), STEMS)
        if name is None:
            raise UserError(f"{key} of MhLiao/DB has no counterpart here; DBNet++ of it has none")
        renamed[name] = _reverse_levels(value) if FIRST_OF_HEAD.fullmatch(name) else value
    return renamed


def to_mhliao(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `from_mhliao`."""
    stems = {ours: its for its, ours in STEMS.items()}
    renamed = {}
    for key, value in state.items():
        name = _rename(key.replace(*OFFSETS[::-1]), stems)
        if name is None:
            raise UserError(f"{key} has no counterpart in MhLiao/DB")
        renamed[PREFIX + name] = _reverse_levels(value) if FIRST_OF_HEAD.fullmatch(key) else value
    return renamed


def _bare(key: str) -> str:
    """Strip what the training class and wrappers for several GPUs put before a name."""
    return re.sub(r"^(model\.|module\.)*", "", key)


def _rename(name: str, stems: Mapping[str, str]) -> str | None:
    found = (stems[stem] + name[len(stem) :] for stem in stems if name.startswith(f"{stem}."))
    return next(found, None)


def _reverse_levels(weight: Tensor) -> Tensor:
    """Turn round the four groups of input channels of a convolution's weight."""
    return torch.cat(weight.chunk(LEVELS, dim=1)[::-1], dim=1)
