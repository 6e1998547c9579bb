# tools/train.py configs/textdet/dbnet/dbnet_ppocrv6-small_3k_icdar2015.py --amp \
#     --cfg-options model.backbone.file=PP-OCRv6_det_small.onnx
_base_ = ["./dbnet_ppocr_finetune_icdar2015.py"]

# 1280x720 photos become 1820x1024; smaller pictures at most twice as large, as training windows do.
_test_pipeline = [
    dict(type="LoadImage"),
    dict(type="LimitedResize", scale=(4068, 1024), max_scale=2.0),
    dict(type="PackTextDetInputs"),
]
val_dataloader = dict(dataset=dict(pipeline=_test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=_test_pipeline))

model = dict(
    # The graph of PP-OCRv6's small detector, with the weights that this config was trained to.
    backbone=dict(file="dbnet://small"),
    postprocessor=dict(
        # Boxes that fit: mean IoU of the hits 0.808 instead of 0.780 on the 100 validation images
        # (docs/metrics.md). Its regions are as thick as if texts were shrunk with r = 0.55.
        grow="inverse",
        shrink_ratio=0.55,
        bin_thresh=0.35,
        box_thresh=0.7,
    ),
)
