"""Train, validate and test: mmengine's Runner with loops that resume exactly.

One iteration, in order:

    batch = next(loader)                     workers have read, augmented and drawn targets
    hooks.before_train_iter                  NothingToLearnHook: stop where no sample has text
    data = data_preprocessor(batch)          to the device, float32, normalised, padded
    with optim_context:                      autocast, gradient accumulation
        maps = det_head(neck(backbone(data["inputs"])))
        losses = loss_module(maps, data["targets"])
    optim_wrapper.update_params(sum of losses)      backward, clip, step
    hooks.after_train_iter:
        runtime_info                         keep the losses on the device until a line is due,
                                             then read them and call after_losses_read:
            NonFiniteLossHook                stop at NaN, name the images
            ConstantPredictorHook            warn of P = 0.25 everywhere
        param_scheduler, EMAHook             learning rate, mean of the weights
        logger                               one line every `interval` iterations
        checkpoint                           write, point to it, remove the oldest
        InterruptHook                        save and stop after a signal
    if an epoch or val_interval is over:     EMA weights in, OverlappedValLoop, EMA weights out
"""

from dbnet.engine.checkpoint_hook import SafeCheckpointHook
from dbnet.engine.depth_decay import DepthDecay
from dbnet.engine.device_data_hook import DeviceDataHook
from dbnet.engine.evaluation_loops import OverlappedTestLoop, OverlappedValLoop
from dbnet.engine.hooks import (
    ConstantPredictorHook,
    CurvesHook,
    MetricsHook,
)
from dbnet.engine.loss_hooks import BatchedRuntimeInfoHook, NonFiniteLossHook
from dbnet.engine.nothing_to_learn_hook import NothingToLearnHook
from dbnet.engine.optim_wrapper import AsyncOptimWrapper, Bfloat16OptimWrapper
from dbnet.engine.show_predictions_hook import ShowPredictionsHook

__all__ = [
    "AsyncOptimWrapper",
    "BatchedRuntimeInfoHook",
    "Bfloat16OptimWrapper",
    "ConstantPredictorHook",
    "CurvesHook",
    "DepthDecay",
    "DeviceDataHook",
    "MetricsHook",
    "NonFiniteLossHook",
    "NothingToLearnHook",
    "OverlappedTestLoop",
    "OverlappedValLoop",
    "SafeCheckpointHook",
    "ShowPredictionsHook",
]
