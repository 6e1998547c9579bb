# 1280x720 photos become 1308x736.
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(1333, 736), keep_ratio=True),
    dict(type="PackTextDetInputs"),
]
