import itertools

import numpy as np
import pytest
import shapely

from dbnet.evaluation.hmean_iou import count_at, join_overlaps
from dbnet.evaluation.matching import (
    first_come,
    first_come_pairs,
    match_image,
    maximum,
    precision_recall_hmean,
)
from dbnet.geometry import signed_area
from dbnet.polygon_iou import intersection_areas


def points(*coordinates):
    return np.float32(coordinates).reshape(-1, 2)


def box(left, top, right, bottom):
    return points(left, top, right, top, right, bottom, left, bottom)


SQUARE = box(0, 0, 10, 10)  # area 100


# --- One image ---


def test_iou_of_exactly_one_half_is_no_match():
    predictions = [box(0, 0, 20, 10), box(0, 0, 19.99, 10), box(0, 0, 10, 5), box(0, 0, 10, 5.01)]
    iou, _ = match_image([SQUARE], [False], predictions)
    assert (iou > 0.5).tolist() == [[False, True, False, True]]


LEFT_HALF = box(0, 0, 5, 10)
IGNORED_CASES = {
    "exactly half": ([LEFT_HALF], True),
    "more than half": ([box(0, 0, 5.01, 10)], False),
    "all": ([box(-50, -50, 50, 50)], False),
    "two with 40 % each": ([box(0, 0, 4, 10), box(6, 0, 10, 10)], True),
    "the second more than half": ([box(0, 0, 4, 10), box(4, 0, 10, 10)], False),
    "touching": ([box(10, 0, 90, 10)], True),
}


@pytest.mark.parametrize(("ignored", "counts"), IGNORED_CASES.values(), ids=IGNORED_CASES)
def test_prediction_counts_unless_mostly_in_one_ignored_text(ignored, counts):
    iou, counted = match_image(ignored, [True] * len(ignored), [SQUARE])
    assert counted.tolist() == [counts]
    assert iou.shape == (0, int(counts))


@pytest.mark.parametrize("prediction", [points(5, 5, 5, 5, 5, 5), points(0, 0, 9, 9)])
def test_prediction_without_area_counts_as_one_even_in_ignored_text(prediction):
    iou, counted = match_image([SQUARE, SQUARE], [True, False], [prediction, SQUARE])
    assert counted.tolist() == [True, False]
    assert iou.tolist() == [[0]]


def test_arguments_are_left_alone():
    texts, predictions = [SQUARE.copy()], [points(0, 0, 10, 10, 10, 0, 0, 10)]
    before = predictions[0].copy()
    match_image(texts, [False], predictions)
    np.testing.assert_array_equal(texts[0], SQUARE)
    np.testing.assert_array_equal(predictions[0], before)


# --- One-to-one matching ---

# Rows are texts, columns predictions; then the first-come and the maximum count.
MATCHING_CASES = {
    "none": ([[0, 0], [0, 0]], 0, 0),
    "one each": ([[1, 0], [0, 1]], 2, 2),
    "two predictions on one text": ([[1, 1]], 1, 1),
    "two texts in one prediction": ([[1], [1]], 1, 1),
    "first takes what the second needs": ([[1, 1], [1, 0]], 1, 2),
    "three in a chain": ([[1, 1, 0], [1, 0, 1], [1, 0, 0]], 2, 3),
    "two want only what the first one has": ([[1, 1, 1], [1, 0, 0], [1, 0, 0]], 1, 2),
    "three texts for two predictions": ([[1, 1], [1, 1], [1, 1]], 2, 2),
}


def number(match, hits):
    return len(match(*np.nonzero(hits)))


@pytest.mark.parametrize(
    ("hits", "by_order", "at_most"), MATCHING_CASES.values(), ids=MATCHING_CASES
)
def test_match_counts(hits, by_order, at_most):
    assert number(first_come, hits) == by_order
    assert number(maximum, hits) == at_most


@pytest.mark.parametrize("match", [first_come, maximum])
def test_matches_are_hits_of_different_texts_and_predictions(match):
    hits = np.random.default_rng(0).random((30, 40)) < 0.1
    texts, predictions = np.nonzero(hits)
    chosen = match(texts, predictions)
    assert (np.diff(chosen) > 0).all()
    assert len(set(texts[chosen])) == len(set(predictions[chosen])) == len(chosen) > 20


def test_first_come_pairs_go_by_text_then_by_prediction():
    hits = np.array([[0, 1, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=bool)
    assert first_come_pairs(hits) == [(0, 1), (2, 0)]


@pytest.mark.parametrize("shape", [(0, 0), (0, 2), (2, 0)])
def test_match_counts_of_nothing(shape):
    assert number(first_come, np.zeros(shape)) == 0
    assert number(maximum, np.zeros(shape)) == 0


def test_maximum_matching_follows_a_long_path():
    # Text i takes prediction i and could take i + 1; the last one can only have prediction 0, so
    # all move up by one.
    hits = np.eye(1500, dtype=bool) | np.eye(1500, k=1, dtype=bool)
    hits[-1] = False
    hits[-1, 0] = True
    assert number(first_come, hits) == 1499
    assert number(maximum, hits) == 1500


@pytest.mark.parametrize(("hits", "texts", "predictions"), [(3, 7, 5), (1, 1, 9), (4, 4, 4)])
def test_hmean_is_the_harmonic_mean(hits, texts, predictions):
    precision, recall, hmean = precision_recall_hmean(hits, texts, predictions)
    assert (precision, recall) == (hits / predictions, hits / texts)
    assert hmean == pytest.approx(1 / ((1 / precision + 1 / recall) / 2))


def test_maximum_matching_equals_trying_everything():
    rng = np.random.default_rng(0)
    for _ in range(300):
        hits = rng.random(rng.integers(1, 8, 2)) < 0.35
        rows = [np.flatnonzero(row).tolist() for row in hits]
        assert number(maximum, hits) == most_matches(rows)


# --- Against an independent implementation on the cells of a grid ---

GRID = 24


def cells(polygon):
    """The unit cells whose centre is inside by even-odd; the polygon's edges follow the grid."""
    ends = list(zip(polygon.tolist(), np.roll(polygon, -1, axis=0).tolist()))
    verticals = [(x, min(y, y2), max(y, y2)) for (x, y), (x2, y2) in ends if x == x2]
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    return {
        (column, row)
        for column in range(int(left), int(right))
        for row in range(int(top), int(bottom))
        if sum(x > column + 0.5 and low < row + 0.5 < high for x, low, high in verticals) % 2
    }


def most_matches(rows, taken=frozenset()):
    """Try everything."""
    if not rows:
        return 0
    free = [prediction for prediction in rows[0] if prediction not in taken]
    best = max((1 + most_matches(rows[1:], taken | {p}) for p in free), default=0)
    return max(best, most_matches(rows[1:], taken))


def outline_area(polygon):
    """The shoelace formula's, in which lobes of opposite direction cancel."""
    x, y = polygon.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def brute_force_counts(texts, ignored, predictions, scores, threshold):
    """Matches (first come, maximum), texts and predictions, straight from the definition."""
    inside = [cells(polygon) for polygon in texts]
    found = [cells(polygon) for polygon in predictions]
    areas = [outline_area(polygon) for polygon in predictions]
    staying = []
    for p, area in enumerate(areas):
        in_ignored = area and any(
            2 * len(found[p] & inside[t]) > area for t in np.flatnonzero(ignored)
        )
        if not in_ignored and (threshold is None or scores[p] >= threshold):
            staying.append(p)
    cared = [t for t in range(len(texts)) if not ignored[t]]
    rows = []
    for t in cared:
        common = {p: len(inside[t] & found[p]) for p in staying}
        union = {p: outline_area(texts[t]) + areas[p] - common[p] for p in staying}
        rows.append([p for p in staying if 2 * common[p] > union[p] > 0])
    taken = set()
    for row in rows:
        for p in row:
            if p not in taken:
                taken.add(p)
                break
    return len(taken), most_matches(rows), len(cared), len(staying)


def random_polygon(rng):
    """A box, or a ring of six or eight edges along the grid that may cross itself."""
    if rng.random() < 0.7:
        left, top = rng.integers(0, GRID - 8, 2)
        return box(left, top, left + rng.integers(2, 8), top + rng.integers(2, 8))
    turns = rng.integers(3, 5)
    x, y = (rng.choice(10, turns, replace=False) + rng.integers(0, GRID - 10) for _ in range(2))
    corners = [((x[i], y[i]), (x[(i + 1) % turns], y[i])) for i in range(turns)]
    return points(*itertools.chain(*itertools.chain(*corners)))


def random_prediction(rng, texts):
    kind = rng.integers(8)
    if not texts or kind == 0:
        return random_polygon(rng)
    text = texts[rng.integers(len(texts))]
    width, height = np.ptp(text, axis=0)
    left, top = text.min(axis=0)
    if kind == 1:  # touches the text's bounding box
        return text + np.float32([[width, 0], [0, height], [-width, -height]][rng.integers(3)])
    if kind == 2:  # half of the text, if that is a box: IoU or ignored part exactly 0.5
        return box(left, top, left + 2 * width, top + height)
    if kind == 3 and rng.random() < 0.5:  # without area
        return text * np.float32([[1, 0], [0, 1], [0, 0]][rng.integers(3)])
    return text + np.float32(rng.integers(-1, 2, 2))


def crowded_boxes(rng):
    """Boxes of 12 x 4 in a row; two of them match where they are less than 4 apart."""
    return [box(x, 0, x + 12, 4) for x in rng.integers(0, 12, 4)]


def random_image(rng):
    texts = [random_polygon(rng) for _ in range(rng.integers(0, 4))]
    predictions = [random_prediction(rng, texts) for _ in range(rng.integers(0, 6))]
    if rng.random() < 0.8:
        texts += crowded_boxes(rng)
        predictions += crowded_boxes(rng)
    predictions += predictions[:1]  # a duplicate
    return texts, rng.random(len(texts)) < 0.15, predictions, rng.random(len(predictions))


def test_counts_equal_brute_force_on_random_images():
    rng = np.random.default_rng(0)
    seen = dict(hits=0, matchings_differ=0, left_out=0, without_area=0, crossing=0)
    for _ in range(300):
        texts, ignored, predictions, scores = random_image(rng)
        iou, counted = match_image(texts, ignored, predictions)
        overlaps = join_overlaps([dict(iou=iou, scores=scores[counted])])
        for threshold in (0.3, 0.7, None):
            by_order = count_at(threshold, overlaps)
            at_most = count_at(threshold, overlaps, maximum)
            expected = brute_force_counts(texts, ignored, predictions, scores, threshold)
            assert (by_order[0], *at_most) == expected
            assert by_order[1:] == at_most[1:]
        seen["hits"] += by_order[0]
        seen["matchings_differ"] += by_order[0] < at_most[0]
        seen["left_out"] += not counted.all()
        seen["without_area"] += any(not cells(polygon) for polygon in predictions)
        seen["crossing"] += sum(not shapely.is_valid(shapely.Polygon(text)) for text in texts)
    assert min(seen.values()) >= 20, seen


# --- Against the plain way, in which shapely measures every pair ---


def plain_match(texts, ignored, predictions):
    common = np.array(
        [intersection_areas([text] * len(predictions), predictions) for text in texts]
    ).reshape(len(texts), len(predictions))
    areas = np.array([abs(signed_area(p)) for p in predictions])
    in_ignored = [(common[i] > 0.5 * areas) & (areas > 0) for i in np.flatnonzero(ignored)]
    counted = ~np.any([*in_ignored, np.zeros(len(areas), bool)], axis=0)
    hits = []
    for i in np.flatnonzero(np.logical_not(ignored)):
        union = abs(signed_area(texts[i])) + areas - common[i]
        hits.append([u > 0 and c / u > 0.5 for c, u in zip(common[i], union)])
    return np.array(hits, bool).reshape(-1, len(areas))[:, counted], counted


def slanted_quad(rng, size=1.0):
    """A rectangle at any angle, its corners moved by up to a third of its height."""
    width, height = rng.uniform([10, 5], [60, 15]) * size
    angle = rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    corners += rng.uniform(-height / 3, height / 3, (4, 2))
    return (corners @ turn + rng.uniform(0, 120, 2)).astype(np.float32)


def varied(rng, text):
    """A prediction for a text: jittered, moved, scaled, in another shape, or the same."""
    kind = rng.integers(8)
    if kind == 0:
        return text.copy()
    if kind == 1:
        return text[::-1].copy()
    if kind == 2:  # five corners, one of them inside
        return np.insert(text, 2, text.mean(axis=0), axis=0)
    if kind == 3:  # crosses itself
        return text[[0, 2, 1, 3]]
    if kind == 4:  # half of it, exactly where the corners are whole numbers
        return np.float32([text[0], text[1], (text[1] + text[2]) / 2, (text[0] + text[3]) / 2])
    middle = text.mean(axis=0)
    scale = rng.uniform(0.6, 1.5)
    return ((text - middle) * scale + middle + rng.normal(0, 1.5, text.shape)).astype(np.float32)


def test_hits_are_those_of_the_plain_way_on_random_polygons():
    rng = np.random.default_rng(0)
    seen = dict(pairs=0, hits=0, left_out=0)
    for index in range(400):
        size = (1.0, 0.02, 40.0)[index % 3]
        texts = [slanted_quad(rng, size) for _ in range(rng.integers(0, 9))]
        if index % 2:
            texts = [text.round() for text in texts]
        predictions = [varied(rng, text) for text in texts for _ in range(2)]
        predictions += [slanted_quad(rng, size) for _ in range(2)]
        ignored = rng.random(len(texts)) < 0.2
        expected_hits, expected_counted = plain_match(texts, ignored, predictions)
        iou, counted = match_image(texts, ignored, predictions)
        np.testing.assert_array_equal(counted, expected_counted)
        np.testing.assert_array_equal(iou > 0.5, expected_hits)
        seen["pairs"] += len(texts) * len(predictions)
        seen["hits"] += int((iou > 0.5).sum())
        seen["left_out"] += int((~counted).sum())
    assert min(seen.values()) > 200, seen


# --- Ties ---


def test_a_half_covered_prediction_of_a_real_submission_counts():
    # Image 48 of a submission: they share 1801/2 of the prediction's 1801 square pixels.
    prediction = points(694, 177, 690, 148, 751, 140, 755, 169)
    text = points(691, 163, 754, 154, 756, 169, 692, 178)
    assert match_image([text], [True], [prediction])[1].tolist() == [True]


def parallelogram(rng):
    """A corner and two sides, whole numbers."""
    while True:
        corner, first, second = rng.integers(0, 2000, 2), *rng.integers(-90, 90, (2, 2))
        if abs(first[0] * second[1] - first[1] * second[0]) > 50:
            return corner, first, second


def spanned(corner, first, second):
    return np.float32([corner, corner + first, corner + first + second, corner + second])


@pytest.mark.parametrize("seed", range(4))
def test_hundreds_of_exact_ties_are_decided_as_such(seed):
    # Moved along a side by a third of it: IoU (2/3) / (4/3); by a half: half lies in the other.
    rng = np.random.default_rng(seed)
    for _ in range(150):
        corner, first, second = parallelogram(rng)
        text = spanned(corner, 6 * first, second)
        iou_half, part_half = (spanned(corner + move * first, 6 * first, second) for move in (2, 3))
        assert match_image([text], [False], [iou_half])[0].tolist() == [[0.5]]
        assert match_image([text], [True], [part_half])[1].tolist() == [True]
        # 1/1024 of the side nearer or farther, exact in float32 too.
        for nearer, hit in ((2 - 2**-10, True), (2 + 2**-10, False)):
            moved = spanned(corner + nearer * first, 6 * first, second)
            assert (match_image([text], [False], [moved])[0] > 0.5).tolist() == [[hit]]
        deeper = spanned(corner + (3 - 2**-10) * first, 6 * first, second)
        assert match_image([text], [True], [deeper])[1].tolist() == [False]


@pytest.mark.parametrize("tenths", [5, 6, 7, 8, 9])
def test_stricter_limits_are_exact_too(tenths):
    text = box(0, 0, 1000, 7)
    inside = box(0, 0, 100 * tenths, 7)
    iou, _ = match_image([text, text], [False, False], [inside, box(0, 0, 100 * tenths + 0.01, 7)])
    assert (iou[0] > tenths / 10).tolist() == [False, True]


def test_a_dense_page_against_itself():
    # 2,000 words, far more pairs than may be measured one by one.
    words = [box(x, y, x + 60, y + 12) for x in range(0, 4000, 80) for y in range(0, 4000, 100)]
    moved = [word + np.float32([3, 2]) for word in words]
    iou, counted = match_image(words, [False] * len(words), moved)
    assert len(words) == 2000 and counted.all()
    np.testing.assert_array_equal(iou > 0.5, np.eye(2000, dtype=bool))
