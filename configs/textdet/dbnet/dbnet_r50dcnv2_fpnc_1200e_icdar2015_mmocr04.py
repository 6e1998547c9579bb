# The conventions of MMOCR 0.4 to 0.6, to test and fine-tune its released file
#   dbnet_r50dcnv2_fpnc_sbn_1200e_icdar2015_20211025-9fe3b590.pth (published hmean 0.840)
# tools/test.py configs/textdet/dbnet/dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr04.py FILE
_base_ = ["./dbnet_r50dcnv2_fpnc_1200e_icdar2015.py"]

# RGB means that differ from ImageNet's by about one grey level, as in MMOCR 0.4 to 0.6.
model = dict(data_preprocessor=dict(mean=[122.67891434, 116.66876762, 104.00698793]))
train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(base_batch_size=8)
