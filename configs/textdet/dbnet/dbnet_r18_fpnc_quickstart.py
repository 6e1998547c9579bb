# tools/train.py configs/textdet/dbnet/dbnet_r18_fpnc_quickstart.py --amp
# No data, no pre-trained weights, minutes on two CPU cores: the real DBNet_r18 learns to find words
# in small generated pictures and is validated on others. It shows that everything works; for
# photos train on photos.
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_r18_fpnc.py",
]

model = dict(
    backbone=dict(init_cfg=None),
    # Boxes that fit: official hmean at IoU 0.8 is 0.78 instead of 0.69 (docs/metrics.md).
    postprocessor=dict(grow="inverse", shrink_ratio=0.55, bin_thresh=0.35),
)

_pictures = dict(
    type="SyntheticTextDataset", size=(256, 256), num_words=(2, 5), difficulty=0.0, level="word"
)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,  # draws faster than two cores train
    persistent_workers=True,
    sampler=dict(type="InfiniteKeySampler", shuffle=False),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(
        length=2000,  # each is seen once
        seed=0,
        pipeline=[dict(type="GenerateDBTargets"), dict(type="PackTextDetInputs")],
        **_pictures,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(
        length=64,
        seed=1,
        test_mode=True,
        # Leaves the pictures as they are; for photos give --test-size.
        pipeline=[
            dict(type="Resize", scale=(256, 256), keep_ratio=True),
            dict(type="PackTextDetInputs"),
        ],
        **_pictures,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="HmeanIOUMetric")
test_evaluator = val_evaluator

# From random weights: AdamW, a warm-up, clipped gradients, and a learning rate that falls to 0.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=False, max_iters=250, val_interval=250)
val_cfg = dict()
test_cfg = dict()
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type="CosineAnnealingLR", eta_min=1e-6, by_epoch=False, begin=20),
]
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(interval=250, by_epoch=False, max_keep_ckpts=1),
)
# What the last validation finds is drawn into WORK_DIR/predictions.
custom_hooks = [
    dict(type="NothingToLearnHook"),
    dict(type="NonFiniteLossHook"),
    dict(type="ConstantPredictorHook"),
    dict(type="CurvesHook"),
    dict(type="ShowPredictionsHook", show_dir="predictions"),
]
log_processor = dict(by_epoch=False)
