# tools/prepare_data.py icdar2013_born_digital --raw DIR --out data/icdar2013_born_digital
icdar2013_born_digital_train = dict(
    type="TextDetDataset", data_root="data/icdar2013_born_digital", ann_file="textdet_train.json"
)
icdar2013_born_digital_test = dict(
    type="TextDetDataset",
    data_root="data/icdar2013_born_digital",
    ann_file="textdet_test.json",
    test_mode=True,
)
