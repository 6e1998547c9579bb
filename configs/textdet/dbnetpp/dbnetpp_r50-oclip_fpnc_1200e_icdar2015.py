# tools/train.py configs/textdet/dbnetpp/dbnetpp_r50-oclip_fpnc_1200e_icdar2015.py --amp
# Published: precision 0.9174, recall 0.8609, hmean 0.8882 (MMOCR 1.x).
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnetpp_r50-oclip_fpnc.py",
    "../../_base_/loaders/icdar2015_1024.py",
    "../../_base_/schedules/sgd_warmup200_poly_1200e.py",
]

optim_wrapper = dict(optimizer=dict(lr=0.002))
