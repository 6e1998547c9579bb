"""Sets that mix words and lines, and sets that do not."""

import json

import cv2
import numpy as np

from dbnet.cli import check
from dbnet.data_check.whole_files import mixed_levels
from dbnet.geometry import rectangle


def word(left, width, text="", top=10, height=10, ignore=False):
    polygon = rectangle(left, top, left + width, top + height).ravel().tolist()
    return dict(polygon=polygon, text=text, ignore=ignore)


def entry(*words):
    return dict(img_path="a.png", height=100, width=400, instances=list(words))


def column(number, *words):
    """`number` short words below each other, and others below them."""
    short = [word(0, 30, "word", top=12 * i) for i in range(number)]
    for i, other in enumerate(words):
        points = np.reshape(other["polygon"], (-1, 2)) + (0, 12 * (number + i))
        other["polygon"] = points.ravel().tolist()
    return entry(*short, *words)


def details(*entries):
    return [finding.detail for finding in mixed_levels(entries)]


WORDS = [word(10, 30), word(50, 40), word(100, 30)]
LINE = word(5, 130, top=9, height=12)


def test_lines_over_their_words():
    assert details(entry(*WORDS, LINE), entry(*WORDS, LINE)) == [
        "2 of 8 texts lie on words of their own"
    ]


def test_words_alone_lines_alone_and_both_apart():
    assert details(entry(*WORDS), entry(*WORDS)) == []
    assert details(entry(LINE), entry(LINE)) == []
    ignored = word(5, 130, top=9, height=12, ignore=True)
    assert details(entry(*WORDS, ignored), entry(*WORDS, ignored)) == []


def test_small_print_in_a_sign_is_no_line():
    sign = word(5, 130, top=5, height=60)
    assert details(entry(*WORDS, sign), entry(*WORDS, sign)) == []


def test_a_few_long_texts_with_spaces():
    """18 words of 3 heights, 2 lines of 12: a tenth has spaces and is 4 times as long."""
    found = details(*[column(9, word(0, 120, "a whole line")) for _ in "ab"])
    assert found == [
        "2 of 20 transcriptions have spaces, and are 4.0 times as long for their height as the "
        "others"
    ]


def test_lines_of_one_word_are_lines():
    assert details(column(1, word(0, 120, "and a line"))) == []
    assert details(column(99, word(0, 120, "a slip"))) == []
    assert details(column(9, word(0, 40, "a b"))) == []


def test_broken_entries_are_passed_over():
    assert details([], dict(), entry(), entry(dict(polygon=[1, 2]))) == []


def test_check_says_it(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (100, 400, 3)))
    path = tmp_path / "train.json"
    path.write_text(json.dumps(dict(data_list=[entry(*WORDS, LINE), entry(*WORDS, LINE)])))
    check.main([str(path)])
    output = capsys.readouterr().out
    assert "warning: mixed-levels: 1 in 0 images" in output
    assert f"{path}: 2 of 8 texts lie on words of their own" in output
    assert "dbnet prepare --keep word" in output
