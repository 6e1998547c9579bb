_base_ = [
    "../datasets/icdar2015.py",
    "../pipelines/dbnet_640.py",
    "../pipelines/test_1024.py",
]

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
