# 100,000 iterations of batch 16 at 0.007; no validation.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.007, momentum=0.9, weight_decay=1e-4, fused=True),
)
train_cfg = dict(by_epoch=False, max_iters=100_000)
# Ends with the last iteration that train_cfg has when the run starts.
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=1e-7, by_epoch=False)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
