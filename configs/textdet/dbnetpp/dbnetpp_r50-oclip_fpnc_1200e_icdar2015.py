# tools/train.py configs/textdet/dbnetpp/dbnetpp_r50-oclip_fpnc_1200e_icdar2015.py --amp
# Published: precision 0.9174, recall 0.8609, hmean 0.8882 (MMOCR 1.x).
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnetpp_r50-oclip_fpnc.py",
    "../../_base_/datasets/icdar2015.py",
    "../../_base_/pipelines/dbnet_640.py",
    "../../_base_/pipelines/test_1024.py",
    "../../_base_/schedules/sgd_warmup200_poly_1200e.py",
]

optim_wrapper = dict(optimizer=dict(lr=0.002))

# All 1000 training images train; the test set only reports, every 20 epochs.
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
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
