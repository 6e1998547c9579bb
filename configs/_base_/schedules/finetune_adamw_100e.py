# Fine-tuning of a detector that is trained already, on top of any config; docs/fine_tuning.md.
finetune = dict(
    optim_wrapper=dict(
        _delete_=True,
        type="OptimWrapper",
        # A third of what random weights are trained with; for PP-OCRv6 that is no better, and a
        # third of this one too slow (docs/ppocr.md).
        optimizer=dict(type="AdamW", lr=2e-4, weight_decay=1e-4, fused=True),
        clip_grad=dict(max_norm=5.0),  # as from random weights: one odd batch moves little
        # From generated pictures to photos in 113 steps, 0.1 got hmean 0.14 and 1 got 0.20. It is
        # written out so that `--cfg-options` can change it.
        paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))),
    ),
    train_cfg=dict(_delete_=True, by_epoch=True, max_epochs=100, val_interval=10),
    param_scheduler=[
        # AdamW's first steps are as large as the learning rate whatever the gradient is.
        dict(type="LinearLR", start_factor=0.1, by_epoch=False, begin=0, end=100),
        # Ends with the last epoch that train_cfg has when the run starts, every part at a
        # hundredth of its own learning rate.
        dict(
            type="CosineAnnealingLR", eta_min_ratio=0.01, by_epoch=True, convert_to_iter_based=True
        ),
    ],
    custom_hooks=[
        dict(type="NothingToLearnHook"),
        dict(type="NonFiniteLossHook"),
        dict(type="ConstantPredictorHook"),
        dict(type="CurvesHook"),
        # A mean of the weights over the last tenth of the steps so far, at most over 500 of them,
        # so that the weights from which a short run starts do not remain in it.
        dict(type="EMAHook", ema_type="MomentumAnnealingEMA", gamma=10, momentum=0.002),
    ],
    # No such file: a run to which none is given stops.
    load_from="(none given, so this would be training from scratch: --cfg-options load_from=FILE)",
)
