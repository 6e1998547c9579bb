# tools/train.py configs/textdet/dbnetpp/dbnetpp_r50dcnv2_fpnc_1200e_icdar2015.py --amp \
#     --cfg-options load_from=work_dirs/dbnetpp_r50dcnv2_fpnc_100k_synthtext/iter_100000.pth
# Published: precision 0.9116, recall 0.8291, hmean 0.8684 (MMOCR 1.x).
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnetpp_r50dcnv2_fpnc.py",
    "../../_base_/loaders/icdar2015_1024.py",
    "../../_base_/schedules/sgd_poly_1200e.py",
]
