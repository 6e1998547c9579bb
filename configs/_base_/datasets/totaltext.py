# tools/prepare_data.py totaltext --raw DIR --out data/totaltext
totaltext_train = dict(
    type="TextDetDataset", data_root="data/totaltext", ann_file="textdet_train.json"
)
totaltext_test = dict(
    type="TextDetDataset",
    data_root="data/totaltext",
    ann_file="textdet_test.json",
    test_mode=True,
)
