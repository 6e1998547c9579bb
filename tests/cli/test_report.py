import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from dbnet.cli import report
from tests.cli.test_startup import run as run_apart
from tests.conftest import rectangle
from tests.evaluation.test_evaluate import write_zip

NAME = "img_<b>&1"  # a name that HTML has to escape
VOID = {"meta", "img", "br"}
TEXT, OTHER = rectangle(10, 10, 70, 30), rectangle(10, 60, 70, 80)


class Page(HTMLParser):
    """Checks that tags close in order, and collects what the tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.rows, self.text = [], [], [], text
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def row(self, start):
        """Cells of the first row that begins so, white space joined."""
        return next(
            [" ".join(cell.split()) for cell in row] for row in self.rows if row and row[0] == start
        )

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)


def write(path, predictions, scores=True):
    """A results file of {image: polygons}, of scores 0.9, 0.8, ..."""
    images = [
        dict(img_path=f"{name}.png", polygons=[p.ravel().tolist() for p in polygons])
        | (dict(scores=[0.9 - i / 10 for i in range(len(polygons))]) if scores else {})
        for name, polygons in predictions.items()
    ]
    path.write_text(json.dumps(dict(metrics={}, images=images)))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two images with two texts each."""
    monkeypatch.chdir(tmp_path)
    entries = []
    for name in (NAME, "img_2"):
        image = np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8)
        cv2.imwrite(f"{name}.png", image)
        words = [dict(polygon=p.ravel().tolist(), ignore=False, text="word") for p in (TEXT, OTHER)]
        entries.append(dict(img_path=f"{name}.png", height=100, width=200, instances=words))
    (tmp_path / "gt.json").write_text(json.dumps(dict(metainfo={}, data_list=entries)))
    write(tmp_path / "a.json", {NAME: [TEXT], "img_2": [TEXT, rectangle(100, 60, 160, 80)]})
    write(tmp_path / "b.json", {NAME: [TEXT, OTHER], "img_2": []})
    return tmp_path


def make(*arguments):
    status = report.main([*map(str, arguments), "--gt", "gt.json", "--html", "r.html"])
    assert status == 0
    with open("r.html", encoding="utf-8") as file:
        return Page(file.read())


def test_one_result(folder, capsys):
    page = make("a.json")
    # Of 4 texts 2 are found, of 3 predictions 2 right: 2 * 2 / (4 + 3) = .5714. At 0.9 alone the
    # prediction of 0.8, the false alarm, is gone: 2 * 2 / (4 + 2) = .6667.
    (cell,) = page.row("hmean at the best score threshold")[1:]
    assert cell.startswith("0.6667 ") and cell.endswith("precision 1.000, recall 0.500")
    assert page.row("icdar2015: all predictions, the official hmean")[1].startswith("0.5714 ")
    assert page.row("no region")[1:3] == ["2", "100.0 %"]
    assert page.row("all")[1:3] == ["2", "100 %"]
    assert page.row("16 to 24")[:4] == ["16 to 24", "4", "0.500", "0.667"]  # all are 20 high
    assert page.row("4 to 5")[:4] == ["4 to 5", "4", "0.500", "-"]
    assert page.row("0.9 (best)") == ["0.9 (best)", "2", "1.0000", "0.5000", "0.6667"]
    assert page.count("img") == 2  # both images have an error
    assert "Second less first" not in page.text
    assert "r.html has it" in capsys.readouterr().out


def test_two_results(folder):
    page = make("a.json", "b.json")
    first, second, change, share = page.row("icdar2015: all predictions, the official hmean")[1:]
    assert first.startswith("0.5714 ") and second.startswith("0.6667 ")
    assert change.startswith("+0.0952 ") and share.endswith(" %")
    assert "1 texts gained and 1 lost, in 2 of 2 images" in page.text
    # The first image gains a text; the second loses one. At 0.9 and 0.3 there is no false alarm.
    assert page.row(NAME) == [NAME, "1", "0", "+0"]
    assert page.row("img_2") == ["img_2", "0", "1", "+0"]
    # Both changed images for both results, two with errors of the first, one of the second.
    assert page.count("img") == 4 + 2 + 1


def test_the_page_stands_alone_and_escapes_names(folder):
    page = make("a.json", "b.json")
    assert "<script" not in page.text and not re.search(r"https?:", page.text)
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    assert "<b>&1" not in page.text and "img_&lt;b&gt;&amp;1" in page.text
    assert page.count("table") == page.text.count("<thead>")


def test_missing_images_and_predictions_are_noted(folder, capsys):
    (folder / "img_2.png").unlink()
    write(folder / "a.json", {NAME: [TEXT]})
    page = make("a.json")
    out = capsys.readouterr().out
    assert "a.json: no predictions for img_2, counted as empty" in out
    assert "gt.json: images cannot be read, so without pictures and contrast: img_2" in out
    assert page.count("img") == 1 and "(no picture)" in page.text


def test_a_submission_has_no_curve(folder, capsys):
    write_zip(folder / "s.zip", {"res_img_2.txt": "10,10,70,10,70,30,10,30\r\n"})
    page = make("s.zip", "b.json")
    assert "s.zip: no scores, so there is no curve" in capsys.readouterr().out
    assert page.count("polyline") == 1  # of the other
    assert page.row("hmean at the best score threshold")[1] == "no scores"
    page = make("s.zip")
    assert page.count("polyline") == 0
    assert page.row("icdar2015: all predictions, the official hmean")[1].startswith("0.4000 ")


def test_a_folder_as_ground_truth(folder, capsys):
    (folder / "gt").mkdir()
    (folder / "gt" / "gt_img_2.txt").write_text("10,10,70,10,70,30,10,30,word\n")
    write(folder / "a.json", {"img_2": [TEXT]})
    assert report.main(["a.json", "--gt", "gt", "--html", "r.html"]) == 0
    assert "gt: images are not named by it" in capsys.readouterr().out
    page = Page((folder / "r.html").read_text())
    assert page.count("img") == 0 and "No errors." in page.text


def test_nothing_at_all(folder):
    write(folder / "a.json", {NAME: [], "img_2": []})
    page = make("a.json")
    assert page.row("no region")[1:3] == ["4", "100.0 %"]
    assert page.row("duplicate")[1:3] == ["0", "0.0 %"]


def test_results_of_other_texts_are_noted(folder, capsys):
    write(folder / "a.json", {NAME: [TEXT + 1000]})
    make("a.json")
    assert "a.json: no prediction finds a text" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["c.json"], "c.json holds img_7, which gt.json lacks", id="other data set"),
        pytest.param(["a.json", "a.json"], "a.json is given twice", id="twice"),
        pytest.param(["none.json"], "none.json: No such file", id="no file"),
        pytest.param(["a.json", "b.json", "--html", "gt.json"], "no report of this", id="not ours"),
        pytest.param(["a.json", "b.json", "--html", "x/r.html"], "no folder x; make", id="folder"),
        pytest.param(
            ["a.json", "b.json", "--gt", "empty.json"], "empty.json: data_list", id="none"
        ),
    ],
)
def test_mistakes_are_one_line(folder, capsys, arguments, message):
    write(folder / "c.json", {"img_7": []})
    (folder / "empty.json").write_text('{"metainfo": {}, "data_list": []}')
    defaults = ["--gt", "gt.json", "--html", "r.html"]
    before = (folder / "gt.json").read_text()
    assert report.main([*arguments[:1], *arguments[1:2], *defaults, *arguments[2:]]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert (folder / "gt.json").read_text() == before and not (folder / "r.html").exists()


def test_three_results_are_too_many(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        report.main(["a.json", "b.json", "c.json", "--gt", "gt.json", "--html", "r.html"])
    assert stop.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "a.json", "b.json", "--html", "r.html"],
        ["evaluate", "--pred", "a.json", "--against", "b.json", "--protocol", "all"],
    ],
    ids=["report", "evaluate"],
)
def test_results_are_read_without_torch(folder, arguments):
    status, modules = run_apart(folder, *arguments, "--gt", "gt.json")
    assert status == 0
    assert modules.isdisjoint({"torch", "mmengine", "matplotlib", "scipy"})
