# Batch 16 at 0.002 after a warm-up of 100 epochs, MMOCR's schedule for backbones whose batch norms
# are fixed. A shorter run needs a shorter warm-up, here 5 epochs of 100:
# --cfg-options train_cfg.max_epochs=100 param_scheduler.0.end=5 param_scheduler.1.begin=5
_base_ = ["./sgd_poly_1200e.py"]

optim_wrapper = dict(optimizer=dict(lr=0.002))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=True, begin=0, end=100),
    # Ends with the last epoch that train_cfg has when the run starts.
    dict(type="PolyLR", power=0.9, eta_min=1e-7, by_epoch=True, begin=100),
]
