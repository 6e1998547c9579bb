"""Text detection with Differentiable Binarization: train, test, fine-tune and use DBNet."""

import importlib
from typing import TYPE_CHECKING, Any

from dbnet.utils.environment import prepare_environment
from dbnet.version import __version__

prepare_environment()

if TYPE_CHECKING:
    from dbnet.apis.detector import init_detector
    from dbnet.apis.inferencer import TextDetInferencer
    from dbnet.apis.train import train

__all__ = ["TextDetInferencer", "__version__", "init_detector", "train"]

# Imported at first use, since they bring torch, which takes seconds.
_MODULES = {
    "TextDetInferencer": "dbnet.apis.inferencer",
    "init_detector": "dbnet.apis.detector",
    "train": "dbnet.apis.train",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
