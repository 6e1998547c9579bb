from dbnet.datasets.collate import collate_text_det
from dbnet.datasets.samplers import EpochKeySampler, InfiniteKeySampler, SampleKey
from dbnet.datasets.synthetic_text_dataset import SyntheticTextDataset
from dbnet.datasets.text_det_dataset import TextDetDataset

__all__ = [
    "EpochKeySampler",
    "InfiniteKeySampler",
    "SampleKey",
    "SyntheticTextDataset",
    "TextDetDataset",
    "collate_text_det",
]
