# For the files that MhLiao/DB, the paper's own code, has released for ICDAR2015 with a deformable
# ResNet-50; they load by their own names.
# Published there: recall 0.803, precision 0.913, hmean 0.854 at 1280x736 and a score of 0.6; recall
# 0.840, precision 0.907, hmean 0.872 with --test-size 2048,1152.
_base_ = ["dbnet_r18dcn_fpnc_1200e_icdar2015_mhliao.py"]

model = dict(
    backbone=dict(
        depth=50,
        init_cfg=dict(checkpoint="torchvision://resnet50"),
    ),
)
