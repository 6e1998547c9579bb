# As sgd_warmup100_poly_1200e.py, at 0.003 after 200 epochs: MMOCR's schedule for DBNet++.
_base_ = ["./sgd_poly_1200e.py"]

optim_wrapper = dict(optimizer=dict(lr=0.003))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=True, begin=0, end=200),
    # Ends with the last epoch that train_cfg has when the run starts.
    dict(type="PolyLR", power=0.9, eta_min=1e-7, by_epoch=True, begin=200),
]
