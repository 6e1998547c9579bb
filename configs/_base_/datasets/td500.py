# tools/prepare_data.py td500 --raw DIR --out data/td500
td500_train = dict(type="TextDetDataset", data_root="data/td500", ann_file="textdet_train.json")
td500_test = dict(
    type="TextDetDataset",
    data_root="data/td500",
    ann_file="textdet_test.json",
    test_mode=True,
)
