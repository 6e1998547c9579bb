"""Causes of hand-made errors; the text is mostly a rectangle of 100 x 20 pixels, area 2000."""

import numpy as np
import pytest

from dbnet.evaluation.protocols.scene import Scene
from dbnet.report.causes import FALSE_ALARMS, MISSES, judge_scene
from tests.conftest import rectangle

TEXT = rectangle(100, 100, 200, 120)
NEXT = rectangle(205, 100, 305, 120)  # five pixels to the right
FAR = rectangle(500, 500, 600, 520)


def judge(texts, predictions, ignored=None, scores=None, threshold=None):
    scene = Scene(texts, ignored or [False] * len(texts), predictions)
    scores = None if scores is None else np.float32(scores)
    judgement = judge_scene(scene, scores, threshold)
    assert list(judgement.misses) == judgement.verdict.missed
    assert list(judgement.false_alarms) == judgement.verdict.false_alarms
    assert set(judgement.misses.values()) <= MISSES.keys()
    assert set(judgement.false_alarms.values()) <= FALSE_ALARMS.keys()
    return judgement


def test_a_match_has_no_cause():
    judgement = judge([TEXT], [TEXT + 1])
    assert judgement.verdict.pairs == [(0, 0)]
    assert not judgement.misses and not judgement.false_alarms


@pytest.mark.parametrize(
    ("texts", "predictions", "missed", "false"),
    [
        pytest.param([TEXT], [], ["no region"], [], id="nothing there"),
        pytest.param([TEXT], [FAR], ["no region"], ["background"], id="elsewhere"),
        # 50 of 100 columns: an IoU of exactly 1/2 is no match, and half is not most.
        pytest.param(
            [TEXT], [rectangle(100, 100, 150, 120)], ["cut short"], ["cut short"], id="half"
        ),
        # 60 of 100 columns, but over 160: the common 60 x 20 of 3200 + 2000 - 1200, .3.
        pytest.param(
            [TEXT], [rectangle(140, 100, 300, 120)], ["too long"], ["too long"], id="beyond"
        ),
        # 60 of 100 columns, most of its own 109 too, but 60 of 149 in all: IoU .4. One is no split.
        pytest.param(
            [TEXT], [rectangle(140, 100, 249, 120)], ["too long"], ["too long"], id="shifted"
        ),
        # 20 rows of 50: IoU .4.
        pytest.param([TEXT], [rectangle(100, 90, 200, 140)], ["too long"], ["too long"], id="high"),
        # 200 columns over a touching text of which it covers 45 of 100.
        pytest.param(
            [TEXT, NEXT],
            [rectangle(50, 100, 250, 120)],
            ["too long", "cut short"],
            ["too long"],
            id="next one touched",
        ),
        # Both whole: 2000 of 205 x 20 = 4100, IoU .49 with either.
        pytest.param(
            [TEXT, NEXT],
            [rectangle(100, 100, 305, 120)],
            ["merged", "merged"],
            ["merged"],
            id="two in one",
        ),
        # 45 + 45 of 100 columns.
        pytest.param(
            [TEXT],
            [rectangle(100, 100, 145, 120), rectangle(155, 100, 200, 120)],
            ["split"],
            ["split part", "split part"],
            id="two halves",
        ),
        # 20 + 20 of 100 columns do not cover most.
        pytest.param(
            [TEXT],
            [rectangle(100, 100, 120, 120), rectangle(180, 100, 200, 120)],
            ["cut short"],
            ["cut short", "cut short"],
            id="two small pieces",
        ),
        # 10 of 100 columns are no more than a tenth of the text, but all of the prediction.
        pytest.param(
            [TEXT], [rectangle(100, 100, 110, 120)], ["cut short"], ["cut short"], id="a crumb"
        ),
        # 5 of 100 columns and 5 of 55.
        pytest.param(
            [TEXT], [rectangle(195, 100, 250, 120)], ["no region"], ["background"], id="grazed"
        ),
        pytest.param([TEXT], [TEXT, TEXT], [], ["duplicate"], id="twice"),
        pytest.param(
            [TEXT],
            [TEXT, rectangle(110, 100, 140, 120)],
            [],
            ["duplicate"],
            id="inside another",
        ),
        pytest.param([TEXT, TEXT], [TEXT], ["merged"], [], id="two texts, one prediction"),
        # A short side of 7 comes first, whatever else there is.
        pytest.param(
            [rectangle(100, 100, 200, 107)],
            [rectangle(100, 100, 150, 107)],
            ["too small"],
            ["cut short"],
            id="small",
        ),
        pytest.param([rectangle(100, 100, 200, 108)], [], ["no region"], [], id="just not small"),
        # A line has no area: nothing covers it, it covers nothing.
        pytest.param(
            [TEXT], [np.float32([[100, 110], [200, 110]])], ["no region"], ["background"], id="line"
        ),
    ],
)
def test_cause(texts, predictions, missed, false):
    judgement = judge(texts, predictions)
    assert list(judgement.misses.values()) == missed
    assert list(judgement.false_alarms.values()) == false


@pytest.mark.parametrize(
    ("prediction", "missed", "false"),
    [
        # 105 of its 205 columns lie in the ignored text: more than half, so it is left out.
        pytest.param(rectangle(105, 100, 310, 120), ["beside an ignored text"], [], id="left out"),
        # 100 of 205 columns in it: counts, covers both.
        pytest.param(
            rectangle(100, 100, 305, 120),
            ["beside an ignored text"],
            ["beside an ignored text"],
            id="both",
        ),
        # 85 of 120 columns: left out, but it only touches the other text, 30 of 100 columns.
        pytest.param(rectangle(170, 100, 290, 120), ["cut short"], [], id="left out, touches"),
        # 40 of 90 columns in the ignored text, 45 of 100 in the other.
        pytest.param(
            rectangle(155, 100, 245, 120), ["cut short"], ["cut short"], id="a part of both"
        ),
        # 40 of 100 columns in the ignored text, nothing of the other.
        pytest.param(
            rectangle(270, 100, 370, 120), ["no region"], ["beside an ignored text"], id="beyond"
        ),
    ],
)
def test_beside_an_ignored_text(prediction, missed, false):
    ignored = rectangle(205, 100, 310, 120)
    judgement = judge([TEXT, ignored], [prediction], [False, True])
    assert list(judgement.misses.values()) == missed
    assert list(judgement.false_alarms.values()) == false
    assert judgement.verdict.ignored_texts == [1]
    assert judgement.verdict.ignored_predictions == ([] if false else [0])


def test_a_prediction_within_a_long_ignored_text():
    # 150 of its 210 columns lie in the ignored text, of which it covers 150 of 440.
    ignored = rectangle(160, 100, 600, 120)
    judgement = judge([TEXT, ignored], [rectangle(100, 100, 310, 120)], [False, True])
    assert judgement.misses == {0: "beside an ignored text"}


@pytest.mark.parametrize(
    ("predictions", "scores", "expected"),
    [
        pytest.param([TEXT], [0.4], "low score", id="would match"),
        pytest.param([rectangle(100, 100, 130, 120)], [0.4], "low score", id="only touches"),
        pytest.param(
            [rectangle(100, 100, 130, 120), rectangle(150, 100, 180, 120)],
            [0.4, 0.9],
            "cut short",
            id="another is above the threshold",
        ),
        pytest.param([rectangle(100, 100, 140, 120), TEXT], [0.9, 0.4], "low score", id="both"),
        # 100 of 200 columns, an IoU of exactly 1/2: the other one explains the miss.
        pytest.param(
            [rectangle(100, 100, 300, 120), rectangle(100, 100, 130, 120)],
            [0.4, 0.9],
            "cut short",
            id="too long below the threshold",
        ),
    ],
)
def test_low_scores(predictions, scores, expected):
    judgement = judge([TEXT], predictions, scores=scores, threshold=0.5)
    assert judgement.misses == {0: expected}
    assert judgement.verdict.false_alarms == [i for i, s in enumerate(scores) if s > 0.5]


def test_a_score_at_the_threshold_passes_in_float32():
    assert judge([TEXT], [TEXT], scores=[0.7], threshold=0.7).verdict.pairs == [(0, 0)]


def test_every_error_has_one_cause_on_random_images():
    rng = np.random.default_rng(0)
    for _ in range(200):
        corner = rng.uniform(0, 60, (12, 2))
        boxes = [rectangle(x, y, x + w, y + h) for (x, y), (w, h) in zip(corner, corner[::-1] / 2)]
        judge(boxes[:6], boxes[6:], (rng.random(6) < 0.3).tolist(), rng.random(6), 0.5)


def test_empty():
    judgement = judge([], [])
    assert judgement.verdict.num_errors == 0
    assert judge([], [TEXT]).false_alarms == {0: "background"}
