# tools/prepare_data.py icdar2013 --raw DIR --out data/icdar2013
icdar2013_train = dict(
    type="TextDetDataset", data_root="data/icdar2013", ann_file="textdet_train.json"
)
icdar2013_test = dict(
    type="TextDetDataset",
    data_root="data/icdar2013",
    ann_file="textdet_test.json",
    test_mode=True,
)
