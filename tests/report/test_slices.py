import numpy as np
import pytest

from dbnet.evaluation.protocols.scene import Scene
from dbnet.geometry import rotated
from dbnet.report.causes import judge_scene
from dbnet.report.slices import SLICES, count_slices, measure, rate_slices
from tests.conftest import rectangle

TEXT = rectangle(10, 10, 70, 30)  # 60 x 20


def test_measures():
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 40:] = 200
    turned = rotated(rectangle(100, 50, 180, 60), np.pi / 6)  # 80 x 10, 30 degrees
    upright = rectangle(40.0, 20.0, 44.0, 32.0)  # 4 x 12, begins 40 - 70 = inside the text
    found = measure([TEXT, turned, upright], image)
    np.testing.assert_allclose(found["height"], [20, 10, 4], atol=1e-3)
    np.testing.assert_allclose(found["aspect"], [3, 8, 3], rtol=1e-4)
    np.testing.assert_allclose(found["angle"], [0, 30, 90], atol=1e-3)
    np.testing.assert_allclose(found["contrast"], [200, 0, 0])
    assert found["crowding"][0] == 0  # they overlap
    assert found["crowding"][2] == 0


def test_gap_in_short_sides():
    beside = rectangle(80, 10, 100, 15)  # 10 pixels away, 5 high
    found = measure([TEXT, beside], None)
    np.testing.assert_allclose(found["crowding"], [10 / 20, 10 / 5])
    assert np.isnan(found["contrast"]).all()  # no image


def test_degenerate_outlines():
    line, point = np.float32([[0, 0], [5, 0]]), np.float32([[3, 3]])
    found = measure([line, point], np.zeros((9, 9, 3), np.uint8))
    assert found["height"].tolist() == [0, 0]
    assert np.isnan(found["aspect"]).all() and np.isnan(found["contrast"]).all()
    assert measure([TEXT], None)["crowding"].tolist() == [np.inf]  # alone
    assert all(len(values) == 0 for values in measure([], None).values())


def bins(counts, name):
    """Rows of a slice."""
    start = sum(len(s.edges) - 1 for s in list(SLICES.values())[: list(SLICES).index(name)])
    return counts[start : start + len(SLICES[name].edges) - 1]


@pytest.fixture
def counts():
    """One text 20 high is found, one 40 high missed, one prediction 10 high is a false alarm."""
    missed, false = rectangle(0, 100, 120, 140), rectangle(0, 200, 20, 210)
    scene = Scene([TEXT, missed], [False, False], [false, TEXT], num_chars=[5, -1])
    judgement = judge_scene(scene, None, None)
    of_texts, of_predictions = measure(scene.texts, None), measure(scene.predictions, None)
    return count_slices(scene, judgement, of_texts, of_predictions)


def test_counts(counts):
    # (found, texts, predictions) in bins from 0, 8, 12, 16, 24, 32, 48, 64 on.
    expected = np.zeros((8, 3))
    expected[1] = 0, 0, 1  # the false alarm
    expected[3] = 1, 1, 1  # the match
    expected[5] = 0, 1, 0  # the miss
    np.testing.assert_array_equal(bins(counts, "height"), expected)
    length = bins(counts, "length")  # 1, 2, 3, 4 to 5, ...; no transcription is in no bin
    assert length.sum() == 3 and length[3].tolist() == [1, 1, 1]
    assert bins(counts, "contrast").sum() == 0  # without an image


def test_rates(counts):
    rates = rate_slices(np.stack([counts, counts]))
    match, false, miss = (rates["height"][i] for i in (3, 1, 5))
    assert (match.label, match.texts, match.recall, match.hmean) == ("16 to 24", 2, 1, 1)
    assert match.interval == (1, 1)
    assert (false.texts, false.predictions, false.recall, false.hmean) == (0, 2, None, 0)
    assert (miss.recall, miss.hmean, miss.interval) == (0, 0, (0, 0))
    assert rates["height"][0].hmean is None  # nothing in it
    assert rates["length"][3].recall == 1 and rates["length"][3].hmean is None
    assert [rate.label for rate in rates["length"]][2:4] == ["3", "4 to 5"]
    assert rates["crowding"][-1].label == "2 and more"


def test_bins_add_up():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 300, (40, 2))
    size = rng.uniform(1, 90, (40, 2))
    boxes = [rectangle(*a, *(a + b)) for a, b in zip(corner, size)]
    scene = Scene(boxes[:20], [False] * 20, boxes[10:])
    judgement = judge_scene(scene, None, None)
    counted = count_slices(
        scene, judgement, measure(scene.texts, None), measure(scene.predictions, None)
    )
    for name in ("height", "angle", "aspect", "crowding"):
        np.testing.assert_array_equal(
            bins(counted, name).sum(axis=0), [len(judgement.verdict.pairs), 20, 30]
        )
