# dbnet train dbnet_r18_fpnc_gpu_icdar2015 --amp --max-minutes 8
# DBNet_r18 from random weights in the minutes that a GPU is at hand. One run: half of every batch
# are generated pictures, which all cores draw into the GPU's memory (7.4 GB) before the first step.
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_r18_fpnc.py",
    "../../_base_/datasets/icdar2015.py",
    "../../_base_/datasets/scenes.py",
    "../../_base_/pipelines/dbnet_640.py",
    "../../_base_/pipelines/test_736.py",
]

model = dict(backbone=dict(init_cfg=None))

train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="InfiniteKeySampler", shuffle=True),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(pipeline=_base_.train_pipeline, **_base_.icdar2015_train),
            dict(pipeline=_base_.train_pipeline[1:], **_base_.scenes),  # no file to load
        ],
        weights=[1, 1],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(pipeline=_base_.test_pipeline, **_base_.icdar2015_test),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="HmeanIOUMetric")
test_evaluator = val_evaluator

# The 100-epoch recipe from scratch has 6e-4 at batch 8; times the root of 2.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=8.5e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=5.0),
)
# The length where --max-minutes gives no time; the warm-up stays a twentieth of any.
train_cfg = dict(by_epoch=False, max_iters=20_000, val_interval=20_000)
val_cfg = dict(type="OverlappedValLoop")
test_cfg = dict(type="OverlappedTestLoop")
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type="CosineAnnealingLR", eta_min=1e-6, by_epoch=False, begin=1000),
]
default_hooks = dict(
    logger=dict(interval=50, log_metric_by_epoch=False),
    checkpoint=dict(interval=2000, by_epoch=False, max_keep_ckpts=1),
    device_data=dict(type="DeviceDataHook"),
)
custom_hooks = [
    dict(type="NothingToLearnHook"),
    dict(type="NonFiniteLossHook"),
    dict(type="ConstantPredictorHook"),
    dict(type="CurvesHook"),
    dict(type="EMAHook", momentum=0.002),  # over the last 500 steps
]
log_processor = dict(by_epoch=False)
