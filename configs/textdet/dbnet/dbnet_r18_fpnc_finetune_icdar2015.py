# tools/train.py configs/textdet/dbnet/dbnet_r18_fpnc_finetune_icdar2015.py --amp \
#     --cfg-options load_from=FILE
# Of a detector, not of ImageNet's weights. docs/fine_tuning.md says when to change what.
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_r18_fpnc.py",
    "../../_base_/datasets/icdar2015.py",
    "../../_base_/pipelines/scale_crop_448.py",
    "../../_base_/pipelines/test_736.py",
    "../../_base_/schedules/finetune_adamw_100e.py",
]

# Boxes that fit, with the values that suit the quickstart's maps and the shipped model's alike.
model = dict(postprocessor=dict(grow="inverse", shrink_ratio=0.55, bin_thresh=0.35))

optim_wrapper = _base_.finetune.optim_wrapper
train_cfg = _base_.finetune.train_cfg
param_scheduler = _base_.finetune.param_scheduler
custom_hooks = _base_.finetune.custom_hooks
load_from = _base_.finetune.load_from
val_cfg = dict(type="OverlappedValLoop")
test_cfg = dict(type="OverlappedTestLoop")

# All 1000 training images train; the test set only reports, every 10 epochs.
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="EpochKeySampler", shuffle=True),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(pipeline=_base_.train_pipeline, **_base_.icdar2015_train),
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
