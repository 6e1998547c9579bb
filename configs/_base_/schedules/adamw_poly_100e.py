# From random weights: SGD at 0.007 tends to stay at the constant predictor, AdamW with clipped
# gradients and a warm-up does not.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=6e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=5.0),
)
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=20)
val_cfg = dict(type="OverlappedValLoop")
test_cfg = dict(type="OverlappedTestLoop")
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=100),
    # Ends with the last epoch that train_cfg has when the run starts.
    dict(type="PolyLR", power=0.9, eta_min=1e-6, by_epoch=True, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
