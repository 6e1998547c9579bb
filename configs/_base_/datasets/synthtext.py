# SynthText in MMOCR 1.x's annotation format.
synthtext_train = dict(
    type="TextDetDataset", data_root="data/synthtext", ann_file="textdet_train.json"
)
