# tools/train.py configs/textdet/dbnet/dbnet_r50dcnv2_fpnc_1200e_icdar2015.py --amp \
#     --cfg-options load_from=work_dirs/dbnet_r50dcnv2_fpnc_100k_synthtext/iter_100000.pth
# Published: recall 0.796, precision 0.866, hmean 0.830 (MMOCR 0.3); 0.840 (MMOCR 0.4); 0.854 (MMOCR
# 1.x). The files of 0.x need dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03.py and ..._mmocr04.py.
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_r50dcnv2_fpnc.py",
    "../../_base_/datasets/icdar2015.py",
    "../../_base_/pipelines/dbnet_640.py",
    "../../_base_/pipelines/test_1024.py",
    "../../_base_/schedules/sgd_poly_1200e.py",
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
