from dbnet.engine.checkpoint_hook import SafeCheckpointHook
from dbnet.engine.device_data_hook import DeviceDataHook
from dbnet.engine.evaluation_loops import OverlappedTestLoop, OverlappedValLoop
from dbnet.engine.hooks import (
    ConstantPredictorHook,
    CurvesHook,
    MetricsHook,
)
from dbnet.engine.loss_hooks import BatchedRuntimeInfoHook, NonFiniteLossHook
from dbnet.engine.optim_wrapper import AsyncOptimWrapper, Bfloat16OptimWrapper
from dbnet.engine.show_predictions_hook import ShowPredictionsHook

__all__ = [
    "AsyncOptimWrapper",
    "BatchedRuntimeInfoHook",
    "Bfloat16OptimWrapper",
    "ConstantPredictorHook",
    "CurvesHook",
    "DeviceDataHook",
    "MetricsHook",
    "NonFiniteLossHook",
    "OverlappedTestLoop",
    "OverlappedValLoop",
    "SafeCheckpointHook",
    "ShowPredictionsHook",
]
