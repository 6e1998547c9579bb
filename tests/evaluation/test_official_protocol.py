"""Our counts against an independent implementation of the competition's protocol."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from dbnet.evaluation.counts import PREDICTIONS, STRICT, TEXTS, count_images, join_overlaps
from dbnet.evaluation.files import evaluate_predictions, read_ground_truth, read_predictions
from dbnet.evaluation.matching import match_image
from tests.evaluation.test_evaluate import numbers, write_zip


def official_numbers(iou):
    """Matches, texts and predictions of one image."""
    (row,) = count_images(join_overlaps([dict(iou=iou, scores=None)]))
    return tuple(row[[STRICT.start, TEXTS, PREDICTIONS]].astype(int).tolist())


# --- Against an independent implementation of the competition's protocol ---
#
# In exact fractions, from its description. A polygon's area is that of the shoelace formula; the
# area of an intersection is measured, "inside" being even-odd: between two neighbouring heights at
# which corners or crossings lie, the common width is linear in the height, so that the part's area
# is its height times its width in the middle.


def twice_area(quad):
    return sum(x * v - y * u for (x, y), (u, v) in zip(quad, [*quad[1:], quad[0]]))


def edges(quad):
    return list(zip(quad, [*quad[1:], quad[0]]))


def crossing_height(first, second):
    """The y at which two edges meet in one point, or None."""
    ((x, y), (x2, y2)), ((u, v), (u2, v2)) = first, second
    cross = (x2 - x) * (v2 - v) - (y2 - y) * (u2 - u)
    if cross == 0:
        return None
    along = Fraction((u - x) * (v2 - v) - (v - y) * (u2 - u), cross)
    other = Fraction((u - x) * (y2 - y) - (v - y) * (x2 - x), cross)
    return y + along * (y2 - y) if 0 <= along <= 1 and 0 <= other <= 1 else None


def intervals(quad, height):
    """The parts of a horizontal line that lie inside; no corner lies on the line."""
    cuts = sorted(
        x + (height - y) * Fraction(x2 - x, y2 - y)
        for (x, y), (x2, y2) in edges(quad)
        if min(y, y2) < height < max(y, y2)
    )
    return list(zip(cuts[::2], cuts[1::2]))


def common_area(first, second):
    for axis in (0, 1):
        low = max(min(p[axis] for p in quad) for quad in (first, second))
        high = min(max(p[axis] for p in quad) for quad in (first, second))
        if low >= high:
            return Fraction(0)
    pairs = itertools.combinations(edges(first) + edges(second), 2)
    heights = {crossing_height(a, b) for a, b in pairs} | {p[1] for p in first + second}
    heights = sorted(h for h in heights if h is not None and low <= h <= high)
    total = Fraction(0)
    for bottom, top in itertools.pairwise(heights):
        middle = (bottom + top) / Fraction(2)
        for left, right in intervals(first, middle):
            for left2, right2 in intervals(second, middle):
                width = min(right, right2) - max(left, left2)
                total += max(width, 0) * (top - bottom)
    return total


def official_counts(texts, ignored, predictions):
    """Matches, texts and predictions of one image."""
    staying = []
    for prediction in predictions:
        area = abs(Fraction(twice_area(prediction), 2))
        shares = [common_area(t, prediction) for t, skip in zip(texts, ignored) if skip and area]
        if not any(share / area > Fraction(1, 2) for share in shares):
            staying.append((prediction, area))
    taken = set()
    for text, skip in zip(texts, ignored):
        for index, (prediction, area) in enumerate(staying):
            if skip or index in taken:
                continue
            common = common_area(text, prediction)
            union = abs(Fraction(twice_area(text), 2)) + area - common
            if union != 0 and common / union > Fraction(1, 2):
                taken.add(index)
                break
    return len(taken), ignored.count(False), len(staying)


def crosses_itself(quad):
    """Check whether two opposite edges cross, each having the other's ends on either side."""

    def side(a, b, c):
        return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    a, b, c, d = quad
    return any(
        side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0
        for p, q, r, s in ((a, b, c, d), (b, c, d, a))
    )


def clockwise(quad):
    return quad if twice_area(quad) >= 0 else quad[::-1]


def random_quad(rng):
    """A box, a parallelogram, a dart or any other quad that does not cross itself, clockwise."""
    kind = rng.integers(4)
    x, y, w, h, a, b = rng.integers([0, 0, 4, 4, -6, -6], [50, 50, 24, 16, 7, 7]).tolist()
    if kind == 0:
        return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    if kind == 1:
        return clockwise([(x, y), (x + w, y + b), (x + w + a, y + b + h), (x + a, y + h)])
    if kind == 2:  # its last corner may lie inside the triangle of the others
        return simple([(x, y), (x + w, y), (x, y + h), (x + w // 5, y + h // 5)])
    return simple([(x + p, y + q) for p, q in rng.integers(0, 20, (4, 2)).tolist()])


def simple(quad):
    """Put the corners into a clockwise order in which the outline does not cross itself."""
    if crosses_itself(quad):
        quad = [quad[0], quad[2], quad[1], quad[3]]
    if crosses_itself(quad):
        quad = [quad[0], quad[1], quad[3], quad[2]]
    return clockwise(quad)


def random_prediction(rng, texts):
    kind = rng.integers(10)
    text = texts[rng.integers(len(texts))] if texts else random_quad(rng)
    (a, b), (c, d), (e, f), (g, h) = text
    if kind == 0:
        return random_quad(rng)
    if kind == 1:  # the next one in a row: it shares an edge
        return simple([(c, d), (2 * c - a, 2 * d - b), (2 * e - g, 2 * f - h), (e, f)])
    if kind == 2:  # twice a parallelogram: IoU exactly one half, or half in an ignored text
        return simple([(a, b), (2 * c - a, 2 * d - b), (2 * e - g, 2 * f - h), (g, h)])
    if kind == 3:  # no area, in four ways
        flat = [[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0], [0, 2, 0, 1]][rng.integers(4)]
        return [text[i] for i in flat]
    if kind == 4:  # a triangle with a repeated corner, or with a spike
        last = [(c, d), (2 * c - a, 2 * d - b)][rng.integers(2)]
        return clockwise([(a, b), last, (c, d), (e, f)])
    if kind == 5:
        return text  # the very text
    if kind == 7:  # two lobes, if the text is convex
        return clockwise([(a, b), (e, f), (c, d), (g, h)])
    moved = rng.integers(-2, 3, (4, 2)) if kind == 6 else rng.integers(-3, 4, (1, 2))
    return simple([(x + p, y + q) for (x, y), (p, q) in zip(text, np.tile(moved, (4, 1)).tolist())])


def random_image(rng):
    texts = [random_quad(rng) for _ in range(rng.integers(0, 6))]
    predictions = [random_prediction(rng, texts) for _ in range(rng.integers(0, 7))]
    predictions += predictions[: rng.integers(2)]  # a duplicate
    return texts, (rng.random(len(texts)) < 0.3).tolist(), predictions


def compare_with_official(root, num_images, seed):
    """Write files of random images, read and evaluate them; give what the images held."""
    rng = np.random.default_rng(seed)
    images = {f"img_{index}": random_image(rng) for index in range(num_images)}
    gt, pred = {}, {}
    for stem, (texts, ignored, predictions) in images.items():
        words = ["###" if skip else "word" for skip in ignored]
        gt[f"gt_{stem}.txt"] = "".join(f"{numbers(t)},{w}\r\n" for t, w in zip(texts, words))
        pred[f"res_{stem}.txt"] = "".join(f"{numbers(p)}\n" for p in predictions)
    truths = read_ground_truth(write_zip(root / "gt.zip", gt))
    read = read_predictions(write_zip(root / "submit.zip", pred))

    seen = dict(
        hits=0, misses=0, left_out=0, no_area=0, duplicates=0, halves=0, touching=0, crossing=0
    )
    totals = np.zeros(3, dtype=int)
    for stem, (texts, ignored, predictions) in images.items():
        expected = official_counts(texts, ignored, predictions)
        iou, counted = match_image(*truths[stem][:2], read[stem].polygons)
        counts = official_numbers(iou)
        assert counts == expected, (texts, ignored, predictions)
        totals += expected
        seen["hits"] += counts[0]
        seen["misses"] += min(counts[1:]) - counts[0]
        seen["left_out"] += int((~counted).sum())
        seen["no_area"] += sum(twice_area(p) == 0 for p in predictions)
        seen["crossing"] += sum(map(crosses_itself, predictions))
        seen["duplicates"] += len(predictions) - len({tuple(p) for p in predictions})
        for text, prediction in itertools.product(texts, predictions):
            areas, common = twice_area(text) + twice_area(prediction), common_area(text, prediction)
            seen["halves"] += 0 < common == areas / Fraction(6)  # IoU 1/2: 2 I = A + B - I
            seen["touching"] += common == 0 and len({*text} & {*prediction}) == 2
    precision, recall = totals[0] / totals[2], totals[0] / totals[1]
    metrics = evaluate_predictions(truths, read)
    official = {key: value for key, value in metrics.items() if "official" in key}
    assert official == pytest.approx(
        {
            "icdar/official_precision": precision,
            "icdar/official_recall": recall,
            "icdar/official_hmean": 2 * precision * recall / (precision + recall),
        },
        rel=1e-12,
    )
    return seen


@pytest.mark.parametrize("num_images", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_counts_equal_the_official_protocol_on_random_images(tmp_path, num_images):
    seen = compare_with_official(tmp_path, num_images, seed=num_images)
    assert min(seen.values()) >= 20, seen


# --- Outlines that cross themselves: worked out by hand ---

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10)]
BOW_TIE = [(0, 0), (10, 10), (10, 0), (0, 10)]  # two lobes of 25, cancelling in the formula
UNEVEN = [(0, 0), (10, 10), (10, 4), (0, 10)]  # lobes of 31.25 and 11.25

# Text, whether it is ignored, prediction; (matches, texts, predictions).
CROSSING = {
    # IoU 50 / (100 + 0 - 50).
    "bow tie on its square": (SQUARE, False, BOW_TIE, (1, 1, 1)),
    # 42.5 / (100 + 20 - 42.5).
    "uneven lobes": (SQUARE, False, UNEVEN, (1, 1, 1)),
    # 50 / (0 + 0 - 50).
    "bow tie on itself": (BOW_TIE, False, BOW_TIE, (0, 1, 1)),
    # Without area it cannot have more than half of it in there.
    "bow tie in an ignored text": (SQUARE, True, BOW_TIE, (0, 0, 1)),
    "uneven lobes in an ignored text": (SQUARE, True, UNEVEN, (0, 0, 0)),
}


@pytest.mark.parametrize(
    ("text", "ignore", "prediction", "expected"), CROSSING.values(), ids=CROSSING
)
def test_outlines_that_cross_themselves(text, ignore, prediction, expected):
    iou, _ = match_image([np.float32(text)], [ignore], [np.float32(prediction)])
    assert official_numbers(iou) == expected
    assert official_counts([text], [ignore], [prediction]) == expected
