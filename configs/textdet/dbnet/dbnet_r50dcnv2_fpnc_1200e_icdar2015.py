# tools/train.py configs/textdet/dbnet/dbnet_r50dcnv2_fpnc_1200e_icdar2015.py --amp \
#     --cfg-options load_from=work_dirs/dbnet_r50dcnv2_fpnc_100k_synthtext/iter_100000.pth
# Published: recall 0.796, precision 0.866, hmean 0.830 (MMOCR 0.3); 0.840 (MMOCR 0.4); 0.854 (MMOCR
# 1.x). The files of 0.x need dbnet_r50dcnv2_fpnc_1200e_icdar2015_mmocr03.py and ..._mmocr04.py.
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_r50dcnv2_fpnc.py",
    "../../_base_/loaders/icdar2015_1024.py",
    "../../_base_/schedules/sgd_poly_1200e.py",
]
