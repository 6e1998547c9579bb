# Batch 16 at 0.007. MMOCR 0.x trained r50dcnv2 with batch 8 and validated every 100 epochs.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.007, momentum=0.9, weight_decay=1e-4, fused=True),
)
train_cfg = dict(by_epoch=True, max_epochs=1200, val_interval=20)
val_cfg = dict(type="OverlappedValLoop")
test_cfg = dict(type="OverlappedTestLoop")
# Ends with the last epoch that train_cfg has when the run starts.
param_scheduler = [dict(type="PolyLR", power=0.9, eta_min=1e-7, by_epoch=True)]
auto_scale_lr = dict(enable=False, base_batch_size=16)
