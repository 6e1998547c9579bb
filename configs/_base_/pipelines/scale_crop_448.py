# Windows of the images at scales around that of the test, most of them around a text. Where nothing
# is padded, a step on small windows costs a processor little.
train_pipeline = [
    dict(type="LoadImage"),
    dict(type="RandomScaleCrop", size=(448, 448), scale=(0.7, 2.1)),
    dict(type="ColorJitter", brightness=32 / 255, saturation=0.5),
    dict(type="GenerateDBTargets"),
    dict(type="PackTextDetInputs"),
]
