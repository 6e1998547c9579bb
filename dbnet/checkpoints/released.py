"""What files that MMOCR released need of a config and cannot say themselves."""

import math
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Conventions:
    """How a network treats its input, where keys and shapes of the weights are the same.

    Attributes:
        style: Where bottlenecks have their stride, see `ResNet`.
        mean: Of the pixel values, in the order of channels after `bgr_to_rgb`.
        std: As `mean`.
        bgr_to_rgb: Whether the channels of BGR images are reversed.
    """

    style: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr_to_rgb: bool


MEAN_0X = (122.67891434, 116.66876762, 104.00698793)
MMOCR_03 = Conventions("caffe", MEAN_0X, (255.0,) * 3, False)
MHLIAO = Conventions("pytorch", MEAN_0X, (255.0,) * 3, False)
MMOCR_04 = Conventions("pytorch", MEAN_0X, (58.395, 57.12, 57.375), True)

# First digits of the SHA-256: the conventions, and a config that has them. All files are in
# configs/textdet/model-index.yml, here are those whose conventions are not MMOCR 1.x's.
RELEASED = {
    "91cef9af": (MMOCR_03, "dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03"),
    "aa96e477": (MMOCR_03, "dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03"),
    # Named after aa96e477 and db297554, which MMOCR 1.x gave its own parameter names.
    "ed322016": (MMOCR_03, "dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03"),
    "352fec8a": (MMOCR_04, "dbnetpp_r50dcnv2_fpnc_1200e_icdar2015_mmocr04"),
    "9fe3b590": (MMOCR_04, "dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr04"),
    "d7a76fff": (MMOCR_04, "dbnetpp_r50dcnv2_fpnc_1200e_icdar2015_mmocr04"),
    "db297554": (MMOCR_04, "dbnetpp_r50dcnv2_fpnc_1200e_icdar2015_mmocr04"),
}


def find_mismatch(digest: str, model: nn.Module) -> str | None:
    """Tell what makes a detector wrong for a released file whose keys and shapes fit it.

    Args:
        digest: SHA-256 of the file, hexadecimal.
        model: The detector.

    Returns:
        None if it is right, or the file has no entry here.
    """
    prefix = next((prefix for prefix in RELEASED if digest.startswith(prefix)), None)
    if prefix is None:
        return None
    needed, config = RELEASED[prefix]
    return compare(needed, model, f"MMOCR's {prefix}", config)


def compare(needed: Conventions, model: nn.Module, whose: str, config: str) -> str | None:
    """Tell in which conventions a detector differs from those that a file needs, if in any.

    Args:
        needed: What the file needs.
        model: The detector, with a `ResNet`.
        whose: The file, for the message.
        config: A config that has them.
    """
    found = conventions_of(model)
    wrong = [
        f"{name} {getattr(needed, name)} (is {getattr(found, name)})"
        for name in ("style", "mean", "std", "bgr_to_rgb")
        if not _equal(getattr(needed, name), getattr(found, name))
    ]
    if not wrong:
        return None
    return (
        f"{whose} needs {', '.join(wrong)}; its keys fit, but the results would be wrong: "
        f"use the config {config}"
    )


def conventions_of(model: Any) -> Conventions:
    """Read a detector's conventions off its layers."""
    first = model.backbone.layer2[0]
    # A ResNet-18 has no bottleneck, and thus no style.
    bottleneck = hasattr(first, "conv3")
    strided_first = bottleneck and first.conv1.stride != (1, 1) and first.conv2.stride == (1, 1)
    preprocessor = model.data_preprocessor
    return Conventions(
        "caffe" if strided_first else "pytorch",
        tuple(round(value, 4) for value in preprocessor.mean.flatten().tolist()),
        tuple(round(value, 4) for value in preprocessor.std.flatten().tolist()),
        preprocessor.bgr_to_rgb,
    )


def _equal(needed: object, found: object) -> bool:
    if isinstance(needed, tuple) and isinstance(found, tuple):
        return all(math.isclose(a, b, abs_tol=1e-2) for a, b in zip(needed, found, strict=True))
    return needed == found
