# tools/train.py configs/textdet/dbnetpp/dbnetpp_r50_fpnc_1200e_icdar2015.py --amp
# Published: precision 0.9079, recall 0.8209, hmean 0.8622 (MMOCR 1.x).
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnetpp_r50_fpnc.py",
    "../../_base_/loaders/icdar2015_1024.py",
    "../../_base_/schedules/sgd_warmup200_poly_1200e.py",
]
