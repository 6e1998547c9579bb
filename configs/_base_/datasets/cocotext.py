# tools/prepare_data.py cocotext --raw DIR --out data/cocotext
# The test part is the validation images: the ground truth of the test images is not public.
cocotext_train = dict(
    type="TextDetDataset", data_root="data/cocotext", ann_file="textdet_train.json"
)
cocotext_test = dict(
    type="TextDetDataset",
    data_root="data/cocotext",
    ann_file="textdet_test.json",
    test_mode=True,
)
