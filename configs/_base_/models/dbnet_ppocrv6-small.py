# PP-OCRv6's small detector: 2.45 M parameters, its batch norms folded into the convolutions. The
# published file has no threshold branch; it starts fresh.
model = dict(
    type="DBNet",
    backbone=dict(type="PPLCNetV4"),
    neck=dict(type="RepLKFPN"),
    det_head=dict(type="DBHead", norm=False),
    loss=dict(type="DBLoss", prob_weight=5.0, thresh_weight=10.0, negative_ratio=3.0),
    postprocessor=dict(
        type="DBPostprocessor",
        # Boxes that fit: mean IoU of the hits 0.808 instead of 0.780 on the 100 validation images
        # (docs/metrics.md). Its regions are as thick as if texts were shrunk with r = 0.55.
        grow="inverse",
        shrink_ratio=0.55,
        bin_thresh=0.35,
        box_thresh=0.7,
        text_repr_type="quad",
    ),
    data_preprocessor=dict(
        type="TextDetDataPreprocessor",
        # ImageNet's statistics of R, G and B on pixels in the order B, G, R: so PP-OCR was trained.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,
        pad_size_divisor=32,
    ),
)
