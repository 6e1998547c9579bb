# tools/train.py configs/textdet/dbnet/dbnet_r50-oclip_fpnc_1200e_icdar2015.py --amp
# Published: precision 0.9052, recall 0.8272, hmean 0.8644 (MMOCR 1.x).
_base_ = [
    "../../_base_/default_runtime.py",
    "../../_base_/models/dbnet_r50-oclip_fpnc.py",
    "../../_base_/loaders/icdar2015_1024.py",
    "../../_base_/schedules/sgd_warmup100_poly_1200e.py",
]
