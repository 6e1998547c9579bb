import numpy as np

from dbnet.evaluation.files import GroundTruth, Prediction
from dbnet.report.examination import Point, changes_of, examine
from dbnet.report.page import describe, place
from tests.conftest import rectangle

TEXT, IGNORED, FAR = (rectangle(x, 10, x + 60, 30) for x in (10, 110, 210))
TRUTHS = {"img_1": GroundTruth([IGNORED, TEXT], [True, False])}


def examined(polygons, scores):
    predictions = {"img_1": Prediction(polygons, np.float32(scores))}
    return examine("a.json", TRUTHS, predictions, range(1))


def test_scores_of_predictions_that_are_left_out_do_not_count():
    result = examined([IGNORED, TEXT], [0.9, 0.35])
    assert result.threshold == 0.3
    assert [point.predictions for point in result.points[:3]] == [1, 1, 0]  # all, 0.3, 0.4


def test_changes():
    first, second = examined([TEXT], [0.5]), examined([TEXT, FAR], [0.5, 0.5])
    (change,) = changes_of(first, second)
    assert (change.gained, change.lost, change.false_alarms, change.net) == ([], [], 1, -1)
    assert describe(change) == "gained 0, lost 0, false alarms +1"
    assert changes_of(second, first)[0].net == 1 and changes_of(first, first) == []


def test_precision_is_upwards_and_recall_to_the_right():
    # Axes of 360 x 300 from (60, 10) on.
    assert place(Point(0.5, 1, precision=1.0, recall=0.0, hmean=0.0)) == (60, 10)
    assert place(Point(0.5, 1, precision=0.5, recall=1.0, hmean=2 / 3)) == (420, 160)
