# dbnet train dbnet_ppocrv6-tiny_turned_icdar2015 --amp \
#     --cfg-options model.backbone.file=PP-OCRv6_det_tiny.onnx
# The same for the detector of 0.43 M parameters, which learns faster with a larger rate.
_base_ = ["./dbnet_ppocrv6-small_turned_icdar2015.py"]

model = dict(backbone=dict(file=None))
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_iters=3200, val_interval=3200)
