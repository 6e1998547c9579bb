from dbnet.datasets.collate import collate_text_det
from dbnet.datasets.concat_dataset import ConcatDataset
from dbnet.datasets.samplers import (
    EpochKeySampler,
    EqualShapeBatchSampler,
    InfiniteKeySampler,
    SampleKey,
)
from dbnet.datasets.text_det_dataset import TextDetDataset

__all__ = [
    "ConcatDataset",
    "EpochKeySampler",
    "EqualShapeBatchSampler",
    "InfiniteKeySampler",
    "SampleKey",
    "TextDetDataset",
    "collate_text_det",
]
