from dbnet.datasets.collate import collate_text_det
from dbnet.datasets.samplers import EpochKeySampler, InfiniteKeySampler, SampleKey
from dbnet.datasets.text_det_dataset import TextDetDataset

__all__ = [
    "EpochKeySampler",
    "InfiniteKeySampler",
    "SampleKey",
    "TextDetDataset",
    "collate_text_det",
]
