# tools/prepare_data.py icdar2019_mlt --raw DIR --out data/icdar2019_mlt
# There is no test part: the ground truth of the test images is not public.
icdar2019_mlt_train = dict(
    type="TextDetDataset", data_root="data/icdar2019_mlt", ann_file="textdet_train.json"
)
