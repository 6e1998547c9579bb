"""Words that post-processing cannot give back, found by `dbnet check` and by the numbers."""

import json

import cv2
import numpy as np
import pytest

from dbnet.cli import check
from dbnet.data_check.whole_files import best_iou, measure_growing_back
from dbnet.geometry import rectangle
from dbnet.models.postprocessors import DBPostprocessor

UNCLIP, INVERSE = DBPostprocessor(), DBPostprocessor(grow="inverse", shrink_ratio=0.4)


def box(width, height):
    return rectangle(40, 30, 40 + width, 30 + height)


@pytest.mark.parametrize(
    ("postprocessor", "width", "least", "most"),
    [(UNCLIP, 40, 0.8, 1), (UNCLIP, 600, 0, 0), (INVERSE, 40, 0.85, 1), (INVERSE, 600, 0.85, 1)],
)
def test_iou_of_what_comes_back(postprocessor, width, least, most):
    assert least <= best_iou(box(width, 20), postprocessor, 0.4) <= most


def entry(*boxes, **facts):
    words = [dict(polygon=b.ravel().tolist(), ignore=False) for b in boxes]
    return dict(img_path="a.png", height=200, width=800, instances=words) | facts


def test_lost_words_are_named_at_the_test_size():
    entries = [entry(), entry(box(40, 20), box(600, 20))]
    num_tried, [lost] = measure_growing_back(entries, (800, 200), UNCLIP, 0.4)
    assert (num_tried, lost.item, lost.word, lost.size) == (2, 1, 1, (600, 20))
    assert lost.finding().describe() == "word 1: 600 x 20 pixels at the test size"
    _, [lost] = measure_growing_back(entries, (400, 100), UNCLIP, 0.4)
    assert lost.size == (300, 10)
    assert measure_growing_back(entries, (800, 200), INVERSE, 0.4) == (2, [])


def test_what_does_not_count_is_not_tried():
    ignored = entry(box(600, 20))
    ignored["instances"][0]["ignore"] = True
    others = [
        entry(box(600, 7)),  # too small to be learnt
        entry(np.float32([[0, 0], [1e30, 0], [1e30, 20], [0, 20]])),
        entry(box(600, 20), height=None),
        dict(),
    ]
    assert measure_growing_back([ignored, *others], (800, 200), UNCLIP, 0.4) == (0, [])
    assert measure_growing_back([], (800, 200), UNCLIP, 0.4) == (0, [])


def test_check_says_which_and_what_to_set(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (200, 800, 3)))
    path = tmp_path / "train.json"
    path.write_text(json.dumps(dict(data_list=[entry(box(40, 20), box(600, 20))])))
    assert check.main([str(path), "--test-size", "800,200"]) == 0
    output = capsys.readouterr().out
    assert "note: not-given-back" in output and 'grow="inverse"' in output
    assert "word 1: 600 x 20 pixels at the test size" in output
    assert "1 of 2 words are lost by the post-processing of dbnet_r18_fpnc_1200e" in output
    own = ["--config", "dbnet_ppocrv6-small_3k_icdar2015"]
    assert check.main([str(path), "--test-size", "800,200", *own]) == 0
    assert "not-given-back" not in capsys.readouterr().out
