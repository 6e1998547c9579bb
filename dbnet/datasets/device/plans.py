"""What is sampled for a training sample, from its annotation and its image's size alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from dbnet.datasets.device.store import Source
from dbnet.datasets.transforms import (
    ColorJitter,
    GenerateDBTargets,
    LoadImage,
    PackTextDetInputs,
    RandomAffineCrop,
    RandomScaleCrop,
)
from dbnet.datasets.transforms.geometric import (
    AffineCropTransform,
    compose,
    enlarging_matrix,
    shrink_factor,
)
from dbnet.datasets.transforms.photometric import JitterFactors
from dbnet.datasets.transforms.targets import Instance, touching_instances
from dbnet.errors import UserError


class SamplePlan(NamedTuple):
    """All that the device needs to make a sample."""

    source: Source  # the image in the store, or a version of it averaged down
    to_source: np.ndarray  # (2, 3), from pixels of the sample to pixels of `source`
    filled: tuple[int, int]  # (W, H) of the part of the sample that the crop fills
    jitter: JitterFactors  # changes of the colours
    instances: list[Instance]  # the texts that touch the target maps
    metas: dict  # as those of `PackTextDetInputs`


@dataclass
class Planner:
    """Plan a sample of a dataset, in place of its pipeline."""

    crop: AffineCropTransform
    jitter: ColorJitter
    targets: GenerateDBTargets
    versions: dict[int, list[Source]]  # where each image lies, by its index

    def __call__(self, sample: dict) -> SamplePlan:
        versions = self.versions[sample["sample_idx"]]
        shape, size = versions[0].shape, self.crop.size
        crop = self.crop.sample(sample["polygons"], sample["ignored"], shape, sample["rng"])
        jitter = self.jitter.sample(sample["rng"])
        source = versions[min(shrink_factor(crop.affine), len(versions)) - 1]
        affine = compose(crop.affine, enlarging_matrix(source.shape, shape))
        instances = touching_instances(
            crop.polygons,
            crop.ignored,
            (size[1], size[0]),
            self.targets.shrink_ratio,
            self.targets.min_text_size,
        )
        metas = dict(
            img_path=sample["img_path"],
            ori_shape=shape,
            img_shape=(size[1], size[0]),
            scale_factor=(1.0, 1.0),
        )
        return SamplePlan(
            source, cv2.invertAffineTransform(affine), crop.filled, jitter, instances, metas
        )


def pipeline_parts(
    transforms: Sequence[Any], path: str = "train_dataloader.dataset"
) -> tuple[AffineCropTransform, ColorJitter, GenerateDBTargets]:
    """Take the parts of a training pipeline that have a counterpart on the device.

    Where the images are drawn it has no `LoadImage`; `path` is the dataset's in the config.
    """
    given = [type(transform) for transform in transforms]
    crop = RandomScaleCrop if RandomScaleCrop in given else RandomAffineCrop
    known = [LoadImage, crop, ColorJitter, GenerateDBTargets, PackTextDetInputs]
    left_out = [kind for kind in (LoadImage, ColorJitter) if kind not in given]
    if given != [kind for kind in known if kind not in left_out]:
        raise UserError(
            f"default_hooks.device_data: {path}.pipeline is "
            f"{', '.join(kind.__name__ for kind in given)}; on the device it must be "
            f"{', '.join(kind.__name__ for kind in known)}: train without this hook"
        )
    parts = {type(transform): transform for transform in transforms}
    if crop is RandomScaleCrop and parts[crop].scale[0] <= 0.5:  # would need smaller versions
        raise UserError(
            f"default_hooks.device_data: RandomScaleCrop.scale begins at {parts[crop].scale[0]}; "
            "on the device it must be above 0.5"
        )
    return parts[crop], parts.get(ColorJitter, ColorJitter(0.0, 0.0)), parts[GenerateDBTargets]
