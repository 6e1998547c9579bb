# The conventions of MMOCR 0.1 to 0.3, to test and fine-tune its released files
#   dbnet_r50dcnv2_fpnc_sbn_1200e_icdar2015_20210325-91cef9af.pth (published hmean 0.830)
#   dbnet_r50dcnv2_fpnc_sbn_2e_synthtext_20210325-aa96e477.pth    (SynthText, to fine-tune)
# Their keys and shapes fit the other r50dcnv2 configs as well, but the outputs would be wrong:
# tools/test.py configs/textdet/dbnet/dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03.py FILE
_base_ = ["./dbnet_r50dcnv2_fpnc_1200e_icdar2015.py"]

model = dict(
    backbone=dict(style="caffe", init_cfg=None),
    # RGB means on BGR images, no division by the deviation: as those versions did (mmocr #578).
    data_preprocessor=dict(
        mean=[122.67891434, 116.66876762, 104.00698793], std=[255, 255, 255], bgr_to_rgb=False
    ),
)
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
