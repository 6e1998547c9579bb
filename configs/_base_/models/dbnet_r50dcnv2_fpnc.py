# DBNet with ResNet-50 whose stages 2 to 4 (c3..c5) have deformable convolutions v2.
model = dict(
    type="DBNet",
    backbone=dict(
        type="ResNet",
        depth=50,
        style="pytorch",  # MMOCR <= 0.3: "caffe"; see dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03
        stage_with_dcn=(False, True, True, True),
        init_cfg=dict(type="Pretrained", checkpoint="torchvision://resnet50"),
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
