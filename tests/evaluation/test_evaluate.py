import json
import zipfile

import numpy as np
import pytest

from dbnet.cli import evaluate as evaluate_tool
from dbnet.evaluation.files import (
    evaluate_predictions,
)
from dbnet.evaluation.protocols import NAMES
from dbnet.labels.entries import METAINFO

SQUARE = "0,0,10,0,10,10,0,10"
FAR = "50,50,60,50,60,60,50,60"


def numbers(quad):
    return ",".join(str(int(x)) for x in np.ravel(quad))


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_folder(path, files):
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_annotation(path, images):
    """An annotation file of {image path: list of (quad, ignored)}."""
    entries = []
    for img_path, texts in images.items():
        words = [dict(polygon=[float(x) for x in q.split(",")], ignore=i) for q, i in texts]
        entries.append(dict(img_path=img_path, height=99, width=99, instances=words))
    path.write_text(json.dumps(dict(metainfo=METAINFO, data_list=entries)))
    return path


def write_results(path, images):
    """A results file of {image path: (list of quads, scores or None)}."""
    entries = []
    for img_path, (quads, scores) in images.items():
        entry = dict(img_path=img_path, polygons=[[float(x) for x in q.split(",")] for q in quads])
        entries.append(entry if scores is None else entry | dict(scores=scores))
    path.write_text(json.dumps(dict(metrics={}, images=entries)))
    return path


def run(capsys, pred, gt):
    """Evaluate; return status and printed lines, but that of the fit, see `test_hmean_iou`."""
    status = evaluate_tool.main(["--pred", str(pred), "--gt", str(gt)])
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if not line.startswith("fit: ")]
    return status, lines, printed.err.splitlines()


# --- From files to the printed lines ---

GT_FILES = {"gt_img_1.txt": f"\ufeff{SQUARE},a\r\n{FAR},###\r\n", "gt_img_2.txt": f"{SQUARE},b\n"}
GROUND_TRUTHS = {
    "zip": lambda root: write_zip(root / "gt.zip", GT_FILES | {"about.pdf": "no text file"}),
    "zip of a folder": lambda root: write_zip(
        root / "gt.ZIP",
        {f"gt/{k}": v for k, v in GT_FILES.items()}
        | {"__MACOSX/gt/gt_img_1.txt": "", "gt/._gt_img_1.txt": ""},
    ),
    "folder": lambda root: write_folder(root / "gt", GT_FILES),
    "annotation": lambda root: write_annotation(
        root / "a.json", {"x/img_1.jpg": [(SQUARE, False), (FAR, True)], "img_2": [(SQUARE, False)]}
    ),
}
ROUNDED = "official if rounded to a submission: "
OFFICIAL = "official: precision 0.5000 recall 0.5000 hmean 0.5000"


@pytest.mark.parametrize("make", GROUND_TRUTHS.values(), ids=GROUND_TRUTHS)
def test_all_forms_of_ground_truth_give_the_same(tmp_path, capsys, make):
    # img_1: the square is hit, the far one is ignored and left out, a third misses. img_2: nothing.
    files = {"res_img_1.txt": f"{SQUARE}\n{FAR}\n20,0,30,0,30,10,20,10\n", "res_img_2.txt": ""}
    gt = make(tmp_path)
    status, lines, errors = run(capsys, write_zip(tmp_path / "submit.zip", files), gt)
    assert (status, errors) == (0, [])
    assert lines == [f"{gt}: 2 images, 3 texts, 2 that count", OFFICIAL]


@pytest.mark.parametrize("prefix", ["", "deep/er/", "win\\dows\\"])
def test_all_forms_of_predictions_give_the_same(tmp_path, capsys, prefix):
    gt = GROUND_TRUTHS["zip"](tmp_path)
    content = f"{SQUARE}\n{FAR}\n20,0,30,0,30,10,20,10"
    files = {f"{prefix}res_img_1.txt": content, f"{prefix}res_img_2.txt": "\n"}
    quads = content.split("\n")
    predictions = [
        write_zip(tmp_path / "submit.zip", files),
        write_folder(tmp_path / "submit", {k.removeprefix(prefix): v for k, v in files.items()}),
        write_results(
            tmp_path / "results.json",
            {f"{prefix}img_1.jpg": (quads, [0.9, 0.8, 0.7]), f"{prefix}img_2.jpg": ([], [])},
        ),
    ]
    assert [run(capsys, pred, gt)[1][-1] for pred in predictions] == [OFFICIAL] * 3


def test_lines_of_results_with_scores(tmp_path, capsys):
    # Two texts of 10 x 10. A hit of score 0.9; a miss of 0.4; and one of 10 x 4.6, which rounding
    # makes 10 x 5: no hit, as IoU 1/2 does not exceed 1/2; one of 10 x 5.4, a hit until rounded.
    gt = write_annotation(tmp_path / "a.json", {"i/7.png": [(SQUARE, False), (FAR, False)]})
    quads = [SQUARE, "20,0,30,0,30,10,20,10", "50,50,60,50,60,55.4,50,55.4"]
    pred = write_results(tmp_path / "r.json", {"j/7.png": (quads, [0.9, 0.4, 0.3])})
    assert run(capsys, pred, gt)[1] == [
        f"{gt}: 1 images, 2 texts, 2 that count",
        ROUNDED + "precision 0.3333 recall 0.5000 hmean 0.4000 (-0.4000)",
        "maximum matching: hmean 0.8000",
        "icdar: precision 0.6667 recall 1.0000 hmean 0.8000 (score threshold 0.3)",
        "official: precision 0.6667 recall 1.0000 hmean 0.8000",
    ]


def test_results_without_scores_have_official_lines_only(tmp_path, capsys):
    gt = write_annotation(tmp_path / "a.json", {"7.png": [(SQUARE, False)]})
    pred = write_results(tmp_path / "r.json", {"7.png": ([SQUARE], None)})
    assert run(capsys, pred, gt)[1][1:] == [
        ROUNDED + "precision 1.0000 recall 1.0000 hmean 1.0000 (+0.0000)",
        "official: precision 1.0000 recall 1.0000 hmean 1.0000",
    ]


def test_images_without_predictions_count_as_empty_and_are_told(tmp_path, capsys):
    gt = write_zip(tmp_path / "gt.zip", {f"gt_img_{i}.txt": f"{SQUARE},a" for i in (10, 9, 1, 2)})
    pred = write_zip(tmp_path / "s.zip", {"res_img_1.txt": SQUARE})
    lines = run(capsys, pred, gt)[1]
    assert lines[1:] == [
        f"{pred}: no predictions for img_2 and 2 more, counted as empty",
        "official: precision 1.0000 recall 0.2500 hmean 0.4000",
    ]


def test_three_protocols_differ(tmp_path, capsys):
    # Texts at 0 and 4, predictions at 2 and -2 (all 12 x 4, hits at a distance below 4): the first
    # text takes the one at 2, which the second needs. So 1 match of 2, or 2 with the maximum. A
    # third prediction of score 0.5 misses, so the sweep leaves it out and the official does not.
    box = "{0},0,{1},0,{1},4,{0},4"
    texts = [(box.format(x, x + 12), False) for x in (0, 4)]
    quads = [box.format(x, x + 12) for x in (2, -2, 90)]
    gt = write_annotation(tmp_path / "a.json", {"7.png": texts})
    pred = write_results(tmp_path / "r.json", {"7.png": (quads, [0.9, 0.8, 0.5])})
    assert run(capsys, pred, gt)[1][2:] == [
        "maximum matching: hmean 1.0000",
        "icdar: precision 1.0000 recall 0.5000 hmean 0.6667 (score threshold 0.9)",
        "official: precision 0.3333 recall 0.5000 hmean 0.4000",
    ]


def test_image_without_predictions_does_not_take_away_the_scores(tmp_path, capsys):
    gt = write_annotation(tmp_path / "a.json", {p: [(SQUARE, False)] for p in ("1.png", "2.png")})
    pred = write_results(tmp_path / "r.json", {"1.png": ([SQUARE], [0.5])})
    lines = run(capsys, pred, gt)[1]
    assert lines[-2:] == [
        "icdar: precision 1.0000 recall 0.5000 hmean 0.6667 (score threshold 0.3)",
        "official: precision 1.0000 recall 0.5000 hmean 0.6667",
    ]


# --- Mistakes ---


def gt_of(files):
    return lambda root: (write_zip(root / "s.zip", {"res_img_1.txt": ""}), make(root, "gt", files))


def pred_of(files):
    return lambda root: (make(root, "pred", files), GROUND_TRUTHS["zip"](root))


def make(root, name, files):
    """A zip of files, or a JSON file if given one value or a text."""
    if isinstance(files, dict) and all(key.endswith(("txt", "pdf", "json")) for key in files):
        return write_zip(root / f"{name}.zip", files)
    path = root / f"{name}.json"
    path.write_text(files if isinstance(files, str) else json.dumps(files))
    return path


def results(**image):
    return pred_of(dict(images=[dict(img_path="img_1.jpg", polygons=[], scores=[]) | image]))


def text_file(name):
    def files(root):
        (root / name).write_text(SQUARE)
        return root / name, GROUND_TRUTHS["zip"](root)

    return files


def damaged_zip(root):
    path = write_zip(root / "s.zip", {"res_img_1.txt": f"{SQUARE}\n" * 9})
    content = bytearray(path.read_bytes())
    content[45] ^= 1  # within the first file's text
    path.write_bytes(content)
    return path, GROUND_TRUTHS["zip"](root)


def zip_with_one_file_twice(root):
    path = root / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("res_img_1.txt", "")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("res_img_1.txt", "")
    return path, GROUND_TRUTHS["zip"](root)


LINE = "pred.zip: res_img_1.txt, line 2: "
MISTAKES = {
    "unknown image": (pred_of({"res_img_3.txt": "", "res_img_4.txt": ""}), "img_3 and 1 more"),
    "unknown image in results": (results(img_path="x/img_3.jpg"), "pred.json holds img_3, which"),
    "image twice": (
        pred_of({"a/res_img_1.txt": "", "b/res_img_1.txt": ""}),
        "a/res_img_1.txt and b/res_img_1.txt are both of img_1",
    ),
    "image twice in results": (
        pred_of(dict(images=[dict(img_path=p, polygons=[]) for p in ("img_1.jpg", "img_1.png")])),
        "img_1.jpg and img_1.png are both of img_1",
    ),
    "image twice in ground truth": (
        gt_of({"gt_img_1.txt": "", "img_1.txt": ""}),
        "gt.zip: gt_img_1.txt and img_1.txt are both of img_1",
    ),
    "entry twice": (zip_with_one_file_twice, "s.zip: res_img_1.txt is in there twice"),
    "another file in a submission": (
        pred_of({"res_img_1.txt": "", "log.json": ""}),
        "log.json is no",
    ),
    "seven numbers": (pred_of({"res_img_1.txt": f"{SQUARE}\n1,2,3,4,5,6,7"}), LINE + "expected x1"),
    "score": (pred_of({"res_img_1.txt": f"{SQUARE}\n{SQUARE},0.9"}), LINE + "expected x1,y1"),
    "fraction": (pred_of({"res_img_1.txt": f"\n0.5{SQUARE[1:]}"}), LINE + "expected x1,y1,x2"),
    "other digits": (pred_of({"res_img_1.txt": f"\n٣{SQUARE[1:]}"}), LINE + "expected x1,y1"),
    "huge": (pred_of({"res_img_1.txt": f"\n0,0,16777217{SQUARE[6:]}"}), LINE + "expected coord"),
    "counter-clockwise": (
        pred_of({"res_img_1.txt": "\n0,0,0,9,9,9,9,0"}),
        LINE + "expected corners",
    ),
    "no UTF-8": (pred_of({"res_img_1.txt": b"\xff\xfe1"}), "res_img_1.txt: not a text file"),
    "ground truth as predictions": (pred_of(GT_FILES), "gt_img_1.txt, line 1: expected x1,y1"),
    "YOLO as ground truth": (gt_of({"gt_img_1.txt": "0 0.5 0.5 0.1 0.1"}), "as YOLO has them"),
    "five numbers as ground truth": (
        gt_of({"gt_img_1.txt": "1,2,3,word"}),
        "gt.zip: gt_img_1.txt, line 1: ",
    ),
    "empty zip": (pred_of({}), "pred.zip: no .txt files"),
    "no text file": (gt_of({"about.pdf": ""}), "gt.zip: no .txt files"),
    "damaged zip": (damaged_zip, "s.zip: damaged or no zip (Bad CRC-32"),
    "no zip": (text_file("s.zip"), "s.zip: damaged or no zip (File is not a zip file)"),
    "missing": (lambda root: (root / "x.zip", GROUND_TRUTHS["zip"](root)), "x.zip: No such file"),
    "missing results": (
        lambda root: (root / "x.json", GROUND_TRUTHS["zip"](root)),
        "x.json: No such",
    ),
    "missing annotation": (
        lambda root: (write_zip(root / "s.zip", {"res_img_1.txt": ""}), root / "x.json"),
        "x.json: No such file",
    ),
    "other suffix": (text_file("res_img_1.txt"), "img_1.txt: expected a .json, a .zip or a f"),
    "no JSON": (pred_of("{"), "pred.json: not a JSON file"),
    "annotation as results": (pred_of(dict(data_list=[])), 'pred.json: no "images"'),
    "results as annotation": (gt_of(dict(images=[])), 'gt.json: no "data_list"'),
    "list": (pred_of([]), 'pred.json: no "images"'),
    "image is a list": (pred_of(dict(images=[[]])), "pred.json: images[0]: "),
    "no polygons": (pred_of(dict(images=[dict(img_path="img_1")])), "images[0]: no 'polygons'"),
    "no path": (pred_of(dict(images=[dict(polygons=[])])), "images[0]: no 'img_path'"),
    "odd": (results(polygons=[[1, 2, 3]], scores=[1]), "images[0]: cannot reshape"),
    "empty polygon": (results(polygons=[[]], scores=[1]), "images[0]: a polygon is empty"),
    "NaN": (results(polygons=[[1, 2, float("nan"), 4]], scores=[1]), "images[0]: a polygon"),
    "beyond float32": (results(polygons=[[1, 2, 1e300, 4]], scores=[1]), "images[0]: a polygon"),
    "text": (results(polygons=[["a", "b"]], scores=[1]), "images[0]: could not convert"),
    "scores missing": (results(polygons=[[1, 2]], scores=[]), "images[0]: 1 polygons, but scores"),
    "score NaN": (results(polygons=[[1, 2]], scores=[float("nan")]), "images[0]: a score is not"),
}


@pytest.mark.parametrize(("files", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line(tmp_path, capsys, files, message):
    status, lines, errors = run(capsys, *files(tmp_path))
    assert (status, lines, len(errors)) == (1, [], 1)
    assert errors[0].startswith("error: ")
    assert message in errors[0]


def test_predictions_of_unknown_images_are_not_dropped():
    with pytest.raises(ValueError, match="img_7"):
        evaluate_predictions({}, {"img_7": None})


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_ground_truth_is_read_as_prepare_reads_it(tmp_path, capsys, write):
    """Boxes of four numbers, curved polygons, other encodings: each found by its own outline."""
    ten_corners = "0,0,10,0,20,0,30,5,40,10,40,20,30,15,20,10,10,10,0,10"
    square = "0,0,10,0,10,10,0,10"
    files = {
        "gt_img_1.txt": f"0,0,10,10,a\n{FAR},###\n",
        "gt_img_2.txt": f"{ten_corners},curved\n",
        "gt_img_3.txt": '0 0 10 10 "spaces"\n',
        "gt_img_4.txt": f"{square},utf-16\n".encode("utf-16"),
        "gt_img_5.txt": f"{square},出口\n".encode("gb18030"),
    }
    outlines = [square, ten_corners, square, square, square]
    pred = write_results(
        tmp_path / "pred.json",
        {f"img_{i}.jpg": ([outline], [1.0]) for i, outline in enumerate(outlines, start=1)},
    )
    status, lines, errors = run(capsys, pred, write(tmp_path / "gt.zip", files))
    assert (status, errors) == (0, [])
    assert lines[0].endswith("5 images, 6 texts, 5 that count")
    assert "official: precision 1.0000 recall 1.0000 hmean 1.0000" in lines


def test_intervals_and_the_difference_from_another_file(tmp_path, capsys):
    stems = [f"img_{i}" for i in range(40)]
    gt = write_annotation(tmp_path / "gt.json", {f"{s}.jpg": [(SQUARE, False)] for s in stems})
    better, worse = (
        write_results(
            tmp_path / name,
            {f"{s}.jpg": ([SQUARE if i % every else FAR], [0.9]) for i, s in enumerate(stems)},
        )
        for name, every in (("better.json", 4), ("worse.json", 2))
    )
    arguments = ["--pred", str(better), "--gt", str(gt), "--bootstrap", "2000"]
    assert evaluate_tool.main([*arguments, "--against", str(worse)]) == 0
    lines = capsys.readouterr().out.splitlines()
    value = next(line for line in lines if line.startswith("official_hmean "))
    assert value.split()[1] == "0.7500," and "95 % interval 0.6" in value
    place = lines.index(f"against {worse}:")
    change = next(line for line in lines[place:] if line.startswith("official_hmean "))
    assert change.split()[1] == "+0.2500," and change.endswith("of the resamples")
    assert lines[-1].startswith("official: ")


def test_a_file_of_other_images_is_no_other_result(tmp_path, capsys):
    gt = write_annotation(tmp_path / "gt.json", {"img_1.jpg": [(SQUARE, False)]})
    pred = write_results(tmp_path / "pred.json", {"img_1.jpg": ([SQUARE], [0.9])})
    other = write_results(tmp_path / "other.json", {"img_2.jpg": ([SQUARE], [0.9])})
    arguments = ["--pred", str(pred), "--gt", str(gt), "--against", str(other)]
    assert evaluate_tool.main(arguments) == 1
    assert f"{other} holds img_2, which {gt} lacks" in capsys.readouterr().err


def test_another_result_goes_by_folders_too(tmp_path, capsys):
    images = {f"{folder}/1.jpg": [(SQUARE, False)] for folder in "ab"}
    gt = write_annotation(tmp_path / "gt.json", images)
    pred = write_results(tmp_path / "pred.json", {f"{f}/1.jpg": ([SQUARE], [0.9]) for f in "ab"})
    other = write_results(tmp_path / "other.json", {"a/1.jpg": ([SQUARE], [0.9])})
    arguments = ["--pred", str(pred), "--gt", str(gt), "--against", str(other)]
    assert evaluate_tool.main(arguments) == 0
    assert "official_recall      +0.5000," in capsys.readouterr().out


# --- Other protocols ---


def evaluate_lines(capsys, *arguments):
    assert evaluate_tool.main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_protocols_side_by_side(tmp_path, capsys):
    # A text in two halves: 0.8 of it and 1.6 of two predictions by ICDAR2013, nothing by IoU; of
    # its four characters all but the price of one split by CLEval.
    gt = tmp_path / "gt.json"
    write_annotation(gt, {"img_1.jpg": [("0,0,41,0,41,9,0,9", False)]})
    content = json.loads(gt.read_text())
    content["data_list"][0]["instances"][0]["text"] = "word"
    gt.write_text(json.dumps(content))
    halves = ["0,0,20,0,20,9,0,9", "21,0,41,0,41,9,21,9"]
    pred = write_results(tmp_path / "pred.json", {"img_1.jpg": (halves, [0.9, 0.8])})
    arguments = "--pred", pred, "--gt", gt, "--protocol"
    lines = evaluate_lines(capsys, *arguments, "icdar2013", "cleval", "icdar2015")
    assert lines == [
        f"{gt}: 1 images, 1 texts, 1 that count",
        "icdar2013: precision 0.8000 recall 0.8000 hmean 0.8000",
        "cleval: precision 1.0000 recall 0.7500 hmean 0.8571",
        "icdar2015: precision 0.0000 recall 0.0000 hmean 0.0000",
    ]
    lines = evaluate_lines(capsys, *arguments, "all")
    assert [line.split(":")[0] for line in lines[-len(NAMES) :]] == list(NAMES)


def test_intervals_and_differences_of_a_protocol(tmp_path, capsys):
    stems = [f"img_{i}.jpg" for i in range(40)]
    gt = write_annotation(tmp_path / "gt.json", {stem: [(SQUARE, False)] for stem in stems})
    better, worse = (
        write_results(
            tmp_path / name,
            {s: ([SQUARE if i % every else FAR], [0.9]) for i, s in enumerate(stems)},
        )
        for name, every in (("better.json", 4), ("worse.json", 2))
    )
    arguments = "--pred", better, "--gt", gt, "--protocol", "ctw1500", "--bootstrap", 2000
    lines = evaluate_lines(capsys, *arguments, "--against", worse)
    place = lines.index(f"ctw1500 against {worse}:")
    value, change = (next(x for x in part if "hmean" in x) for part in (lines, lines[place:]))
    assert value.startswith("hmean                0.7500, 95 % interval 0.6")
    assert change.startswith("hmean                +0.2500, 95 % interval +0.1")


def test_results_of_another_dataset_with_the_same_names_are_noted(tmp_path, capsys):
    gt = write_annotation(tmp_path / "gt.json", {"img_1.jpg": [(SQUARE, False)]})
    pred = write_results(tmp_path / "pred.json", {"img_1.jpg": ([FAR], [0.9])})
    note = f"{pred}: no prediction finds a text; are these results of another dataset?"
    for options in ([], ["--protocol", "icdar2013"]):
        assert note in evaluate_lines(capsys, "--pred", pred, "--gt", gt, *options)
    ignored = write_annotation(tmp_path / "ignored.json", {"img_1.jpg": [(SQUARE, True)]})
    assert "another dataset" not in str(evaluate_lines(capsys, "--pred", pred, "--gt", ignored))
    pred = write_results(tmp_path / "found.json", {"img_1.jpg": ([SQUARE], [0.9])})
    assert "another dataset" not in str(evaluate_lines(capsys, "--pred", pred, "--gt", gt))


@pytest.mark.parametrize("options", [[], ["--protocol", "ctw1500"]])
def test_predictions_without_area_are_noted(tmp_path, capsys, options):
    gt = write_annotation(tmp_path / "gt.json", {"img_1.jpg": [(SQUARE, False)]})
    pred = write_results(tmp_path / "pred.json", {"img_1.jpg": ([SQUARE, "0,0,9,9"], [0.9, 0.8])})
    lines = evaluate_lines(capsys, "--pred", pred, "--gt", gt, *options)
    assert f"{pred}: 1 of 2 predictions have no area, such as two points" in lines


def test_an_unknown_protocol_is_a_mistake_of_the_command_line(capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate_tool.main(["--pred", "a.json", "--gt", "b.json", "--protocol", "icdar2003"])
    assert "invalid choice: 'icdar2003'" in capsys.readouterr().err
