# tools/prepare_data.py synthtext --raw DIR --out data/synthtext
synthtext_train = dict(
    type="TextDetDataset", data_root="data/synthtext", ann_file="textdet_train.json"
)
