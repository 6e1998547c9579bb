# tools/train.py configs/textdet/dbnet/dbnet_r18_fpnc_100k_synthtext.py --amp
# Pre-training for dbnet_r18_fpnc_1200e_icdar2015.py, which MMOCR starts from ImageNet weights.
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_r18_fpnc.py",
    "../../_base_/datasets/synthtext.py",
    "../../_base_/pipelines/dbnet_640.py",
    "../../_base_/schedules/sgd_poly_100k.py",
]

train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="InfiniteKeySampler", shuffle=True),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(pipeline=_base_.train_pipeline, **_base_.synthtext_train),
)
default_hooks = dict(
    logger=dict(interval=100),
    checkpoint=dict(interval=5000, by_epoch=False),
)
log_processor = dict(by_epoch=False)
