# tools/train.py configs/textdet/dbnet/dbnet_ppocr_finetune_icdar2015.py \
#     --cfg-options model.backbone.file=FILE.onnx
# Any DB detector in an ONNX file; docs/ppocr.md says what each generation of PP-OCR is worth.
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_ppocr.py",
    "../../_base_/datasets/icdar2015.py",
    "../../_base_/pipelines/scale_crop_448.py",
    # RapidOCR's and PaddleOCR's size for photos is 736 on the short side.
    "../../_base_/pipelines/test_736.py",
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteKeySampler", shuffle=True),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(pipeline=_base_.train_pipeline, **_base_.icdar2015_train),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(pipeline=_base_.test_pipeline, **_base_.icdar2015_test),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="HmeanIOUMetric")
test_evaluator = val_evaluator

# A third of it is too slow; three times as much is no better after 300 steps (docs/ppocr.md).
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=2e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=False, max_iters=3000, val_interval=3000)
val_cfg = dict(type="OverlappedValLoop")
test_cfg = dict(type="OverlappedTestLoop")
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=200),
    dict(type="CosineAnnealingLR", eta_min=1e-6, by_epoch=False, begin=200),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)

default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(interval=100, by_epoch=False, max_keep_ckpts=2),
)
custom_hooks = [
    dict(type="NothingToLearnHook"),
    dict(type="NonFiniteLossHook"),
    dict(type="CurvesHook"),
    dict(type="EMAHook", momentum=0.002),
]
log_processor = dict(by_epoch=False)
