"""Train, validate and test: mmengine's Runner with loops that resume exactly.

One iteration, in order:

    batch = next(loader)                     workers have read, augmented and drawn targets
    hooks.before_train_iter                  NothingToLearnHook: stop where no sample has text
    data = data_preprocessor(batch)          to the device, float32, normalised, padded
    with optim_context:                      autocast, gradient accumulation
        maps = det_head(neck(backbone(data["inputs"])))
        losses = loss_module(maps, data["targets"])
    optim_wrapper.update_params(sum of losses)      backward, clip, step
    hooks.after_train_iter:
        runtime_info                         keep the losses on the device until a line is due,
                                             then read them and call after_losses_read:
            NonFiniteLossHook                stop at NaN, name the images
            ConstantPredictorHook            warn of P = 0.25 everywhere
        param_scheduler, EMAHook             learning rate, mean of the weights
        logger                               one line every `interval` iterations
        checkpoint                           write, point to it, remove the oldest
        InterruptHook                        save and stop after a signal
    if an epoch or val_interval is over:     EMA weights in, OverlappedValLoop, EMA weights out
"""
