# tools/prepare_data.py icdar2015 --raw DIR --out data/icdar2015
icdar2015_train = dict(
    type="TextDetDataset", data_root="data/icdar2015", ann_file="textdet_train.json"
)
icdar2015_test = dict(
    type="TextDetDataset",
    data_root="data/icdar2015",
    ann_file="textdet_test.json",
    test_mode=True,
)
