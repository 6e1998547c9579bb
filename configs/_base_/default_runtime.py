default_scope = "dbnet"

env_cfg = dict(
    cudnn_benchmark=True,  # training images all have one size
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    # Seconds until a process notices that another one has fallen silent; NCCL's own default.
    dist_cfg=dict(backend="nccl", timeout=600),
)
# One seed fixes initialisation, order and augmentation; `--seed` gives another. Augmentation is a
# function of (seed, epoch, image), so a resumed run continues as the uninterrupted one would.
randomness = dict(seed=0)

# The hooks named "Safe" and "Batched" are this project's; a config's "CheckpointHook" and
# "RuntimeInfoHook" mean the same two, and "OptimWrapper" means AsyncOptimWrapper.
default_hooks = dict(
    runtime_info=dict(type="BatchedRuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    logger=dict(type="LoggerHook", interval=5),
    param_scheduler=dict(type="ParamSchedulerHook"),
    sync_buffers=dict(type="SyncBuffersHook"),  # batch statistics, over processes, before each test
    # The last checkpoint is the result, never the best on the test set. The one before it stays as
    # a spare.
    checkpoint=dict(type="SafeCheckpointHook", interval=20, max_keep_ckpts=2),
)
custom_hooks = [
    dict(type="NothingToLearnHook"),
    dict(type="NonFiniteLossHook"),
    dict(type="ConstantPredictorHook"),
    dict(type="CurvesHook"),
]

log_level = "INFO"
log_processor = dict(type="LogProcessor", window_size=10, by_epoch=True)
visualizer = dict(
    type="Visualizer",
    vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")],
)
