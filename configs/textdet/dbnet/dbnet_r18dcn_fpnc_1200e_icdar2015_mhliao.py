# For the files that MhLiao/DB, the paper's own code, has released for ICDAR2015 with a deformable
# ResNet-18; they load by their own names:
# tools/test.py configs/textdet/dbnet/dbnet_r18dcn_fpnc_1200e_icdar2015_mhliao.py FILE
# Published there: recall 0.775, precision 0.877, hmean 0.823 at a score of 0.55.
_base_ = ["dbnet_r18_fpnc_1200e_icdar2015.py"]

model = dict(
    backbone=dict(stage_with_dcn=(False, True, True, True)),
    # Means of R, G and B on pixels in the order B, G, R, as there.
    data_preprocessor=dict(
        mean=[122.67891434, 116.66876762, 104.00698793],
        std=[255.0, 255.0, 255.0],
        bgr_to_rgb=False,
    ),
)

# 1280x736, whatever the photo's aspect ratio.
_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(1280, 736), keep_ratio=False),
    dict(type="PackTextDetInputs"),
]
val_dataloader = dict(dataset=dict(pipeline=_pipeline))
test_dataloader = val_dataloader
