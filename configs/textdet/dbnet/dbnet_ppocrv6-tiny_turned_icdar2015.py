# dbnet train dbnet_ppocrv6-tiny_turned_icdar2015 --amp \
#     --cfg-options model.backbone.file=PP-OCRv6_det_tiny.onnx
# The detector of 0.43 M parameters that ships as `tiny`; it learns faster with a larger rate.
_base_ = ["./dbnet_ppocrv6-small_turned_icdar2015.py"]

# Its maps are less sharp: a low bin_thresh merges words. Chosen on the 100 validation images.
model = dict(
    backbone=dict(file="dbnet://tiny"),
    postprocessor=dict(
        grow="unclip", unclip_ratio=2.25, epsilon_ratio=0.002, bin_thresh=0.5, box_thresh=0.75
    ),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_iters=3200, val_interval=3200)
