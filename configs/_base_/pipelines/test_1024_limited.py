# 1280x720 photos become 1820x1024; smaller pictures at most twice as large, as training windows do.
test_pipeline = [
    dict(type="LoadImage"),
    dict(type="LimitedResize", scale=(4068, 1024), max_scale=2.0),
    dict(type="PackTextDetInputs"),
]
