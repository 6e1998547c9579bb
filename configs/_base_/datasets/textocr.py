# tools/prepare_data.py textocr --raw DIR --out data/textocr
# The test part is the validation images: the ground truth of the test images is not public.
textocr_train = dict(type="TextDetDataset", data_root="data/textocr", ann_file="textdet_train.json")
textocr_test = dict(
    type="TextDetDataset",
    data_root="data/textocr",
    ann_file="textdet_test.json",
    test_mode=True,
)
