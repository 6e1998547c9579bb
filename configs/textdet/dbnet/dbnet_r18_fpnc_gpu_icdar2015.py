# dbnet train dbnet_r18_fpnc_gpu_icdar2015 --amp --max-minutes 8
# DBNet_r18 from random weights in the minutes that a GPU is at hand. One run: half of every batch
# are generated pictures, which all cores draw into the GPU's memory (7.4 GB) before the first step.
_base_ = ["./dbnet_r18_fpnc_100e_icdar2015_scratch.py", "../../_base_/datasets/scenes.py"]

train_dataloader = dict(
    batch_size=16,
    sampler=dict(type="InfiniteKeySampler"),
    dataset=dict(
        _delete_=True,
        type="ConcatDataset",
        datasets=[
            dict(pipeline=_base_.train_pipeline, **_base_.icdar2015_train),
            dict(pipeline=_base_.train_pipeline[1:], **_base_.scenes),  # no file to load
        ],
        weights=[1, 1],
    ),
)

# 6e-4 at batch 8, times the root of 2.
optim_wrapper = dict(optimizer=dict(lr=8.5e-4))
auto_scale_lr = dict(base_batch_size=16)
# The length where --max-minutes gives no time; the warm-up stays a twentieth of any.
train_cfg = dict(_delete_=True, by_epoch=False, max_iters=20_000, val_interval=20_000)
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
