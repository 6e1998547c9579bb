"""Labels of tools, pages and services, written here as their descriptions say, read as texts."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dbnet.cli.prepare import main
from dbnet.errors import UserError
from dbnet.labels import TOOLS, recognise
from dbnet.labels.entries import Request
from dbnet.labels.faults import gathering
from dbnet.labels.label_studio import decode_brush

WIDTH, HEIGHT = 400, 200
BOX = [40, 20, 120, 20, 120, 60, 40, 60]
TRIANGLE = [10, 10, 50, 10, 30, 40]
STANDING = [60, 0, 100, 0, 100, 80, 60, 80]  # BOX, turned by 90 degrees about its centre (80, 40)


def pairs(numbers: list[float]) -> list[list[float]]:
    return np.reshape(numbers, (-1, 2)).tolist()


def spread(numbers: list[float], x: float, y: float) -> list[list[float]]:
    return (np.reshape(numbers, (-1, 2)) / (x, y)).tolist()


def ls_result(kind: str, value: dict, key: str = "a", **facts: object) -> dict:
    size = dict(original_width=WIDTH, original_height=HEIGHT, image_rotation=0)
    return dict(id=key, from_name="x", to_name="image", type=kind, value=value, **size, **facts)


LS_BOX = dict(x=10, y=10, width=20, height=20, rotation=0)
LS_TURNED = dict(x=25, y=0, width=20, height=20, rotation=90)  # about the top left corner (100, 0)
LS_TASKS = [
    {
        "id": 1,
        "data": {"ocr": "/data/upload/1/0a1b2c3d-1.jpg"},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {
                "result": [
                    ls_result("rectangle", LS_BOX),
                    ls_result("labels", {**LS_BOX, "labels": ["Text"]}),
                    ls_result("textarea", {**LS_BOX, "text": ["Exit"]}),
                    ls_result("polygonlabels", dict(points=spread(TRIANGLE, 4, 2),
                                                    polygonlabels=["###"]), "b"),
                    ls_result("rectanglelabels", dict(LS_TURNED, rectanglelabels=["Text"]), "c"),
                    dict(id="d", from_name="q", to_name="image", type="choices",
                         value={"choices": ["sharp"]}),
                ]
            },
        ],
    },
    {"id": 2, "data": {"ocr": "2.jpg"}, "annotations": []},
]  # fmt: skip
LS_MIN = [
    {
        "id": 1, "ocr": "/data/local-files/?d=raw/1.jpg", "annotator": 1, "lead_time": 3.2,
        "bbox": [dict(LS_BOX, labels=["Text"], original_width=WIDTH, original_height=HEIGHT)],
    }
]  # fmt: skip
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><task><name>t</name></task></meta>
  <image id="0" name="1.jpg" width="400" height="200">
    <box label="text" occluded="0" xtl="40.00" ytl="20.00" xbr="120.00" ybr="60.00" rotation="90.0">
      <attribute name="text">Exit &amp; &lt;go&gt;</attribute></box>
    <polygon label="sign" points="10.00,10.00;50.00,10.00;30.00,40.00" z_order="0">
      <attribute name="ignore">true</attribute></polygon>
    <mask label="text" rle="0, 12" left="100" top="50" width="4" height="3"></mask>
    <tag label="sharp"/>
  </image>
  <image id="1" name="2.jpg" width="400" height="200"></image>
</annotations>"""
VIA_BOX = dict(name="rect", x=40, y=20, width=80, height=40)
VIA_TRIANGLE = dict(name="polygon", all_points_x=[10, 50, 30], all_points_y=[10, 10, 40])
VIA_REGIONS = [
    dict(shape_attributes=VIA_BOX, region_attributes={"text": "Exit", "type": "word"}),
    dict(shape_attributes=VIA_TRIANGLE, region_attributes={"text": "###"}),
]
VIA = {"1.jpg99": dict(filename="1.jpg", size=99, file_attributes={}, regions=VIA_REGIONS)}


def via_row(name: str, *parts: dict) -> str:
    cells = [name, "99", "{}", "1", "0", *map(json.dumps, parts)]
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    return ",".join(quoted) + "\n"


VIA_CSV = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
    "region_attributes\n"
    + "".join(via_row("1.jpg", r["shape_attributes"], r["region_attributes"]) for r in VIA_REGIONS)
    + via_row("2.jpg", {}, {})
)
VOC = """<annotation><folder>raw</folder><filename>other.jpg</filename>
<size><width>400</width><height>200</height><depth>3</depth></size>
<object><name>text</name><difficult>0</difficult><text>Exit</text><bndbox><xmin>40</xmin>
  <ymin>20</ymin><xmax>120</xmax><ymax>60</ymax></bndbox></object>
<object><type>robndbox</type><name>text</name><difficult>1</difficult><robndbox><cx>80</cx>
  <cy>40</cy><w>80</w><h>40</h><angle>1.5707963268</angle></robndbox></object>
<object><name>sign</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>50</xmax><ymax>40</ymax></bndbox>
  <polygon><x1>10</x1><y1>10</y1><x2>50</x2><y2>10</y2><x3>30</x3><y3>40</y3></polygon></object>
</annotation>"""
YOLO = "0 0.2 0.2 0.2 0.2\n1 0.025 0.05 0.125 0.05 0.075 0.2\n0 .1 .1 .3 .1 .3 .3 .1 .3\n"
SUPERVISELY = {
    "description": "", "tags": [], "size": {"height": HEIGHT, "width": WIDTH},
    "objects": [
        dict(classTitle="text", geometryType="rectangle", tags=[dict(name="text", value="Exit")],
             points=dict(exterior=[[120, 60], [40, 20]], interior=[])),
        dict(classTitle="text", geometryType="polygon", tags=[dict(name="ignore", value=None)],
             points=dict(exterior=pairs(TRIANGLE), interior=[])),
    ],
}  # fmt: skip
PAGE = """<?xml version="1.0"?><pc:PcGts xmlns:pc="http://schema.primaresearch.org/PAGE/gts">
<pc:Page imageFilename="1.jpg" imageWidth="400" imageHeight="200"><pc:TextRegion id="r">
<pc:Coords points="0,0 399,0 399,199"/>
<pc:TextLine id="l"><pc:Coords points="40,20 120,20 120,60 40,60"/>
  <pc:Word id="w"><pc:Coords points="10,10 50,10 30,40"/><pc:TextEquiv><pc:Unicode>Exit</pc:Unicode>
  </pc:TextEquiv></pc:Word>
  <pc:TextEquiv><pc:Unicode>Exit here</pc:Unicode></pc:TextEquiv></pc:TextLine>
</pc:TextRegion></pc:Page></pc:PcGts>"""
ALTO = """<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Description>
<MeasurementUnit>pixel</MeasurementUnit><sourceImageInformation><fileName>1.jpg</fileName>
</sourceImageInformation></Description><Layout><Page ID="p" WIDTH="400" HEIGHT="200"><PrintSpace>
<TextBlock ID="b"><TextLine HPOS="0" VPOS="0" WIDTH="9" HEIGHT="9">
<String CONTENT="Exit" HPOS="40" VPOS="20" WIDTH="80" HEIGHT="40"/><SP WIDTH="4"/>
<String CONTENT="here" HPOS="0" VPOS="0" WIDTH="1" HEIGHT="1">
<Shape><Polygon POINTS="10 10 50 10 30 40"/></Shape></String></TextLine></TextBlock>
</PrintSpace></Page></Layout></alto>"""
HOCR = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/x.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title></title></head><body>
<div class='ocr_page' id='page_1' title='image "/scans/1.jpg"; bbox 0 0 400 200; ppageno 0'>
<p class='ocr_par'><span class='ocr_line' title="bbox 0 0 400 60; baseline 0 -5">
<span class='ocrx_word' title='bbox 40 20 120 60; x_wconf 93'><strong>Exit&nbsp;</strong></span>
<span class='ocrx_word' title='bbox 0 0 1 1; poly 10 10 50 10 30 40'>here</span>
</span></p></div></body></html>"""


def textract(numbers: list[float], kind: str, text: str) -> dict:
    polygon = [dict(X=x, Y=y) for x, y in spread(numbers, WIDTH, HEIGHT)]
    return dict(BlockType=kind, Text=text, Page=1, Geometry=dict(BoundingBox={}, Polygon=polygon))


TEXTRACT = {
    "DocumentMetadata": {"Pages": 1},
    "Blocks": [
        dict(BlockType="PAGE", Geometry={}),
        textract(TRIANGLE, "LINE", "Exit"),
        textract(BOX, "WORD", "Exit"),
    ],
}


def vertices(numbers: list[float]) -> list[dict]:
    return [{k: v for k, v in zip("xy", pair) if v} for pair in pairs(numbers)]


GOOGLE_WORDS = [
    dict(boundingBox=dict(vertices=vertices(BOX)), symbols=[dict(text=c) for c in "Exit"]),
    dict(boundingBox=dict(vertices=vertices(STANDING)), symbols=[dict(text="x")]),
]
GOOGLE_PAGE = dict(width=WIDTH, height=HEIGHT, blocks=[dict(paragraphs=[dict(words=GOOGLE_WORDS)])])
GOOGLE = {"responses": [{"textAnnotations": [], "fullTextAnnotation": {"pages": [GOOGLE_PAGE]}}]}
AZURE_3 = {"analyzeResult": {"readResults": [dict(
    page=1, width=WIDTH, height=HEIGHT, unit="pixel", lines=[dict(
        boundingBox=TRIANGLE + [10, 40], text="Exit",
        words=[dict(boundingBox=BOX, text="Exit", confidence=0.9)])])]}}  # fmt: skip
AZURE_4 = {"metadata": dict(width=WIDTH, height=HEIGHT), "readResult": {"blocks": [{"lines": [dict(
    text="Exit", boundingPolygon=vertices(STANDING),
    words=[dict(text="Exit", boundingPolygon=vertices(BOX))])]}]}}  # fmt: skip
DOCUMENT = {
    "analyzeResult": {
        "content": "Exit",
        "pages": [
            dict(
                pageNumber=1,
                width=WIDTH,
                height=HEIGHT,
                unit="pixel",
                words=[dict(content="Exit", polygon=BOX)],
                lines=[dict(content="Exit", polygon=BOX)],
            )
        ],
    }
}

EXIT = (BOX, "Exit", False)
# Format, label file, its content, the texts.
SAMPLES = [
    ("labelstudio", "project-1.json", LS_TASKS,
     [EXIT, (TRIANGLE, "", True), ([100, 0, 100, 80, 60, 80, 60, 0], "", False)]),
    ("labelstudio", "min.json", LS_MIN, [(BOX, "", False)]),
    ("cvat", "annotations.xml", CVAT,
     [([100, 0, 100, 80, 60, 80, 60, 0], "Exit & <go>", False), (TRIANGLE, "", True),
      ([100, 50, 100, 52, 103, 52, 103, 50], "", False)]),
    ("doctr", "labels.json",
     {"1.jpg": dict(img_dimensions=[200, 400], img_hash="0", polygons=[pairs(BOX)])},
     [(BOX, "", False)]),
    ("doctr", "labels.json",
     {"1.jpg": dict(img_dimensions=[200, 400], img_hash="0",
                    polygons={"words": [pairs(BOX)], "###": [pairs(TRIANGLE)]})},
     [(BOX, "", False), (TRIANGLE, "", True)]),
    ("via", "via.json", VIA, [EXIT, (TRIANGLE, "###", True)]),
    ("via", "project.json", {"_via_settings": {}, "_via_img_metadata": VIA},
     [EXIT, (TRIANGLE, "###", True)]),
    ("via", "old.json", {"1.jpg99": dict(filename="1.jpg", file_attributes={},
                                         regions={"0": VIA_REGIONS[0]})}, [EXIT]),
    ("via", "via.csv", VIA_CSV, [EXIT, (TRIANGLE, "###", True)]),
    ("voc", "1.xml", VOC, [EXIT, ([100, 0, 100, 80, 60, 80, 60, 0], "", True),
                           (TRIANGLE, "", False)]),
    ("yolo", "labels/1.txt", YOLO, [(BOX, "", False), (TRIANGLE, "", False), (BOX, "", False)]),
    ("supervisely", "ann/1.jpg.json", SUPERVISELY, [EXIT, (TRIANGLE, "", True)]),
    ("page", "page/1.xml", PAGE, [(TRIANGLE, "Exit", False)]),
    ("alto", "alto/1.xml", ALTO, [EXIT, (TRIANGLE, "here", False)]),
    ("hocr", "1.hocr", HOCR, [EXIT, (TRIANGLE, "here", False)]),
    ("textract", "1.json", TEXTRACT, [EXIT]),
    ("google_vision", "1.json", GOOGLE, [EXIT, (STANDING, "x", False)]),
    ("azure_read", "1.json", AZURE_3, [EXIT]),
    ("azure_read", "1.json", AZURE_4, [EXIT]),
    ("azure_read", "1.jpg.json", DOCUMENT, [EXIT]),
]  # fmt: skip
IDS = [f"{name}-{file}-{number}" for number, (name, file, *_) in enumerate(SAMPLES)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with the images 1.jpg and 2.jpg."""
    for name in ("1", "2"):
        save_image(tmp_path / "raw" / f"{name}.jpg")
    return tmp_path / "raw"


def save_image(path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, **options)


def save(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")


def run(name: str, raw: Path, *options: str) -> int:
    return main([name, "--raw", str(raw), "--out", str(raw.parent / "out"), *options])


def read(raw: Path, part: str = "train") -> list[dict]:
    return json.loads((raw.parent / "out" / f"textdet_{part}.json").read_text())["data_list"]


def words(raw: Path, part: str = "train") -> list[tuple[list[float], str, bool]]:
    found = [item for entry in read(raw, part) for item in entry["instances"]]
    return [(np.round(i["polygon"], 4).tolist(), i["text"], i["ignore"]) for i in found]


def fail(name: str, raw: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return the one line that a failed run printed; nothing must have been written."""
    assert run(name, raw, *options) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert not (raw.parent / "out").exists()
    return error.removeprefix("error: ")


@pytest.mark.parametrize(("name", "file", "content", "expected"), SAMPLES, ids=IDS)
def test_samples(name: str, file: str, content: object, expected: list, raw: Path) -> None:
    save(raw / file, content)
    assert run(name, raw) == 0
    assert words(raw) == expected
    assert recognise(raw) == name


@pytest.mark.parametrize(("name", "file", "content"), [s[:3] for s in SAMPLES], ids=IDS)
def test_broken_samples_are_one_line(
    name: str, file: str, content: object, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    cut = text[:-4] if name == "yolo" else text[: len(text) * 2 // 3]
    save(raw / file, cut)
    assert str(raw / file) in fail(name, raw, capsys)


def test_every_tool_has_a_sample() -> None:
    assert {name for name, *_ in SAMPLES} == set(TOOLS)


WRONG = [
    ("cvat", "a.xml", CVAT.replace("<polygon", "<ellipse").replace("</polygon", "</ellipse"),
     "annotations.image[0].ellipse: a ellipse is no outline of a text"),
    ("cvat", "a.xml", "<annotations><track id='0'/></annotations>", "CVAT for images 1.1"),
    ("cvat", "a.xml", CVAT.replace('rle="0, 12"', 'rle="0, 11"'), "do not fill 4 x 3 pixels"),
    ("cvat", "a.xml", CVAT.replace('xtl="40.00"', 'xtl="forty"'),
     'annotations.image[0].box.xtl: expected a coordinate in pixels, found "forty"'),
    ("cvat", "a.xml", CVAT.replace('width="400"', 'width="401"', 1), "400 x 200 pixels"),
    ("labelstudio", "a.json", [dict(data={"image": "3.jpg"}, annotations=[dict(result=[])],
                                    to_name="")], "[0].data.image: no image 3.jpg"),
    ("labelstudio", "a.json", [dict(data={"image": "1.jpg"}, annotations=[dict(result=[
        ls_result("ellipse", dict(x=1, y=1, radiusX=2, radiusY=2))])])],
     "[0].annotations[0].result[0]: a ellipse is no outline"),
    ("yolo", "1.txt", "0 0.1 0.1 0.2 0.2\n0 40 20 120 60\n", "line 2: expected a class and"),
    ("yolo", "1.txt", "0 0.1 0.1 0.2 0.2 0.9\n", "line 1: expected a class and"),
    ("alto", "1.xml", ALTO.replace("pixel", "mm10"), "coordinates in mm10"),
    ("azure_read", "1.json", {"analyzeResult": {"pages": [dict(unit="inch", words=[])]}},
     "coordinates in inch"),
    ("textract", "1.json", {"Blocks": [dict(BlockType="PAGE")] * 2}, "2 pages"),
    ("voc", "1.xml", VOC.replace("<xmin>40", "<xmin>140"), "140,20 to 120,60 is no box"),
    ("via", "1.csv", VIA_CSV.replace("rect", "circle"), "line 2: a circle is no outline"),
    ("supervisely", "1.json", json.dumps(SUPERVISELY).replace('"polygon"', '"bitmap"'),
     "objects[1]: a bitmap is no outline"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "content", "message"), WRONG)
def test_mistakes_name_their_place(
    name: str, file: str, content: object, message: str, raw: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    save(raw / file, content)
    error = fail(name, raw, capsys)
    assert error.startswith(str(raw / file))
    assert message in error


def test_no_label_file_of_the_format(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "1.xml", VOC)
    assert "has no label file of this format (*.xml with" in fail("cvat", raw, capsys)


def test_parts_are_folders_or_names(raw: Path) -> None:
    for part in ("train", "val"):
        save_image(raw / "images" / part / "7.jpg")
        save(raw / "labels" / part / "7.txt", YOLO[: YOLO.index("\n") + 1])
    save(raw / "data.yaml", "names: [text, sign]\n")
    assert run("yolo", raw) == 0
    assert read(raw, "val")[0]["img_path"] == "../raw/images/val/7.jpg"
    assert words(raw) == words(raw, "val") == [(BOX, "", False)]


def test_names_tell_the_parts(raw: Path) -> None:
    for number, part in enumerate(("train", "test"), 1):
        save(raw / f"{part}.xml", CVAT.replace('name="1.jpg"', f'name="{number}.jpg"')
             .split('<image id="1"')[0] + "</annotations>")  # fmt: skip
    assert run("cvat", raw) == 0
    assert [read(raw, part)[0]["img_path"][-5:] for part in ("train", "test")] == ["1.jpg", "2.jpg"]


# ---------------------------------------------------------------- classes


def test_keep_and_ignore(raw: Path) -> None:
    save(raw / "annotations.xml", CVAT)
    assert run("cvat", raw, "--keep", "sign") == 0
    assert words(raw) == [(TRIANGLE, "", True)]


def test_ignored_classes_are_kept(raw: Path) -> None:
    save(raw / "labels/1.txt", YOLO)
    save(raw / "data.yaml", "names: {0: text, 1: logo}\n")
    assert run("yolo", raw, "--keep", "text", "--ignore", "logo") == 0
    assert words(raw) == [(BOX, "", False), (TRIANGLE, "", True), (BOX, "", False)]


def test_unknown_class_is_one_line(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "annotations.xml", CVAT)
    assert "--keep txt: no label is called so; there are sign, text" in fail(
        "cvat", raw, capsys, "--keep", "txt"
    )


def test_lines_instead_of_words(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "1.xml", PAGE)
    assert run("page", raw, "--keep", "line") == 0
    assert words(raw) == [(BOX, "Exit here", False)]
    assert "warning" not in capsys.readouterr().err


def test_both_levels_are_told(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "1.xml", PAGE)
    assert run("page", raw) == 0
    assert "--keep line" in capsys.readouterr().err


# ---------------------------------------------------------------- EXIF


def turned_exif(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = value
    return exif


@pytest.mark.parametrize("name", ["cvat", "yolo", "voc"])
def test_tools_that_turn_pictures(name: str, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stored 200 x 400 with orientation 6: what is shown at (x, y) is stored at (y, 399 - x)."""
    Image.new("RGB", (HEIGHT, WIDTH)).save(raw / "1.jpg", exif=turned_exif(6))
    sample = {"cvat": CVAT, "voc": VOC, "yolo": YOLO.replace("0 .1 .1 .3 .1 .3 .3 .1 .3\n", "")}
    save(raw / {"cvat": "a.xml", "voc": "1.xml", "yolo": "1.txt"}[name], sample[name])
    assert "pass --orientation displayed" in fail(name, raw, capsys)
    assert run(name, raw, "--orientation", "displayed") == 0
    triangle = next(polygon for polygon, *_ in words(raw) if len(polygon) == 6)
    assert triangle == [10, 389, 10, 349, 40, 369]


def test_fractions_of_services_need_to_know_the_view(raw: Path, capsys) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(raw / "1.jpg", exif=turned_exif(6))
    save(raw / "1.json", TEXTRACT)
    assert run("textract", raw) == 0
    assert words(raw) == [EXIT]
    assert "pass --orientation stored or displayed" in capsys.readouterr().err


# ---------------------------------------------------------------- hostile files

LAUGHS = """<?xml version="1.0"?><!DOCTYPE annotations [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>
<annotations><image name="&b;" width="1" height="1"/></annotations>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE annotations [<!ENTITY a SYSTEM "secret.txt">]>
<annotations><image name="&a;" width="1" height="1"/></annotations>"""


@pytest.mark.parametrize("content", [LAUGHS, OUTSIDE, "<annotations>" + "<a>" * 200])
def test_hostile_xml(content: str, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "secret.txt", "secret")
    save(raw / "a.xml", content)
    error = fail("cvat", raw, capsys)
    assert "a.xml: no XML (" in error
    assert "secret" not in error


@pytest.mark.parametrize(("name", "file"), [("cvat", "a.xml"), ("labelstudio", "a.json")])
def test_huge_files_are_not_read(
    name: str, file: str, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = b"<annotations>" if name == "cvat" else b'[{"to_name": 1}]'
    with (raw / file).open("wb") as sparse:
        sparse.write(start)
        sparse.truncate(2 << 30)
    error = fail(name, raw, capsys)
    assert error.startswith(f"{raw / file}: 2,147 MB, of which ")


@pytest.mark.parametrize("name", ["../secret/7.jpg", "/{out}/secret/7.jpg"])
def test_names_that_leave_the_folder(
    name: str, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_image(raw.parent / "secret" / "7.jpg")
    name = name.replace("/{out}", str(raw.parent))
    save(raw / "a.xml", CVAT.replace('name="1.jpg"', f'name="{name}"'))
    assert f"no image {name} in {raw}" in fail("cvat", raw, capsys)


def test_names_alike_but_for_their_case(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("CAFÉ.jpg", "cafe\u0301.jpg"):
        save_image(raw / name)
    save(raw / "a.xml", CVAT.replace('name="1.jpg"', 'name="café.jpg"'))
    assert "are both named so; move one away" in fail("cvat", raw, capsys)


# ---------------------------------------------------------------- brush masks


def pack_brush(values: list[int]) -> list[int]:
    """Pack values as @thi.ng/rle-pack does, in runs of one value, each length in 16 bits."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    start = 0
    while start < len(values):
        end = start
        while end < len(values) and values[end] == values[start]:
            end += 1
        bits += f"1{3:02b}{end - start - 1:016b}{values[start]:08b}"
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def test_brush_masks(raw: Path) -> None:
    Image.new("RGB", (20, 10)).save(raw / "1.jpg")
    mask = np.zeros((10, 20, 4), np.uint8)
    mask[2:6, 3:12, 3] = 255
    packed = pack_brush(mask.ravel().tolist())
    np.testing.assert_array_equal(decode_brush(bytes(packed), 800).reshape(10, 20, 4), mask)
    result = ls_result("brushlabels", dict(format="rle", rle=packed, brushlabels=["text"]))
    result |= dict(original_width=20, original_height=10)
    save(raw / "a.json", [dict(data={"image": "1.jpg"}, annotations=[dict(result=[result])])])
    assert run("labelstudio", raw) == 0
    assert words(raw) == [([3, 2, 3, 5, 11, 5, 11, 2], "", False)]


# ---------------------------------------------------------------- odd values

ODD = (None, 5, "x", [], {}, True, -1e9, [[1, 2]], {"a": 1})


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Paths of all values in a document."""
    children = value.items() if isinstance(value, dict) else ()
    children = enumerate(value) if isinstance(value, list) else children
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def replaced(value: object, path: tuple, odd: object) -> object:
    if not path:
        return odd
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], odd)
    return copy


JSON_SAMPLES = [sample[:3] for sample in SAMPLES if not isinstance(sample[2], str)]


@pytest.mark.parametrize(("name", "file", "content"), JSON_SAMPLES)
def test_odd_values_anywhere_are_told(name: str, file: str, content: object, raw: Path) -> None:
    """Whatever a value is replaced by, the sample is read or refused with a line."""
    save(raw / file, content)
    path = raw / file
    for place in places(content):
        for odd in ODD:
            path.write_text(json.dumps(replaced(content, place, odd)), encoding="utf-8")
            request = Request(raw, raw.parent / "out")
            with gathering() as gathered, contextlib.suppress(UserError):
                TOOLS[name](request)
            assert not any("\n" in fault for fault in gathered.faults)


def test_deep_json(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "1.json", '{"analyzeResult": ' + '{"a": ' * 980 + "1" + "}" * 981)
    assert str(raw / "1.json") in fail("azure_read", raw, capsys)
