# DBNet with a plain ResNet-50, whose batch norms keep ImageNet's statistics in training.
_base_ = ["./dbnet_r18_fpnc.py"]

model = dict(
    backbone=dict(depth=50, norm_eval=True, init_cfg=dict(checkpoint="torchvision://resnet50")),
)
