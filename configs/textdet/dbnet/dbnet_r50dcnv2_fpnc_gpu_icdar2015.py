# dbnet train dbnet_r50dcnv2_fpnc_gpu_icdar2015 --amp --max-minutes 15
# As dbnet_r18_fpnc_gpu_icdar2015.py; tested at 1024. Deformable convolutions have no bfloat16
# kernel: they compute in float32, their products in TF32.
_base_ = ["./dbnet_r18_fpnc_gpu_icdar2015.py"]

model = dict(
    backbone=dict(depth=50, style="pytorch", stage_with_dcn=(False, True, True, True)),
)

# 1280x720 photos become 1820x1024.
_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(4068, 1024), keep_ratio=True),
    dict(type="PackTextDetInputs"),
]
val_dataloader = dict(dataset=dict(pipeline=_test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=_test_pipeline))
