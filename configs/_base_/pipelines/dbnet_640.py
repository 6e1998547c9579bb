# The training recipe of MMOCR 1.x: flip, rotate by up to 10 degrees, crop around a text, resize to
# 640, jitter. MMOCR 0.x cropped with EastRandomCrop and normalised first, so that its pads had the
# mean colour; 1.x and this pipeline pad with black.
train_pipeline = [
    dict(type="LoadImage"),
    dict(
        type="RandomAffineCrop", size=(640, 640), flip_prob=0.5, max_angle=10.0, min_crop_ratio=0.1
    ),
    dict(type="ColorJitter", brightness=32 / 255, saturation=0.5),
    dict(type="GenerateDBTargets", shrink_ratio=0.4, thresh_min=0.3, thresh_max=0.7),
    dict(type="PackTextDetInputs"),
]
