import json

import cv2
import numpy as np
import pytest

from dbnet.errors import UserError
from dbnet.evaluation.closing_lines import format_metrics
from dbnet.evaluation.protocols import NAMES
from dbnet.evaluation.protocols.counting import PROTOCOLS
from dbnet.registry import DATASETS, METRICS
from tests.evaluation.protocols.scenes import box

TEXT, FAR = box(0, 0, 100, 20), box(0, 300, 100, 320)
HALVES = [box(0, 0, 50, 20), box(50, 0, 100, 20)]


def evaluate(protocol, *images, **options):
    metric = METRICS.build(dict(type="ProtocolMetric", protocol=protocol, **options))
    for texts, predictions in images:
        meta = dict(gt_polygons=texts, gt_ignored=[False] * len(texts), gt_num_chars=[5])
        scores = np.full(len(predictions), 0.1, np.float32)
        metric.process(dict(metas=[meta]), [dict(polygons=predictions, scores=scores)])
    return metric.evaluate(len(images))


def test_names_are_the_protocols():
    assert list(PROTOCOLS) == list(NAMES)


def test_sums_over_images_not_means():
    # DetEval: 0.8 of 1 text, 1.6 of 2 predictions; then 1 of 1 and 1 of 3.
    metrics = evaluate("deteval", ([TEXT], HALVES), ([TEXT], [TEXT, FAR, FAR]))
    assert metrics == pytest.approx(
        {
            "deteval/precision": 2.6 / 5,
            "deteval/recall": 1.8 / 2,
            "deteval/hmean": 2 * 0.52 * 0.9 / 1.42,
        }
    )
    assert format_metrics(metrics) == ["deteval: precision 0.5200 recall 0.9000 hmean 0.6592"]


def test_transcriptions_reach_the_protocol():
    # 5 characters, less one for the second piece.
    assert evaluate("cleval", ([TEXT], HALVES))["cleval/recall"] == pytest.approx(4 / 5)


def test_intervals_hold_the_value():
    images = [([TEXT], [TEXT if i % 4 else FAR]) for i in range(40)]
    metrics = evaluate("ctw1500", *images, bootstrap=1000)
    assert metrics["ctw1500/hmean"] == 0.75
    low, high = metrics["ctw1500/hmean_low"], metrics["ctw1500/hmean_high"]
    assert format_metrics(metrics) == [
        "ctw1500: precision 0.7500 recall 0.7500 hmean 0.7500 "
        f"(95 % interval: hmean {low:.4f} to {high:.4f})"
    ]
    assert 0.55 < metrics["ctw1500/hmean_low"] < 0.75 < metrics["ctw1500/hmean_high"] < 0.95


def test_lengths_of_transcriptions_come_from_the_annotation(tmp_path):
    words = [dict(polygon=TEXT.ravel().tolist(), ignore=False) for _ in range(3)]
    words[0]["text"], words[1]["text"] = "wörd", ""
    entry = dict(img_path="a.png", height=9, width=9, instances=words)
    (tmp_path / "a.json").write_text(json.dumps(dict(metainfo={}, data_list=[entry, entry])))
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    pipeline = [dict(type="LoadImage"), dict(type="PackTextDetInputs")]
    dataset = dict(type="TextDetDataset", ann_file="a.json", data_root=str(tmp_path))
    dataset = DATASETS.build(dataset | dict(pipeline=pipeline, test_mode=True))
    for index in range(2):
        assert dataset[index]["metas"]["gt_num_chars"] == [4, 0, -1]


@pytest.mark.parametrize(
    ("texts", "predictions", "expected"),
    [([], [], (1, 1, 1)), ([], [FAR], (0, 1, 0)), ([TEXT], [], (0, 0, 0))],
)
def test_nothing_to_count_is_as_in_icdar2015(texts, predictions, expected):
    for name in NAMES:
        assert tuple(evaluate(name, (texts, predictions)).values()) == expected


def test_a_score_below_nothing_is_nothing():
    # CLEval takes off for every piece: found may fall below 0, recall does not.
    metric = METRICS.build(dict(type="ProtocolMetric", protocol="cleval"))
    assert metric.compute_metrics([(-2.0, 5.0, -1.0, 5.0)]) == dict(precision=0, recall=0, hmean=0)


def test_an_unknown_protocol_names_the_known_ones():
    with pytest.raises(UserError, match=r"no protocol 'icdar2003'; one of \['icdar2015',"):
        METRICS.build(dict(type="ProtocolMetric", protocol="icdar2003"))
