# dbnet train dbnet_ppocrv6-small_any_icdar2015 --amp --cfg-options load_from=CHECKPOINT
# Second part of the training for text in any direction, from the last checkpoint of
# dbnet_ppocrv6-small_turned_icdar2015: more photos, smaller drawn words, more stretch. `turned` is
# the mean with the weights that the first part began with: dbnet publish ... --average START
# --share 0.4 (docs/ppocr.md).
_base_ = ["./dbnet_ppocrv6-small_turned_icdar2015.py"]

_photos, _drawn = _base_.train_dataloader.dataset.datasets
_photos.pipeline[1].update(scale=(0.6, 2.1), max_stretch=1.5, turn_prob=0.25)
_drawn.update(size=(640, 640), num_words=(3, 14), difficulty=0.8, page_share=0.25)
_drawn.pipeline[0].update(scale=(0.5, 1.4), turn_prob=0.4)
train_dataloader = dict(dataset=dict(datasets=[_photos, _drawn], weights=[4, 1]))
train_cfg = dict(max_iters=1600, val_interval=1600)
# Chosen on the 100 validation images, between what is best at 736 (.64) and at 1024 (.72).
model = dict(postprocessor=dict(bin_thresh=0.35, box_thresh=0.68))
