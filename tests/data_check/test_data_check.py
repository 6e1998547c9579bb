"""The check of datasets: each rule by hand, then planted damage through the command."""

import base64
import json
import math
import random
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from dbnet.cli import check, report_path
from dbnet.cli.progress import with_progress
from dbnet.data_check import (
    fingerprints,
    pictures,
    polygons,
    summary,
    whole_files,
)
from dbnet.data_check.inspection import (
    TURNS,
    Place,
    check_image,
    check_word,
    entry_problem,
    inspect_entry,
    read_entries,
)
from dbnet.data_check.kinds import KINDS, NOTE, SEVERITIES
from dbnet.data_check.reports import bars
from dbnet.datasets.annotation_file import stated_size
from dbnet.errors import UserError
from tests.conftest import rectangle
from tests.scenes import write_scenes

SHAPE = (100, 200)  # (H, W)
BOX = rectangle(20, 20, 80, 40)
# A crossed pentagon drawn without lifting the pen: its middle lies inside twice.
PENTAGRAM = np.array(
    [(50 + 40 * math.sin(a), 50 - 40 * math.cos(a)) for a in np.arange(5) * 4 * math.pi / 5]
)


def dumbbell(width):
    """Two squares of 20, joined by a bar that is 40 long and `width` high."""
    low, high = 20 - width / 2, 20 + width / 2
    upper = [[10, 10], [30, 10], [30, low], [70, low], [70, 10], [90, 10]]
    lower = [[90, 30], [70, 30], [70, high], [30, high], [30, 30], [10, 30]]
    return np.array(upper + lower, np.float32)


def found(outlines, shape=SHAPE, scale=1.0, ignored=None):
    """Kinds and words of what is found in polygons."""
    ignored = ignored or [False] * len(outlines)
    findings, _ = polygons.check_polygons(outlines, ignored, shape, scale)
    return [(finding.kind, finding.word) for finding in findings]


# Words


@pytest.mark.parametrize(
    ("outline", "kind"),
    [
        pytest.param(BOX, None, id="box"),
        pytest.param(BOX[::-1], None, id="other direction"),
        pytest.param(BOX[[0, 0, 1, 2, 3, 3]], None, id="repeated corners"),
        pytest.param(rectangle(-0.5, -0.5, 199.5, 99.5), None, id="the whole image"),
        pytest.param(rectangle(100, 0, 200.5, 99), None, id="one pixel beyond"),
        pytest.param(rectangle(100, 0, 200.6, 99), "partly-outside", id="more than one"),
        pytest.param(rectangle(-1.6, 0, 50, 20), "partly-outside", id="left"),
        pytest.param(rectangle(0, 80, 50, 101), "partly-outside", id="below"),
        pytest.param(rectangle(200, 10, 260, 30), "outside", id="right of the image"),
        pytest.param(rectangle(10, -40, 60, -1), "outside", id="above the image"),
        pytest.param(rectangle(20, 20, 80, 28), None, id="just large enough"),
        pytest.param(rectangle(20, 20, 80, 27.9), "too-small", id="too small"),
        pytest.param(PENTAGRAM, "crossing", id="pentagram"),
        # D = 0.84 (800 + 40 w) / (240 - 2 w): the bar goes if its half, w / 2, is below D - 0.5.
        pytest.param(dumbbell(2), "splits", id="dumbbell"),  # 1 < 2.63
        pytest.param(dumbbell(6), "splits", id="strong dumbbell"),  # 3 < 3.33
        pytest.param(dumbbell(7.4), None, id="stronger dumbbell"),  # 3.7 > 3.59
    ],
)
def test_one_word(outline, kind):
    assert found([np.asarray(outline, np.float32)]) == ([(kind, 0)] if kind else [])


def test_words_that_are_ignored_are_not_asked_to_be_learnable():
    assert found([rectangle(20, 20, 80, 24), dumbbell(2)], ignored=[True, True]) == []


def test_the_test_size_decides_what_is_too_small():
    # Half the size: 15 pixels become 7.5, 16 become 8.
    outlines = [rectangle(20, 20, 80, 35), rectangle(20, 50, 80, 66)]
    assert found(outlines) == []
    assert found(outlines, scale=0.5) == [("too-small", 0)]
    # mmcv's rule: the longer side fits the longer bound, the shorter side the shorter.
    assert polygons.resize_factor((720, 1280), (1333, 736)) == pytest.approx(736 / 720)
    assert polygons.resize_factor((2000, 400), (736, 1333)) == pytest.approx(1333 / 2000)


@pytest.mark.parametrize(
    ("shift", "twins"),
    [
        (0, [("duplicate-word", 1)]),
        (2, [("duplicate-word", 1)]),  # IoU (100 - 2) / (100 + 2) = 0.961
        (3, []),  # 97 / 103 = 0.942
        (100, []),
    ],
)
def test_duplicates(shift, twins):
    outlines = [rectangle(10, 10, 110, 30), rectangle(10 + shift, 10, 110 + shift, 30)]
    assert found(outlines, shape=(100, 300)) == twins


def test_of_three_alike_two_are_too_many():
    findings, _ = polygons.check_polygons([BOX, BOX, BOX], [False] * 3, SHAPE, 1.0)
    assert [(f.kind, f.word, f.twin) for f in findings] == [
        ("duplicate-word", 1, 0),
        ("duplicate-word", 2, 0),
    ]
    assert findings[0].describe() == "word 1: IoU 1.00 with word 0"


def test_fractions_of_the_image():
    outlines = [BOX / np.float32([200, 100]), rectangle(0, 0, 1, 1)]
    assert found(outlines) == [("fractions", None)]
    assert ("fractions", None) not in found([*outlines, BOX])


def test_without_a_shape_nothing_is_outside():
    assert found([rectangle(-500, 0, -400, 50)], shape=None) == []


def test_measures():
    # Scaled by 2: 40 x 120 upright, 45 degrees with a long side of 40, and a line's worth.
    diagonal = np.float32([[50, 50], [50 + 200**0.5, 50 + 200**0.5]])
    across = np.float32([5 / 2**0.5, -5 / 2**0.5])
    turned = np.float32([diagonal[0], diagonal[1], diagonal[1] - across, diagonal[0] - across])
    _, measures = polygons.check_polygons(
        [rectangle(10, 10, 30, 70), turned], [True, True], SHAPE, 2.0
    )
    np.testing.assert_allclose(measures.short_side, [40, 10], rtol=1e-4)
    np.testing.assert_allclose(measures.area, [4800, 400], rtol=1e-4)
    np.testing.assert_allclose(measures.aspect, [3, 4], rtol=1e-4)
    np.testing.assert_allclose(measures.angle, [-90, 45], atol=1e-3)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (dict(polygon=[0, 0, 9, 0, 9, 9], ignore=False), None),
        (dict(polygon=[[0, 0], [9, 0], [9, 9]], ignore=0), None),
        (dict(polygon=[0, 0, 9, 0, 0, 9, 9, 9], ignore=False), "corner-order"),
        (dict(polygon=[0, 0, 9, 0], ignore=False), "few-points"),
        (dict(polygon=[], ignore=False), "few-points"),
        (dict(polygon=[0, 0, 9, 0, 9, float("nan")], ignore=False), "not-finite"),
        (dict(polygon=[0, 0, 9, 0, 9, 1e39], ignore=False), "not-finite"),
        (dict(polygon=[[0, 0], [9, 0], [9, 10**400]], ignore=False), "not-finite"),
        (dict(polygon=[0, 0, 9, 9, 4, 4], ignore=False), "no-area"),
        (dict(polygon=[0, 0, 9, 0, 9], ignore=False), "bad-word"),
        (dict(polygon=["a", 0, 9, 0, 9, 9], ignore=False), "bad-word"),
        (dict(polygon=None, ignore=False), "bad-word"),
        (dict(polygon=[0, 0, 9, 0, 9, 9]), "bad-word"),
        (dict(polygon=[0, 0, 9, 0, 9, 9], ignore="false"), "bad-word"),
        (dict(polygon=[0, 0, 9, 0, 9, 9], ignore=None), "bad-word"),
        (dict(ignore=False), "bad-word"),
        (7, "bad-word"),
    ],
)
def test_reading_words(word, kind):
    finding, polygon = check_word(3, word)
    assert (finding and finding.kind) == kind
    assert (polygon is None) == (kind not in (None, "corner-order"))
    if finding:
        assert finding.word == 3


# Entries


def test_entries_in_detail(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), noise((100, 200)))
    words = [
        dict(polygon=[0, 0], ignore=False),
        dict(polygon=BOX.ravel().tolist(), ignore=False, text="###"),
        dict(polygon=(BOX + 200).ravel().tolist(), ignore=True),
        dict(polygon=BOX.ravel().tolist(), ignore=False),
    ]
    entry = dict(img_path="a.png", instances=words)
    result = inspect_entry(Place(0, 5), entry, tmp_path, (200, 100))
    assert [(f.kind, f.word, f.twin) for f in result.findings] == [
        ("few-points", 0, None),
        ("unmarked", 1, None),
        ("outside", 2, None),
        ("duplicate-word", 3, 1),
    ]
    assert result.num_words == 4 and result.ignored.tolist() == [False, True, False]
    assert result.shape == SHAPE and result.place == (0, 5)


@pytest.mark.parametrize(
    ("instances", "kinds"),
    [
        ([], ["no-words"]),
        ([dict(polygon=BOX.ravel().tolist(), ignore=True)], ["all-ignored"]),
        ([dict(polygon=BOX.ravel().tolist(), ignore=False)], []),
        # A word was left out; whether the others are all that count is not known.
        (
            [dict(polygon=[1], ignore=False), dict(polygon=BOX.ravel().tolist(), ignore=1)],
            ["bad-word"],
        ),
    ],
)
def test_images_that_teach_nothing(tmp_path, instances, kinds):
    cv2.imwrite(str(tmp_path / "a.png"), noise((100, 200)))
    entry = dict(img_path="a.png", instances=instances)
    result = inspect_entry(Place(0, 0), entry, tmp_path, (200, 100))
    assert [finding.kind for finding in result.findings] == kinds


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (dict(img_path="a", instances=[]), None),
        (3, "is int, not an object"),
        ({}, "no img_path"),
        (dict(img_path=3, instances=[]), "img_path is no string"),
        (dict(img_path="a\0b", instances=[]), "img_path has a null character"),
        (dict(img_path="a"), "no instances"),
        (dict(img_path="a", instances={}), "instances is no list"),
    ],
)
def test_forms_of_entries(entry, problem):
    assert entry_problem(entry) == problem


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(3, 4, (3, 4)), (0, 4, None), (3, None, None), (3.0, 4, None), (True, 4, None)],
)
def test_stated_sizes(height, width, size):
    assert stated_size(dict(height=height, width=width)) == size


# Images


def noise(shape, seed=0):
    """Draw an image of smooth noise, (H, W, 3), that compresses and has features."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC)


def encode(suffix, shape=(90, 160), seed=0):
    return cv2.imencode(suffix, noise(shape, seed))[1].tobytes()


def kinds_of(path, stated=(90, 160)):
    return [finding.kind for finding in check_image(path, stated).findings]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_sound_images(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encode(suffix))
    facts = check_image(path, (90, 160))
    assert facts.findings == [] and facts.shape == (90, 160) and facts.fingerprint is not None
    assert check_image(path, None).findings == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(encode(".jpg")[:1500], "damaged-image", id="truncated JPEG"),
        pytest.param(encode(".png")[:-2000], "damaged-image", id="truncated PNG"),
        pytest.param(encode(".jpg")[:1500] + bytes(2000), "damaged-image", id="zeros at the end"),
        pytest.param(b"", "unreadable-image", id="empty"),
        pytest.param(b"<html>404</html>", "unreadable-image", id="web page"),
        pytest.param(encode(".jpg") + b"more", None, id="something behind the end"),
    ],
)
def test_damaged_images(tmp_path, content, kind):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert kinds_of(path) == ([kind] if kind else [])


def test_missing_images(tmp_path):
    for name in ("nothing.jpg", "", "x" * 5000, "\ud800"):
        assert kinds_of(tmp_path / name) == ["missing-image"]


def test_wrong_sizes(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(".jpg"))
    assert kinds_of(path, (90, 320)) == kinds_of(path, (180, 160)) == ["wrong-size"]
    (finding,) = check_image(path, (180, 320)).findings
    assert finding == ("wrong-size", "the file is 160x90, the entry states 320x180", None, None)


@pytest.mark.parametrize(
    ("orientation", "what"),
    [(2, "mirror it"), (3, "turn it by 180 degrees"), (6, "turn it right"), (8, "turn it left")],
)
def test_exif_orientation(tmp_path, orientation, what):
    path = tmp_path / "a.jpg"
    image = Image.fromarray(noise((90, 160)))
    exif = image.getexif()
    exif[274] = orientation
    image.save(path, exif=exif)
    facts = check_image(path, (90, 160))
    assert facts.shape == (90, 160)  # as stored
    (finding,) = facts.findings
    assert finding.kind == "turned-image" and finding.detail.endswith(f"viewers {what}")
    (finding,) = check_image(path, (160, 90)).findings
    assert finding.kind == "wrong-size" and f"(viewers {what})" in finding.detail


def test_turns_are_those_of_pillow():
    """The corner that Pillow's transposition puts at the top left tells the turn."""
    for orientation, words in enumerate(TURNS, 2):
        image = Image.fromarray(np.uint8([[0, 1], [2, 3]]))
        image.getexif()[274] = orientation
        (a, b), (c, d) = np.asarray(ImageOps.exif_transpose(image)).tolist()
        mirrored = [a, b, d, c] not in ([0, 1, 3, 2], [2, 0, 1, 3], [3, 2, 0, 1], [1, 3, 2, 0])
        assert ("mirror" in words) == mirrored, orientation
        if not mirrored:
            start = {3: "by 180 degrees", 2: "right", 1: "left"}[a]
            assert words == f"turn it {start}"


@pytest.mark.parametrize(
    ("shape", "odd"), [((32, 320), False), ((31, 160), True), ((40, 401), True), ((401, 40), True)]
)
def test_extreme_sizes(tmp_path, shape, odd):
    path = tmp_path / "a.png"
    path.write_bytes(encode(".png", shape))
    assert kinds_of(path, shape) == (["extreme-size"] if odd else [])


# Pictures that look the same


def test_copies_have_nearly_the_same_fingerprint():
    for seed in range(5):
        image = noise((300, 500), seed)
        original = fingerprints.fingerprint(image)
        small = cv2.resize(image, (170, 100), interpolation=cv2.INTER_AREA)
        saved = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], 1)
        for copy in (small, saved):
            difference = (original ^ fingerprints.fingerprint(copy)).bit_count()
            assert difference <= fingerprints.MAX_DISTANCE
        other = fingerprints.fingerprint(noise((300, 500), seed + 100))
        assert (original ^ other).bit_count() > 10


def test_blank_pages_are_not_compared():
    assert fingerprints.fingerprint(np.full((50, 60, 3), 255, np.uint8)) is None


def test_near_pairs_are_all_pairs_at_most_four_bits_apart():
    rng = random.Random(0)
    base = [rng.getrandbits(64) for _ in range(60)]
    changed = [h ^ sum(1 << b for b in rng.sample(range(64), k % 8)) for k, h in enumerate(base)]
    hashes = np.unique(np.array([*base, *changed, 0, 2**64 - 1, 15, 31], np.uint64))
    expected = [
        [i, j]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= 4
    ]
    assert len(expected) > 20
    assert fingerprints.near_pairs(hashes).tolist() == expected


def test_earlier_twins():
    a, b = 0x0123456789ABCDEF, 0xFEDCBA9876543210
    hashes = np.array([a, b, a ^ 3, 99 << 32, a, b ^ 1, 99 << 32, 0xFF << 20], np.uint64)
    files = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    same, other = fingerprints.earlier_twins(hashes, files)
    assert same.tolist() == [-1, -1, 0, -1, -1, -1, -1, -1]
    assert other.tolist() == [-1, -1, -1, -1, 0, 1, 3, -1]
    none = fingerprints.earlier_twins(np.zeros(0, np.uint64), np.zeros(0, np.int64))
    assert [len(part) for part in none] == [0, 0]


# Statistics


def test_bins():
    assert summary.SCALES["words"].labels()[:5] == ["0", "1", "2", "3..4", "5..8"]
    assert summary.SCALES["short_side"].labels()[-1] == "128+"
    counts = summary.SCALES["short_side"].counts_of(np.array([0, 1.9, 2, 7.99, 8, 1e9]))
    assert counts.tolist() == [2, 1, 1, 1, *[0] * 7, 1]
    # Beyond the outermost edges by rounding alone.
    assert summary.SCALES["angle"].counts_of(np.array([-90.0, 90.0]))[[0, -1]].tolist() == [1, 1]


def test_bars_are_in_proportion():
    # The longest bar, 40, is 210 pixels: 30 of it 157.5, 10 of it 52.5.
    assert bars(["a", "b", "c"], np.array([[30, 0, 10], [10, 0, 10]])) == [
        ("a", 157.5, 52.5, "40 (67%)"),
        ("b", 0, 0, "0"),
        ("c", 52.5, 52.5, "20 (33%)"),
    ]
    assert bars(["a", "b"], np.array([[1, 999], [0, 0]]))[0] == ("a", 1, 0, "1 (<1%)")


# Pictures


def test_views():
    assert pictures.view_around([], (100, 200)) == (0, 0, 200, 100)
    # A word 100 long: 100 more above and below, 4/3 of that on either side.
    view = pictures.view_around([rectangle(450, 490, 550, 500)], (1000, 1000))
    assert view == (317, 390, 683, 600)
    # Small words get 12 % of the longer side: 60 pixels above and below, 80 left and right.
    view = pictures.view_around([rectangle(500, 500, 501, 501)], (1000, 1000))
    assert view == (420, 440, 581, 561)
    # One that is outside is shown with the whole image, as far as one image away.
    left, top, right, bottom = pictures.view_around([rectangle(900, 40, 990, 60)], (100, 200))
    assert (left, right) == (0, 400) and top <= 0 and bottom >= 100


def test_what_lies_beyond_the_image_is_grey():
    part = pictures.crop(np.zeros((10, 20, 3), np.uint8), (-2, 5, 8, 13))
    assert part.shape == (8, 10, 3)
    assert (part[:5, 2:] == 0).all() and (part[5:] == 128).all() and (part[:, :2] == 128).all()


def test_words_are_drawn_where_they_are(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((360, 480, 3), np.uint8))
    words = [dict(polygon=rectangle(250, 200, 350, 250).ravel(), ignore=False)]
    entry = dict(img_path="a.png", instances=words)
    whole = decode(pictures.draw_entry(tmp_path, entry, {0}, close=False))
    assert whole.shape == (360, 480, 3)
    np.testing.assert_allclose(orange_box(whole), [250, 200, 350, 250], atol=3)
    # The view is x 117..480, y 100..350: 100 more above and below, 133 on the left, on the right
    # up to the edge. It is enlarged by 480 / 363.
    near = decode(pictures.draw_entry(tmp_path, entry, {0}, close=True))
    np.testing.assert_allclose(orange_box(near), [176, 132.5, 308, 198.5], atol=4)
    assert pictures.draw_entry(tmp_path, {**entry, "img_path": "b.png"}, {0}, True) is None


def orange_box(image):
    """Bounding box of what is drawn in the colour of findings."""
    rows, columns = np.nonzero((image[..., 2] > 120) & (image[..., 0] < 90))
    return [columns.min(), rows.min(), columns.max(), rows.max()]


def decode(source):
    head, data = source.split(",")
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


# The command


@pytest.fixture
def scenes(tmp_path):
    """Six sound pictures as a dataset, with sizes."""
    write_scenes(tmp_path, 6)
    edit(tmp_path / "train.json", lambda data: [e.update(height=128, width=128) for e in data])
    return tmp_path


def edit(path, change):
    content = json.loads(path.read_text())
    change(content["data_list"])
    path.write_text(json.dumps(content))


def run(folder, *arguments):
    """Check `train.json`; return the exit status and the findings as (kind, index, word)."""
    target = folder / "findings.json"
    given = [str(a) for a in arguments] or [str(folder / "train.json")]
    status = check.main([*given, "--json", str(target), "--test-size", "128,128"])
    records = json.loads(target.read_text())["findings"]
    return status, [(r["kind"], r["index"], r["word"]) for r in records if r["severity"] != NOTE]


def test_a_sound_data_set(scenes, capsys):
    assert run(scenes) == (0, [])
    output = capsys.readouterr().out
    assert output.endswith("0 errors, 0 warnings, 0 notes; --html report.html shows them\n")
    header, counts = output.splitlines()[:2]
    assert header.split()[1:] == [
        "images",
        "words",
        "counted",
        "ignored",
        "errors",
        "warnings",
        "notes",
    ]
    assert counts.split()[1:] == ["6", "12", "12", "0", "0", "0", "0"]


def test_planted_damage_is_found_and_nothing_else(scenes):
    (scenes / "img_0.png").unlink()
    (scenes / "img_1.png").write_bytes((scenes / "img_1.png").read_bytes()[:800])

    def damage(data):
        corners = data[2]["instances"][1]["polygon"]
        data[2]["instances"][1]["polygon"] = [*corners[:4], *corners[6:], *corners[4:6]]
        data[3]["instances"].append(data[3]["instances"][0])
        data[4]["instances"][0]["polygon"] = [1, 2, 3, 4]
        data[5]["height"] = 16
        data.append({**data[4], "instances": data[4]["instances"][1:]})

    edit(scenes / "train.json", damage)
    status, findings = run(scenes)
    assert status == 1
    assert findings == [
        ("missing-image", 0, None),
        ("damaged-image", 1, None),
        ("corner-order", 2, 1),
        ("duplicate-word", 3, 2),
        ("few-points", 4, 0),
        ("wrong-size", 5, None),
        ("duplicate-image", 6, None),
    ]


def test_warnings_alone_are_no_failure(scenes):
    edit(scenes / "train.json", lambda data: data[0]["instances"][0].update(text="###"))
    assert run(scenes) == (0, [("unmarked", 0, 0)])


def test_pictures_in_two_files(scenes, capsys):
    image = cv2.imread(str(scenes / "img_3.png"))
    cv2.imwrite(str(scenes / "copy.jpg"), image)
    entry = json.loads((scenes / "train.json").read_text())["data_list"][3]
    entry["img_path"] = "copy.jpg"
    (scenes / "test.json").write_text(json.dumps(dict(data_list=[entry])))
    status, findings = run(scenes, scenes / "train.json", scenes / "test.json")
    assert status == 1 and findings == [("leak", 0, None)]
    assert f"like {scenes / 'train.json'}: data_list[3] img_3.png" in capsys.readouterr().out


class Page(HTMLParser):
    """What a page is made of: its tags, and the sources of its images and links."""

    VOID = ("meta", "img", "br", "rect")

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.references = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_escapes_names(scenes):
    name = '<script>alert(1)<&script>".png'
    (scenes / "img_2.png").rename(scenes / name)

    def rename(data):
        data[2]["img_path"] = name
        data[2]["instances"].append(data[2]["instances"][0])
        data[0]["instances"][0]["ignore"] = "<b>"
        data[1]["img_path"] = "<i>gone</i>"

    edit(scenes / "train.json", rename)
    page_path = scenes / "report.html"
    assert check.main([str(scenes / "train.json"), "--html", str(page_path)]) == 1
    text = page_path.read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert not {"script", "link", "b", "i", "iframe"} & set(page.tags)
    assert all(r.startswith(("data:image/jpeg;base64,", "#")) for r in page.references)
    anchors = {r[1:] for r in page.references if r.startswith("#")}
    assert anchors >= {"duplicate-word", "bad-word", "missing-image"}
    assert all(f'id="{anchor}"' in text for anchor in anchors)
    assert "&lt;script&gt;alert(1)&lt;&amp;script&gt;&#34;.png" in text
    assert "http" not in text.replace("http-equiv", "")
    assert page.tags.count("svg") == 5 and page.tags.count("img") >= 4
    assert len(text) < 1e6


def test_reports_overwrite_reports_only(scenes, capsys):
    arguments = [str(scenes / "train.json"), "--html", str(scenes / "r.html")]
    assert check.main(arguments) == check.main(arguments) == 0
    (scenes / "r.html").write_text("mine")
    assert check.main(arguments) == 1
    assert "will not be overwritten" in capsys.readouterr().err
    assert (scenes / "r.html").read_text() == "mine"
    assert check.main([*arguments[:1], "--json", str(scenes / "train.json")]) == 1
    assert not list(scenes.glob(".*partial"))


def test_an_old_report_that_cannot_be_read_is_one_line(scenes, capsys, monkeypatch):
    def refuse(path, mark):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(report_path, "is_report", refuse)
    (scenes / "r.html").touch()
    assert check.main([str(scenes / "train.json"), "--html", str(scenes / "r.html")]) == 1
    assert capsys.readouterr().err == f"error: {scenes / 'r.html'}: Permission denied\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.json"], "nothing.json not found"),
        (["train.json", "./train.json"], "given twice"),
        (["img_0.png"], "not a JSON file"),
        (["list.json"], 'no "data_list"'),
        (["empty.json"], "data_list is empty"),
        (["train.json", "--html", "nowhere/r.html"], "no folder nowhere"),
        (["train.json", "--html", "r", "--json", "./r"], "--html and --json are both r"),
    ],
)
def test_mistakes_are_one_line(scenes, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(scenes)
    (scenes / "list.json").write_text("[]")
    (scenes / "empty.json").write_text('{"data_list": []}')
    assert check.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize("option", ["--html", "--json"])
def test_a_report_that_cannot_be_written_is_reported_first(scenes, monkeypatch, capsys, option):
    def check_images(*args):
        raise AssertionError("checked before")

    monkeypatch.setattr(check, "check", check_images)
    monkeypatch.setattr(
        report_path.os, "access", lambda path, mode: False
    )  # root may write anywhere
    assert check.main([str(scenes / "train.json"), option, str(scenes / "report")]) == 1
    expected = f"error: {scenes / 'report'}: cannot write into the folder {scenes}\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("arguments", [[], ["a.json", "--test-size", "x"], ["a", "--workers", "0"]])
def test_misuse(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        check.main(arguments)
    assert stop.value.code == 2 and "usage" in capsys.readouterr().err


def test_progress_is_shown_on_a_terminal_alone(monkeypatch, capsys):
    assert list(with_progress(range(3), 3)) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(with_progress(range(3), 3)) == [0, 1, 2]
    error = capsys.readouterr().err
    assert "3/3 images, 0:00:00 left" in error and error.endswith("\r\033[K")


# Bounds


def test_examples_and_worst_images_are_few(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), noise((100, 200)))
    gathered = summary.Summary([tmp_path / "x.json"])
    for index in range(50):
        words = [dict(polygon=[1, 2], ignore=False)] * (1 + (index == 40))
        entry = dict(img_path="a.png", instances=words)
        gathered.add(inspect_entry(Place(0, index), entry, tmp_path, (200, 100)))
    kind = gathered.kinds["few-points"]
    assert (kind.num_findings, kind.num_images) == (51, 50)
    assert [example.place.item for example in kind.examples] == list(range(summary.MAX_EXAMPLES))
    worst = [image for _, image in gathered.worst.in_order()]
    assert len(worst) == summary.NUM_WORST
    assert [image.place.item for image in worst[:3]] == [40, 0, 1]  # the first of equals
    assert len(list(gathered.find_twins())) == 49


def test_the_words_of_a_file_are_packed(tmp_path):
    word = dict(polygon=[1, 2, 3, 4.5], bbox=[1, 2, 3, 4], ignore=False, text="a", bbox_label=0)
    data = dict(data_list=[dict(img_path="a", instances=[word, {**word, "polygon": ["x"]}])])
    (tmp_path / "a.json").write_text(json.dumps(data))
    first, second = read_entries(tmp_path / "a.json")[0]["instances"]
    assert set(first) == {"polygon", "ignore", "text"}
    assert first["polygon"].tolist() == [1, 2, 3, 4.5] and second["polygon"] == ["x"]
    with pytest.raises(UserError, match="not found"):
        read_entries(tmp_path / "b.json")


NUMBERS = [0, 1, -1, 10, 79.5, 1e3, 1e30, -1e38, 1e39, 1e300, math.nan, math.inf, 10**400, True]


@pytest.mark.filterwarnings("error")
def test_anything_is_survived(tmp_path):
    """Entries of any JSON give a report; the page and the findings can be read again."""
    rng = random.Random(0)
    cv2.imwrite(str(tmp_path / "a.jpg"), noise((60, 80)))

    def polygon():
        odd = [None, "x", {}, 3, [], [[]], ["1", "2"], [None] * 8, [[1, 2], [3, 4], [5, 9]], [[1]]]
        if rng.random() < 0.2:
            return rng.choice(odd)
        if rng.random() < 0.5:
            return [rng.choice(NUMBERS) for _ in range(rng.randrange(13))]
        return [
            rng.choice([0, 10, 20, rng.uniform(-9, 99)]) for _ in range(2 * rng.randrange(3, 9))
        ]

    def word():
        ignore = rng.choice([True, False, False, None, "false", []])
        full = dict(polygon=polygon(), ignore=ignore, text=rng.choice(["a", "###", None, ["x"]]))
        return rng.choice([full] * 9 + [None, 3, {}, dict(polygon=[1, 2])])

    def entry():
        name = rng.choice(["a.jpg"] * 5 + ["b.jpg", "", "..", "x\0", 3, "a" * 5000, "\ud800.jpg"])
        full = dict(img_path=name, instances=[word() for _ in range(rng.randrange(8))])
        sizes = dict(height=rng.choice([60, None, "x", 10**30]), width=rng.choice([80, 7, 1.5]))
        return rng.choice([full, {**full, **sizes}] * 5 + [None, 3, [], {}, dict(img_path="a.jpg")])

    path = tmp_path / "t.json"
    path.write_text(json.dumps(dict(data_list=[entry() for _ in range(120)])))
    outputs = ["--html", str(tmp_path / "r.html"), "--json", str(tmp_path / "f.json")]
    assert check.main([str(path), *outputs, "--workers", "1"]) == 1
    page = Page()
    page.feed((tmp_path / "r.html").read_text())
    assert page.open == []
    content = json.loads((tmp_path / "f.json").read_text())
    assert sum(content["counts"].values()) == len(content["findings"]) > 100


def test_kinds_are_well_formed():
    for name, kind in KINDS.items():
        assert kind.severity in SEVERITIES, name
        assert kind.rule and kind.fix and not kind.rule.endswith("."), name


def test_the_document_states_every_rule():
    page = (Path(__file__).parents[2] / "docs/data_check.md").read_text()
    for name, kind in KINDS.items():
        assert f"| `{name}` | {kind.severity} | {kind.rule} |" in page


# Sets that teach nothing


NOTHING = {
    "no words": lambda words: words.clear(),
    "ignored": lambda words: [w.update(ignore=True) for w in words],
    "unreadable": lambda words: [w.update(ignore=True, text="###") for w in words],
    "too small": lambda words: [w.update(polygon=[9, 9, 39, 9, 39, 14, 9, 14]) for w in words],
    "outside": lambda words: [w.update(polygon=[200, 9, 239, 9, 239, 34, 200, 34]) for w in words],
    "no polygons": lambda words: [w.update(polygon=[1, 2]) for w in words],
}


@pytest.mark.parametrize("change", NOTHING.values(), ids=NOTHING)
def test_a_set_in_which_nothing_counts_is_an_error(scenes, capsys, change):
    edit(scenes / "train.json", lambda data: [change(e["instances"]) for e in data])
    status, findings = run(scenes)
    assert status == 1
    assert findings.count(("nothing-counts", None, None)) == 1
    assert f"  {scenes / 'train.json'}: " in capsys.readouterr().out
    page = ["--html", str(scenes / "r.html"), "--test-size", "128,128"]
    assert check.main([str(scenes / "train.json"), *page]) == 1
    assert "nothing-counts" in (scenes / "r.html").read_text()


def test_one_word_is_enough(scenes):
    def ignore_others(data):
        words = [word for entry in data for word in entry["instances"]]
        for word in words[1:]:
            word["ignore"] = True

    edit(scenes / "train.json", ignore_others)
    assert run(scenes)[0] == 0


@pytest.fixture
def pages(tmp_path):
    """Two scans of A4 at 300 dots per inch, with words of 30 pixels in every column."""
    rows = range(100, 3400, 300)
    words = [
        dict(
            polygon=rectangle(x, y + shift, x + 140, y + shift + 30).ravel().tolist(), ignore=False
        )
        for y in rows
        for x, shift in ((x, x % 300) for x in range(0, 2400, 100))
    ]
    page = np.full((3508, 2480, 3), 255, np.uint8)
    for name in ("a.jpg", "b.jpg"):
        cv2.imwrite(str(tmp_path / name), page)
    entries = [dict(img_path=name, instances=words) for name in ("a.jpg", "b.jpg")]
    (tmp_path / "train.json").write_text(json.dumps(dict(data_list=entries)))
    return tmp_path


def test_large_pages_full_of_text_are_shrunk_in_training(pages, capsys, monkeypatch):
    monkeypatch.setattr(whole_files, "NUM_SAMPLES", 6)
    arguments = [str(pages / "train.json"), "--test-size", "3508,3508"]
    assert check.main(arguments) == 0
    output = capsys.readouterr().out
    assert "warning: small-in-training" in output and "RandomScaleCrop" in output
    assert f"{pages / 'train.json'}: 0 of " in output  # 30 x 640 / 3508 is 5.5 pixels
    assert check.main([*arguments, "--config", "dbnet_r18_fpnc_finetune_icdar2015"]) == 0
    output = capsys.readouterr().out
    assert "small-in-training" not in output
    learnable, of, words = (
        next(line for line in output.splitlines() if "large enough" in line)
        .split(": ")[1]
        .split()[:3]
    )
    assert of == "of" and int(learnable) > 0.9 * int(words) > 20


def test_a_config_without_a_pipeline_is_one_line(scenes, capsys):
    arguments = [str(scenes / "train.json"), "--config", "dbnet_r18_fpnc_none"]
    assert check.main(arguments) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_words_beyond_a_turned_image_name_the_likely_cause(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise((60, 80))).save(tmp_path / "a.jpg", exif=exif)
    words = [dict(polygon=rectangle(5, 5, 50, 75).ravel().tolist(), ignore=False)]
    entry = dict(img_path="a.jpg", instances=words)
    findings = inspect_entry(Place(0, 0), entry, tmp_path, (80, 80)).findings
    (beyond,) = (f for f in findings if f.kind == "partly-outside")
    assert beyond.detail.endswith("its EXIF orientation is the likely cause")


def test_a_picture_at_a_url_is_fetched_once(monkeypatch):
    _, png = cv2.imencode(".png", np.zeros((40, 60, 3), np.uint8))
    asked = []
    monkeypatch.setattr("dbnet.remote.read", lambda url: asked.append(url) or png.tobytes())
    facts = check_image("https://host/1.png", (40, 60))
    assert facts.shape == (40, 60) and facts.findings == [] and asked == ["https://host/1.png"]
