# tools/prepare_data.py icdar2017_mlt --raw DIR --out data/icdar2017_mlt
# The test part is the validation images: the ground truth of the test images is not public.
icdar2017_mlt_train = dict(
    type="TextDetDataset", data_root="data/icdar2017_mlt", ann_file="textdet_train.json"
)
icdar2017_mlt_test = dict(
    type="TextDetDataset",
    data_root="data/icdar2017_mlt",
    ann_file="textdet_test.json",
    test_mode=True,
)
