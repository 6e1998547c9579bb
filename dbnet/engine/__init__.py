from dbnet.engine.checkpoint_hook import SafeCheckpointHook
from dbnet.engine.hooks import (
    ConstantPredictorHook,
    CurvesHook,
    MetricsHook,
    NonFiniteLossHook,
    ShowPredictionsHook,
)
from dbnet.engine.optim_wrapper import Bfloat16OptimWrapper

__all__ = [
    "Bfloat16OptimWrapper",
    "ConstantPredictorHook",
    "CurvesHook",
    "MetricsHook",
    "NonFiniteLossHook",
    "SafeCheckpointHook",
    "ShowPredictionsHook",
]
