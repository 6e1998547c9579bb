# tools/train.py configs/textdet/dbnet/dbnet_r18_fpnc_1200e_totaltext.py --amp
# Published: precision 0.8640, recall 0.7770, hmean 0.8182 (MMOCR 1.x), for rectangles:
# --cfg-options model.postprocessor.text_repr_type=quad
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_r18_fpnc.py",
    "../../_base_/datasets/totaltext.py",
    "../../_base_/pipelines/dbnet_640.py",
    "../../_base_/pipelines/test_736.py",
    "../../_base_/schedules/sgd_poly_1200e.py",
]

# Curved words: polygons instead of MMOCR's rectangles.
model = dict(postprocessor=dict(text_repr_type="poly"))

# All 1255 training images train; the test set only reports, every 20 epochs.
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type="EpochKeySampler", shuffle=True),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(pipeline=_base_.train_pipeline, **_base_.totaltext_train),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="collate_text_det"),
    dataset=dict(pipeline=_base_.test_pipeline, **_base_.totaltext_test),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="HmeanIOUMetric")
test_evaluator = val_evaluator
