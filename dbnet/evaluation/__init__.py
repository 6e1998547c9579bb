from dbnet.evaluation.hmean_iou import HmeanIOUMetric, format_metrics
from dbnet.evaluation.prediction_collector import PredictionCollector
from dbnet.evaluation.submission import (
    check_submission_path,
    submission_names,
    write_submission,
)

__all__ = [
    "HmeanIOUMetric",
    "PredictionCollector",
    "check_submission_path",
    "format_metrics",
    "submission_names",
    "write_submission",
]
