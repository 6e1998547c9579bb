"""Protocols, results and submissions. `results` is imported without torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dbnet.evaluation.hmean_iou import HmeanIOUMetric, format_metrics
    from dbnet.evaluation.prediction_collector import PredictionCollector

__all__ = ["HmeanIOUMetric", "PredictionCollector", "format_metrics"]

# Imported at first use, since they bring torch.
_MODULES = {
    "HmeanIOUMetric": "dbnet.evaluation.hmean_iou",
    "PredictionCollector": "dbnet.evaluation.prediction_collector",
    "format_metrics": "dbnet.evaluation.hmean_iou",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
