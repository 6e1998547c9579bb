"""Labels of MMOCR, PaddleOCR and COCO, written here as those tools do, turned into annotations."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from dbnet.cli.prepare import main

TRIANGLE = [1, 2, 11.5, 3, 12, 0.1]
SQUARE = [0, 0, 4, 0, 4, 4, 0, 4]
PAIRS = [[0, 0], [4, 0], [4, 4], [0, 4]]
LINE_JSON = {"file_name": "1.jpg", "height": 30, "width": 40}


def save_image(path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(path, **options)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with the image 1.jpg, 40 x 30 pixels."""
    save_image(tmp_path / "raw" / "1.jpg")
    return tmp_path / "raw"


def run(name: str, raw: Path, *options: str) -> int:
    return main([name, "--raw", str(raw), "--out", str(raw.parent / "out"), *options])


def read(raw: Path, part: str = "train") -> list[dict]:
    path = raw.parent / "out" / f"textdet_{part}.json"
    return json.loads(path.read_text(encoding="utf-8"))["data_list"]


def words(raw: Path, part: str = "train") -> list[tuple[list[float], str, bool]]:
    instances = [item for entry in read(raw, part) for item in entry["instances"]]
    return [(item["polygon"], item["text"], item["ignore"]) for item in instances]


def fail(name: str, raw: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a failed run printed; nothing must have been written."""
    assert run(name, raw) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not (raw.parent / "out").exists()
    return error.removeprefix("error: ")


# ---------------------------------------------------------------- MMOCR 1.x


def mmocr(*instances: dict, **image: object) -> dict:
    entry = {"img_path": "1.jpg", "height": 30, "width": 40, "instances": instances, **image}
    metainfo = {"dataset_type": "TextDetDataset", "task_name": "textdet"}
    return {"metainfo": metainfo, "data_list": [entry]}


def save(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_mmocr_keeps_polygons_exactly(raw: Path) -> None:
    polygons = [[0.1, 1 / 3, 1e-7, 39.999999, 12, 7], TRIANGLE, SQUARE]
    items = [{"polygon": p, "bbox": [9, 9, 9, 9], "ignore": i % 2 > 0, "text": f"w{i}"}
             for i, p in enumerate(polygons)]  # fmt: skip
    save(raw / "textdet_train.json", mmocr(*items))
    assert run("mmocr", raw) == 0
    assert words(raw) == [(polygons[0], "w0", False), (TRIANGLE, "w1", True), (SQUARE, "w2", False)]
    (entry,) = read(raw)
    assert (entry["img_path"], entry["height"], entry["width"]) == ("../raw/1.jpg", 30, 40)
    assert entry["instances"][2]["bbox"] == [0, 0, 4, 4]  # computed again


def test_mmocr_of_its_own_output_is_the_same(raw: Path) -> None:
    save(raw / "textdet_train.json", mmocr({"polygon": TRIANGLE, "ignore": True}))
    assert run("mmocr", raw) == 0
    first = read(raw)
    again = raw.parent / "again" / "deeper"
    assert main(["mmocr", "--raw", str(raw.parent / "out"), "--out", str(again)]) == 0
    document = json.loads((again / "textdet_train.json").read_text())
    assert document["data_list"] == [{**first[0], "img_path": "../../raw/1.jpg"}]


def test_mmocr_box_alone_and_defaults(raw: Path) -> None:
    save(raw / "x.json", mmocr({"bbox": [1, 2, 8, 9]}, height=None))
    assert run("mmocr", raw) == 0
    assert words(raw) == [([1, 2, 8, 2, 8, 9, 1, 9], "", False)]


def test_mmocr_layout_of_its_preparer(raw: Path) -> None:
    for part in ("train", "test"):
        save_image(raw / "textdet_imgs" / part / "img_1.jpg")
        save(raw / f"textdet_{part}.json", mmocr(img_path=f"textdet_imgs/{part}/img_1.jpg"))
        save(raw / f"textrecog_{part}.json", {"metainfo": {}, "data_list": []})
    assert run("mmocr", raw) == 0
    for part in ("train", "test"):
        assert read(raw, part)[0]["img_path"] == f"../raw/textdet_imgs/{part}/img_1.jpg"


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], ": expected an object with 'data_list', found []"),
        ({"data_list": {}}, ": data_list: expected a list, found {}"),
        ({"images": []}, ": no 'data_list'"),
        ({"data_list": [{"instances": []}]}, ": data_list[0]: no 'img_path'"),
        (mmocr(img_path=7), ": data_list[0].img_path: expected a text in quotes, found 7"),
        (mmocr(img_path="2.jpg"), ": data_list[0].img_path: no image 2.jpg"),
        (mmocr(instances=None), ": data_list[0]: no 'instances'"),
        (mmocr({"text": "a"}), ": data_list[0].instances[0]: no 'bbox'"),
        (mmocr({"bbox": [3, 0, 1, 2]}), ": data_list[0].instances[0].bbox: [3.0, 0.0"),
        (mmocr({"polygon": SQUARE[:7]}), ": data_list[0].instances[0].polygon: 7 numbers"),
        (mmocr({"polygon": SQUARE, "ignore": "no"}), ".instances[0].ignore: expected true or"),
        (mmocr(width=30, height=40), ": data_list[0].height: 40, but "),
        (mmocr(width="40"), ": data_list[0].width: 40, but "),
    ],
)
def test_mmocr_mistakes(
    raw: Path, document: object, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(raw / "textdet_train.json", document)
    error = fail("mmocr", raw, capsys)
    assert error.startswith(str(raw / "textdet_train.json"))
    assert place in error


def test_mmocr_does_not_overwrite_its_labels(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "textdet_train.json", mmocr())
    before = (raw / "textdet_train.json").read_bytes()
    assert main(["mmocr", "--raw", str(raw), "--out", str(raw)]) == 1
    assert "would be overwritten, choose another --out" in capsys.readouterr().err
    assert (raw / "textdet_train.json").read_bytes() == before


def test_copy_keeps_images_below_out(raw: Path) -> None:
    save(raw / "train.json", mmocr())
    assert run("mmocr", raw, "--copy") == 0
    assert read(raw)[0]["img_path"] == "raw/1.jpg"
    assert (raw.parent / "out" / "raw" / "1.jpg").is_file()


def test_no_json(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (b"{", b""):
        (raw / "textdet_train.json").write_bytes(content)
        assert "textdet_train.json: no JSON (" in fail("mmocr", raw, capsys)
    (raw / "textdet_train.json").write_bytes(b"\xff\xfe\xff")  # half a character of UTF-16
    assert "save the file as UTF-8" in fail("mmocr", raw, capsys)


def test_orientation_that_swaps_the_sides(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees: shown as 30 wide, 40 high
    save_image(raw / "1.jpg", exif=exif)
    save(raw / "train.json", mmocr(height=40, width=30))
    error = fail("mmocr", raw, capsys)
    assert "as its EXIF orientation shows it" in error
    assert "-auto-orient" in error
    save(raw / "train.json", mmocr(height=30, width=80))
    assert "or it was resized" in fail("mmocr", raw, capsys)
    save(raw / "train.json", mmocr())  # labelled as stored
    assert run("mmocr", raw) == 0


# ---------------------------------------------------------------- COCO and MMOCR 0.x


def coco(*annotations: dict, **keys: object) -> dict:
    return {
        "images": [{"id": 7, "file_name": "1.jpg", "height": 30, "width": 40}],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 1, "iscrowd": 0, **annotation}
            for i, annotation in enumerate(annotations)
        ],
        "categories": [{"id": 1, "name": "text"}, {"id": 2, "name": "###"}],
        **keys,
    }


@pytest.mark.parametrize("name", ["coco", "mmocr0"])
def test_coco(raw: Path, name: str) -> None:
    document = coco(
        {"segmentation": [TRIANGLE], "bbox": [9, 9, 9, 9]},
        {"segmentation": [SQUARE, TRIANGLE], "iscrowd": 1},
        {"bbox": [1, 2, 7, 8], "text": "Ave"},
        {"segmentation": [[]], "bbox": [1, 2, 0, 8], "utf8_string": "###"},
        {"segmentation": [SQUARE], "category_id": 2},
        {"segmentation": [SQUARE], "category_id": 2, "text": "Ave"},
        {"segmentation": [SQUARE], "ignore": 1},
    )
    save(raw / "instances_training.json", document)
    assert run(name, raw) == 0
    assert words(raw) == [
        (TRIANGLE, "text", False),
        (SQUARE, "text", True),
        (TRIANGLE, "text", True),
        ([1, 2, 8, 2, 8, 10, 1, 10], "Ave", False),
        ([1, 2, 1, 2, 1, 10, 1, 10], "###", True),
        (SQUARE, "###", True),
        (SQUARE, "Ave", True),
        (SQUARE, "text", True),
    ]


@pytest.mark.parametrize(
    ("attributes", "polygon"),
    [
        # 30 degrees about (20, 10): the corner (-8, -4) goes to (-8 c + 4 s, -8 s - 4 c).
        (
            {"rotation": 30.0, "occluded": False},
            [15.0718, 2.5359, 28.9282, 10.5359, 24.9282, 17.4641, 11.0718, 9.4641],
        ),
        ({"rotation": 90}, [24, 2, 24, 18, 16, 18, 16, 2]),
        ({"rotation": 0.0, "angle": 0}, [12, 6, 28, 6, 28, 14, 12, 14]),
        ({"orientation": "vertical"}, [12, 6, 28, 6, 28, 14, 12, 14]),
        ([], [12, 6, 28, 6, 28, 14, 12, 14]),
    ],
)
def test_coco_box_that_cvat_turned(raw: Path, attributes: object, polygon: list[float]) -> None:
    box = {"bbox": [12, 6, 16, 8], "segmentation": [], "attributes": attributes}
    save(raw / "instances.json", coco(box, {**box, "segmentation": [SQUARE]}))
    assert run("coco", raw) == 0
    assert [found for found, _, _ in words(raw)] == [polygon, SQUARE]


def test_coco_image_without_annotations(raw: Path) -> None:
    save(raw / "annotations" / "instances_val.json", coco(categories=None))
    assert run("coco", raw) == 0
    assert read(raw, "val")[0]["img_path"] == "../raw/1.jpg"
    assert words(raw, "val") == []


@pytest.mark.parametrize("side", [0, -1, None])
def test_coco_size_that_says_nothing(raw: Path, side: int | None) -> None:
    image = {"id": 1, "file_name": "1.jpg", "height": side, "width": side}
    save(raw / "a.json", coco(images=[image]))
    assert run("coco", raw) == 0


# Columns 5 to 24 of rows 3 to 12: 5 x 30 + 3 pixels before, then 20 runs of 10 and 20 between.
BOX_RUNS = [153, *[10, 20] * 19, 10, 467]
# What pycocotools 2.0.11 writes for that box, and for the slanted quad (5, 3) (30, 8) (28, 18)
# (3, 13) with a hole of 4 x 3 pixels and two specks, of 1 pixel and of 4 x 2.
BOX_TEXT = "i4:d00000000000000000000000000000000000000o="
QUAD_TEXT = "g22<11OJ66JG99GG:>01O000001OHA1`0N@2`0N@2`0N@2`07O01O000001O01O000001O01O0M3K^4NhN"


@pytest.mark.parametrize(
    ("counts", "corners"),
    [
        (BOX_RUNS, {(5, 3), (24, 3), (24, 12), (5, 12)}),
        (BOX_TEXT, {(5, 3), (24, 3), (24, 12), (5, 12)}),
        (QUAD_TEXT, {(5, 3), (30, 8), (28, 18), (3, 13)}),
    ],
)
def test_coco_mask_is_its_largest_outer_contour(
    raw: Path, counts: list[int] | str, corners: set[tuple[int, int]]
) -> None:
    mask = {"counts": counts, "size": [30, 40]}
    save(raw / "a.json", coco({"segmentation": mask}, {"segmentation": mask, "iscrowd": 1}))
    assert run("coco", raw) == 0
    found = words(raw)
    assert [ignored for _, _, ignored in found] == [False, True]
    for polygon, _, _ in found:
        assert len(polygon) == 8
        assert set(zip(polygon[::2], polygon[1::2])) == corners


def rle(counts: object, height: int = 30, width: int = 40) -> dict:
    return coco({"segmentation": {"counts": counts, "size": [height, width]}})


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (coco({}), "annotations[0]: no 'bbox'"),
        (rle([1200]), "annotations[0].segmentation: a mask without area"),
        (rle([5, 20, 1175]), "annotations[0].segmentation: a mask without area"),  # a line
        (rle([272, 2, 4]), "annotations[0].segmentation.counts: its runs do not fill 40 x 30"),
        (rle([1300, -100]), "annotations[0].segmentation.counts: its runs do not fill"),
        (rle([1, "2"]), "annotations[0].segmentation.counts[1]: expected a number of pixels"),
        (rle("i4:"), "annotations[0].segmentation.counts: its runs do not fill"),
        (rle("i4:o"), "annotations[0].segmentation.counts: the text of run lengths is cut"),
        (rle("o" * 10**6), "annotations[0].segmentation.counts: no run lengths"),
        (rle("\u00e9"), "annotations[0].segmentation.counts: no run lengths"),
        (rle([1200], 40, 30), "annotations[0].segmentation.size: [40, 30], but the image's is"),
        (
            {**rle([10**12], 10**6, 10**6), "images": [{"id": 7, "file_name": "1.jpg"}]},
            "annotations[0].segmentation.size: a mask of 1000000 x 1000000 pixels",
        ),
        (coco({"bbox": [1, 2, -1, 4]}), "annotations[0].bbox: [1, 2, -1, 4] has a negative"),
        (coco({"segmentation": SQUARE}), "annotations[0].segmentation[0]: expected a list"),
        (coco({"segmentation": [SQUARE, [1, 2]]}), "annotations[0].segmentation[1]: 1 points"),
        (coco({"bbox": [1, 2, 3, 4], "image_id": 8}), "annotations[0].image_id: no image has"),
        (coco({"bbox": [1, 2, 3, 4], "iscrowd": "1"}), "annotations[0].iscrowd: expected true"),
        (
            coco({"bbox": [1, 2, 3, 4], "attributes": {"rotation": "30"}}),
            "annotations[0].attributes.rotation: expected a coordinate",
        ),
        (coco({"bbox": [1, 2, 3, 4], "rotation": 9}), "annotations[0].rotation: nobody knows"),
        (
            coco({"bbox": [1, 2, 3, 4], "attributes": {"angle": 0.1}}),
            "annotations[0].attributes.angle: nobody knows",
        ),
        (coco({"bbox": [1, 2, 3, 4], "rbox": [1]}), "annotations[0].rbox: COCO does not define"),
        (coco(images=[{"id": 1}]), "images[0]: no 'file_name'"),
        (coco(images=[{"file_name": "1.jpg"}]), "images[0]: no 'id'"),
        (coco(images=[{"id": [1]}]), "images[0].id: expected a number, found [1]"),
        (coco(images=2 * [{"id": 1}]), "images[1].id: 1 is the id of images[0] too"),
        (
            coco(images=[{"id": i, "file_name": "1.jpg"} for i in range(2)]),
            "images[1].file_name:",
        ),
        (coco(images=[{"id": 1, "file_name": "1.jpg", "width": 80}]), "images[0].width: 80, but"),
    ],
)
def test_coco_mistakes(
    raw: Path, document: dict, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(raw / "instances.json", document)
    assert fail("coco", raw, capsys).startswith(f"{raw / 'instances.json'}: {place}")


def test_mmocr0_lines(raw: Path) -> None:
    save_image(raw / "imgs" / "test" / "2.jpg")
    annotations = [
        {"iscrowd": 0, "category_id": 1, "bbox": [1, 2, 7, 8], "segmentation": [TRIANGLE]},
        {"iscrowd": 1, "category_id": 1, "bbox": [1, 2, 7, 8]},
    ]
    lines = [
        {**LINE_JSON, "annotations": annotations},
        {**LINE_JSON, "file_name": "test/2.jpg", "annotations": []},
    ]
    (raw / "instances_training.txt").write_text("\n\n".join(map(json.dumps, lines)))
    assert run("mmocr0", raw) == 0
    assert words(raw) == [(TRIANGLE, "", False), ([1, 2, 8, 2, 8, 10, 1, 10], "", True)]
    assert [entry["img_path"] for entry in read(raw)] == [
        "../raw/1.jpg",
        "../raw/imgs/test/2.jpg",
    ]


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("{", "no JSON"),
        (json.dumps(LINE_JSON), "no 'annotations'"),
        (json.dumps({**LINE_JSON, "annotations": [{}]}), "annotations[0]: no 'bbox'"),
        (json.dumps({**LINE_JSON, "height": 31, "annotations": []}), "height: 31, but"),
    ],
)
def test_mmocr0_mistakes_name_the_line(
    raw: Path, line: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(raw / "2.jpg")
    good = json.dumps({**LINE_JSON, "file_name": "2.jpg", "annotations": []})
    (raw / "instances_test.txt").write_text(f"{good}\n\n{line}\n")
    expected = f"{raw / 'instances_test.txt'}, line 3: {place}"
    assert fail("mmocr0", raw, capsys).startswith(expected)


# ---------------------------------------------------------------- PaddleOCR


def paddle(name: str, *labels: dict) -> str:
    return f"{name}\t{json.dumps(labels, ensure_ascii=False)}\n"


def label(**keys: object) -> dict:
    return {"transcription": "Grün", "points": PAIRS, "difficult": False, **keys}


def test_ppocrlabel(raw: Path) -> None:
    save_image(raw / "2.PNG")
    save_image(raw / "crop_img" / "1_crop_0.jpg")
    for name in ("fileState.txt", "Cache.cach", "rec_gt.txt"):
        (raw / name).write_text("/data/raw/1.jpg\t1\n")
    labels = [
        label(),
        label(points=[[1, 2], [11.5, 3], [12, 0.1]]),
        label(transcription="###"),
        label(transcription="*"),
        label(transcription="****"),
        label(difficult=True),
        {"transcription": "", "points": PAIRS},
    ]
    content = paddle("mine/1.jpg", *labels) + "\n" + paddle("mine/2.PNG")
    (raw / "Label.txt").write_text(content, encoding="utf-8")
    assert run("paddleocr", raw) == 0
    texts = ["Grün", "Grün", "###", "*", "****", "Grün", ""]
    ignored = [False, False, True, True, False, True, False]
    polygons = [TRIANGLE if i == 1 else SQUARE for i in range(7)]
    assert words(raw) == list(zip(polygons, texts, ignored))
    assert [entry["img_path"] for entry in read(raw)] == ["../raw/1.jpg", "../raw/2.PNG"]


@pytest.mark.parametrize("points", [[[9, 7], [2, 3]], [[2, 7], [9, 3]], [[2, 3], [9, 7]]])
def test_paddleocr_rectangle_of_two_corners(raw: Path, points: list) -> None:
    (raw / "Label.txt").write_text(paddle("1.jpg", label(points=points)))
    assert run("paddleocr", raw) == 0
    assert words(raw) == [([2, 3, 9, 3, 9, 7, 2, 7], "Grün", False)]


@pytest.mark.parametrize("name", ["{}_label.txt", "{}.txt", "{}/Label.txt"])
def test_paddleocr_parts(raw: Path, name: str) -> None:
    for part in ("train", "test"):
        save_image(raw / part / f"{part}.jpg")
        (raw / name.format(part)).write_text(paddle(f"{part}/{part}.jpg", label()))
    assert run("paddleocr", raw) == 0
    for part in ("train", "test"):
        assert read(raw, part)[0]["img_path"] == f"../raw/{part}/{part}.jpg"


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('1.jpg [{"points": []}]\n', ": no tab; expected the image's path, a tab"),
        ("1.jpg\t[{]\n", ": no JSON ("),
        ("1.jpg\t{}\n", ": expected a list, found {}"),
        (paddle("1.jpg", {"points": PAIRS}), ": [0]: no 'transcription'"),
        (paddle("1.jpg", label(), label(points=PAIRS[:1])), ": [1].points: 1 points"),
        (paddle("1.jpg", label(points=[[1, 2], [3]])), ": [0].points: point 1 has 1 numbers"),
        (paddle("1.jpg", label(points=SQUARE)), ": [0].points[0]: expected a list, found 0"),
        (paddle("1.jpg", label(transcription=1)), ": [0].transcription: expected a text"),
        (paddle("1.jpg", label(difficult="no")), ": [0].difficult: expected true or false"),
        (paddle("a/3.jpg"), ": path: no image a/3.jpg in"),
        (paddle("x/2.jpg"), ": path: .*2.jpg has labels already, in .*Label.txt, line 1: path"),
    ],
)
def test_paddleocr_mistakes_name_the_line(
    raw: Path, line: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(raw / "2.jpg")
    (raw / "Label.txt").write_text(paddle("2.jpg", label()) + line, encoding="utf-8")
    error = fail("paddleocr", raw, capsys)
    start = f"{raw / 'Label.txt'}, line 2"
    assert error.startswith(start)
    pattern = re.escape(place).replace(r"\.\*", ".*")
    assert re.match(pattern, error.removeprefix(start))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "gb18030"])
def test_paddleocr_of_another_encoding(
    raw: Path, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(raw / "汉字.jpg")
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    content = mark + paddle("汉字.jpg", label(transcription="出口")) + paddle("1.jpg")
    (raw / "Label.txt").write_bytes(content.encode(encoding))
    assert run("paddleocr", raw) == 0
    assert words(raw) == [(SQUARE, "出口", False)]
    assert read(raw)[0]["img_path"] == "../raw/汉字.jpg"
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == (encoding == "gb18030")
    assert all("read as GB18030" in line for line in warnings)


def test_paddleocr_in_latin_1(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "Label.txt").write_bytes("Grün.jpg\t[]".encode("latin-1"))
    assert "Label.txt, line 1: path: no image" in fail("paddleocr", raw, capsys)
    (raw / "Label.txt").write_bytes("1.jpg\t[] \xff".encode("latin-1"))
    assert "save the file as UTF-8" in fail("paddleocr", raw, capsys)


def test_labels_without_an_image_replace_nothing(
    raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "Label.txt").write_text("")
    assert "no image of the part 'train' is in the labels" in fail("paddleocr", raw, capsys)


def test_lists_in_lists_without_end(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "Label.txt").write_text("1.jpg\t" + "[" * 100_000)
    assert "Label.txt, line 1: no JSON (" in fail("paddleocr", raw, capsys)


def test_half_a_character_is_kept(raw: Path) -> None:
    (raw / "Label.txt").write_text(
        paddle("1.jpg", label(transcription="A")).replace("A", "\\ud83d")
    )
    assert run("paddleocr", raw) == 0
    assert words(raw) == [(SQUARE, "\ud83d", False)]


def test_image_too_large_to_decode(
    raw: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses twice as many
    (raw / "Label.txt").write_text(paddle("1.jpg", label()))
    assert f"{raw / '1.jpg'}: more than 178956970 pixels" in fail("paddleocr", raw, capsys)
