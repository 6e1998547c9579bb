"""What a training sample passes. The public names are imported at first use: they bring torch."""

import importlib
from typing import Any

_MODULES = {
    "ConcatDataset": "concat_dataset",
    "EpochKeySampler": "samplers",
    "EqualShapeBatchSampler": "samplers",
    "InfiniteKeySampler": "samplers",
    "SampleKey": "samplers",
    "TextDetDataset": "text_det_dataset",
    "collate_text_det": "collate",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
