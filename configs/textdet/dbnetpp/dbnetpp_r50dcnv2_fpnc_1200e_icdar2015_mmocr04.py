# The conventions of MMOCR 0.4 to 0.6, to test and fine-tune its released files
#   dbnetpp_r50dcnv2_fpnc_1200e_icdar2015-20220502-d7a76fff.pth         (published hmean 0.860)
#   dbnetpp_r50dcnv2_fpnc_100k_iter_synthtext-20220502-db297554.pth     (SynthText, to fine-tune)
# tools/test.py configs/textdet/dbnetpp/dbnetpp_r50dcnv2_fpnc_1200e_icdar2015_mmocr04.py FILE
_base_ = ["./dbnetpp_r50dcnv2_fpnc_1200e_icdar2015.py"]

# RGB means that differ from ImageNet's by about one grey level, as in MMOCR 0.4 to 0.6.
model = dict(data_preprocessor=dict(mean=[122.67891434, 116.66876762, 104.00698793]))
train_dataloader = dict(batch_size=32)
auto_scale_lr = dict(base_batch_size=32)
