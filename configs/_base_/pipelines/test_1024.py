# 1280x720 photos become 1820x1024.
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="Resize", scale=(4068, 1024), keep_ratio=True),
    dict(type="PackTextDetInputs"),
]
