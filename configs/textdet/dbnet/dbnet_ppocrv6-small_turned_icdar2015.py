# dbnet train dbnet_ppocrv6-small_turned_icdar2015 --amp
# The detector of upright text trained further, on text that lies in any direction: photos, drawn
# scenes and drawn pages, in windows that are turned by right angles now and then. What ships as
# `turned` was trained on from here by dbnet_ppocrv6-small_any_icdar2015 (docs/ppocr.md).
_base_ = ["./dbnet_ppocrv6-small_3k_icdar2015.py"]

_photo_crop = dict(type="RandomScaleCrop", size=(448, 448), scale=(0.7, 2.1), turn_prob=0.3)
_drawn_crop = dict(type="RandomScaleCrop", size=(448, 448), scale=(0.85, 1.6), turn_prob=0.6)
_tail = _base_.train_pipeline[2:]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="ConcatDataset",
        datasets=[
            dict(pipeline=[dict(type="LoadImage"), _photo_crop, *_tail], **_base_.icdar2015_train),
            dict(
                type="SyntheticTextDataset",
                size=(512, 512),
                length=6000,
                num_words=(3, 12),
                difficulty=0.7,
                page_share=0.4,
                pipeline=[_drawn_crop, *_tail],
            ),
        ],
        weights=[3, 2],
    )
)
optim_wrapper = dict(optimizer=dict(lr=1.5e-4))
train_cfg = dict(max_iters=2100, val_interval=2100)
# Chosen on the 100 validation images; regions are thinner than those of the detector before.
model = dict(postprocessor=dict(bin_thresh=0.3))
