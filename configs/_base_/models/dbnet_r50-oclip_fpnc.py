# DBNet with the ResNet-50 of oCLIP, which was pre-trained on pictures and the texts in them. Its
# batch norms keep their statistics in training.
_base_ = ["./dbnet_r18_fpnc.py"]

model = dict(
    backbone=dict(
        _delete_=True,
        type="CLIPResNet",
        norm_eval=True,
        init_cfg=dict(
            type="Pretrained",
            checkpoint="https://download.openmmlab.com/mmocr/backbone/resnet50-oclip-7ba0c533.pth",
        ),
    ),
)
