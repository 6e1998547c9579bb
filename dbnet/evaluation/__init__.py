from dbnet.evaluation.hmean_iou import HmeanIOUMetric, format_metrics
from dbnet.evaluation.prediction_collector import PredictionCollector

__all__ = ["HmeanIOUMetric", "PredictionCollector", "format_metrics"]
