"""How a network treats its input: what a state dict cannot show, and two networks may differ in."""

import math
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dbnet.checkpoints.index import config_folder, find_by_hash

MHLIAO = "textdet/dbnet/dbnet_r18dcn_fpnc_1200e_icdar2015_mhliao.py"

# By name: `style`, where bottlenecks have their stride (see `ResNet`), `mean` and `std` of the
# pixel values in the order of channels after `bgr_to_rgb`, and `bgr_to_rgb`.
Conventions = dict[str, Any]


def find_mismatch(detector: Any, digest: str, from_mhliao: bool) -> str | None:
    """Describe what makes a detector wrong for a file whose keys and shapes fit it.

    `digest` is the SHA-256 of the file, by which those that MMOCR released are known.

    Returns:
        None if nothing does, or the file is unknown.
    """
    if from_mhliao:
        return compare(config_folder() / MHLIAO, detector, "MhLiao/DB's network")
    released = find_by_hash(digest)
    if released is None:
        return None
    return compare(released.config, detector, f"MMOCR's {released.sha256}")


def compare(config: Path, detector: Any, whose: str) -> str | None:
    """Describe in which conventions a detector differs from those of a file's config, if in any."""
    needed, found = conventions_of_config(config), conventions_of(detector)
    wrong = [
        f"{name} {value} (is {found[name]})"
        for name, value in needed.items()
        if not _equal(value, found[name])
    ]
    if not wrong:
        return None
    return (
        f"{whose} needs {', '.join(wrong)}; its keys fit, but the results would be wrong: "
        f"use the config {config.stem}"
    )


def conventions_of_config(path: Path) -> Conventions:
    """Read the conventions of the detector that a config describes."""
    model: Any = Config.fromfile(path).model
    mean, std = tuple(model.data_preprocessor.mean), tuple(model.data_preprocessor["std"])
    style = model.backbone.get("style", "pytorch")
    bgr_to_rgb = model.data_preprocessor.get("bgr_to_rgb", True)
    return dict(style=style, mean=mean, std=std, bgr_to_rgb=bgr_to_rgb)


def conventions_of(detector: Any) -> Conventions:
    """Read a detector's conventions off its layers."""
    first = detector.backbone.layer2[0]
    # A ResNet-18 has no bottleneck, and thus no style.
    bottleneck = hasattr(first, "conv3")
    strided_first = bottleneck and first.conv1.stride != (1, 1) and first.conv2.stride == (1, 1)
    mean, std = (
        tuple(round(value, 4) for value in buffer.flatten().tolist())
        for buffer in (detector.data_preprocessor.mean, detector.data_preprocessor.std)
    )
    style = "caffe" if strided_first else "pytorch"
    return dict(style=style, mean=mean, std=std, bgr_to_rgb=detector.data_preprocessor.bgr_to_rgb)


def _equal(needed: Any, found: Any) -> bool:
    if isinstance(needed, tuple):
        return all(math.isclose(a, b, abs_tol=1e-2) for a, b in zip(needed, found, strict=True))
    return needed == found
