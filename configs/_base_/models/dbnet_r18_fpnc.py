# DBNet with a plain ResNet-18, as in MMOCR. The paper's own r18 is deformable and pre-trained on
# SynthText.
model = dict(
    type="DBNet",
    backbone=dict(
        type="ResNet",
        depth=18,
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet18"),
    ),
    neck=dict(type="FPNC", lateral_channels=256, out_channels=64),
    det_head=dict(type="DBHead"),
    loss=dict(type="DBLoss", prob_weight=5.0, thresh_weight=10.0, negative_ratio=3.0),
    postprocessor=dict(type="DBPostprocessor", text_repr_type="quad"),
    data_preprocessor=dict(
        type="TextDetDataPreprocessor",
        mean=[123.675, 116.28, 103.53],  # ImageNet, RGB
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    ),
)
