# tools/prepare_data.py ctw1500 --raw DIR --out data/ctw1500
ctw1500_train = dict(type="TextDetDataset", data_root="data/ctw1500", ann_file="textdet_train.json")
ctw1500_test = dict(
    type="TextDetDataset",
    data_root="data/ctw1500",
    ann_file="textdet_test.json",
    test_mode=True,
)
