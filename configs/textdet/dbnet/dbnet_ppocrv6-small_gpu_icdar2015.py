# dbnet train dbnet_ppocrv6-small_gpu_icdar2015 --amp --max-minutes 8
# The shipped detector trained further, on windows half of which show generated pictures; all images
# lie on the GPU.
_base_ = ["./dbnet_ppocrv6-small_3k_icdar2015.py", "../../_base_/datasets/scenes.py"]

# The windows of the pictures are less enlarged than those of the photos: their words are larger.
_drawn_pipeline = [
    dict(type="RandomScaleCrop", size=(448, 448), scale=(0.6, 1.6)),
    dict(type="ColorJitter", brightness=32 / 255, saturation=0.5),
    dict(type="GenerateDBTargets"),
    dict(type="PackTextDetInputs"),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    dataset=dict(
        _delete_=True,
        type="ConcatDataset",
        datasets=[
            dict(pipeline=_base_.train_pipeline, **_base_.icdar2015_train),
            dict(pipeline=_drawn_pipeline, **_base_.scenes),
        ],
        weights=[1, 1],
    ),
)
# 2e-4 at batch 8, times the root of 4.
optim_wrapper = dict(optimizer=dict(lr=4e-4))
# The length where --max-minutes gives no time; the warm-up stays a twentieth of any.
train_cfg = dict(max_iters=20_000, val_interval=20_000)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type="CosineAnnealingLR", eta_min=1e-6, by_epoch=False, begin=1000),
]
default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=2000, max_keep_ckpts=1),
    device_data=dict(type="DeviceDataHook"),
)
