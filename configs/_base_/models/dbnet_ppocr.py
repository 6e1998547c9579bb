# A detector of PP-OCR, or of anybody else, from an ONNX file: model.backbone.file=FILE.onnx. It
# brings its own neck and the branch of the probability map; the threshold branch, which only
# training needs and no file has, starts fresh.
model = dict(
    type="DBNet",
    backbone=dict(type="ONNXGraph", file=None, norm_eval=True),
    neck=None,
    # Batch norms in the new branch would learn their statistics from 4 to 8 windows.
    det_head=dict(type="DBHead", norm=False),
    loss=dict(type="DBLoss", prob_weight=5.0, thresh_weight=10.0, negative_ratio=3.0),
    postprocessor=dict(
        type="DBPostprocessor",
        bin_thresh=0.3,  # PaddleOCR's and RapidOCR's, of all generations
        # RapidOCR's; PaddleOCR has 0.6. Fine-tuned for long, 0.7 (docs/ppocr.md).
        box_thresh=0.5,
        unclip_ratio=1.5,  # PaddleOCR's since v3; RapidOCR has 1.6
        text_repr_type="quad",
    ),
    data_preprocessor=dict(
        type="TextDetDataPreprocessor",
        # ImageNet's statistics of R, G and B on pixels in the order B, G, R: so PaddleOCR trains
        # all generations. RapidOCR runs them with 127.5 for all six numbers.
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=False,
        pad_size_divisor=32,  # the coarsest features have stride 32
    ),
)
