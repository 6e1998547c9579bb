import numpy as np
import pytest

from dbnet.evaluation.counts import join_overlaps
from dbnet.report.examination import operating_points, trace_curve


def overlaps(scores):
    """Two texts; the first prediction hits the first one, the second nothing."""
    return join_overlaps([dict(iou=np.array([[0.9, 0], [0, 0]]), scores=scores)])


def test_points():
    curve = trace_curve(overlaps(np.float32([0.8, 0.305])))
    assert [point.threshold for point in curve] == [step / 100 for step in range(81)]
    both, one = curve[30], curve[31]
    assert both[1:] == (2, 0.5, 0.5, 0.5)
    assert one[1:] == (1, 1.0, 0.5, pytest.approx(2 / 3))
    assert curve[80] == (0.8, 1, 1.0, 0.5, pytest.approx(2 / 3))  # 0.8 in float32 passes

    points = {
        point.threshold: point for point in operating_points(overlaps(np.float32([0.8, 0.3])))
    }
    assert list(points) == [None, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert points[None][1:] == points[0.3][1:] == (2, 0.5, 0.5, 0.5)
    assert points[0.9][1:] == (0, 0, 0, 0)


def test_without_scores():
    assert trace_curve(overlaps(None)) == []
    assert [point.threshold for point in operating_points(overlaps(None))] == [None]


def test_without_predictions():
    empty = join_overlaps([dict(iou=np.zeros((1, 0)), scores=np.zeros(0, np.float32))])
    assert trace_curve(empty) == []
    assert operating_points(empty)[0][1:] == (0, 0, 0, 0)
