import base64
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from dbnet.cli.prepare import main

TRIANGLE = [[1, 2], [11.5, 3], [12, 0.1]]
SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4]]
ROTATED = 6  # an EXIF orientation: to be turned by 90 degrees


def image_bytes(
    size: tuple[int, int] = (40, 30), kind: str = "JPEG", orientation: int = 0
) -> bytes:
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with the image 1.jpg, 40 x 30 pixels."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "1.jpg").write_bytes(image_bytes())
    return tmp_path / "raw"


def shape(**keys: object) -> dict:
    """Return a shape as LabelMe 5 writes it."""
    defaults = {"label": "word", "points": TRIANGLE, "group_id": None, "description": ""}
    return {**defaults, "shape_type": "polygon", "flags": {}, "mask": None, **keys}


def save(path: Path, *shapes: dict, image: bytes | None = None, **keys: object) -> None:
    document = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": "1.jpg",
        "imageData": None if image is None else base64.b64encode(image).decode(),
        "imageHeight": 30,
        "imageWidth": 40,
        **keys,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def run(raw: Path, *options: str) -> int:
    return main(["labelme", "--raw", str(raw), "--out", str(raw.parent / "out"), *options])


def read(raw: Path, part: str = "train") -> list[dict]:
    path = raw.parent / "out" / f"textdet_{part}.json"
    return json.loads(path.read_text(encoding="utf-8"))["data_list"]


def words(raw: Path) -> list[tuple[list[float], str, bool]]:
    instances = [item for entry in read(raw) for item in entry["instances"]]
    return [(item["polygon"], item["text"], item["ignore"]) for item in instances]


def flat(pairs: list[list[float]]) -> list[float]:
    return [number for pair in pairs for number in pair]


def fail(raw: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(raw) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error.removeprefix("error: ")


def test_shapes_with_an_outline(raw: Path) -> None:
    shapes = [
        shape(),
        shape(shape_type="rectangle", points=[[12, 1.5], [3, 9]]),
        shape(shape_type="rectangle", points=SQUARE),  # X-AnyLabeling
        *(shape(shape_type=kind, points=SQUARE)
          for kind in ("rotation", "oriented_rectangle", "quadrilateral")),
    ]  # fmt: skip
    old = shape()
    del old["shape_type"], old["flags"], old["description"]  # LabelMe 3
    save(raw / "1.json", *shapes, old)
    assert run(raw) == 0
    polygons = [polygon for polygon, _, _ in words(raw)]
    rectangle = [3, 1.5, 12, 1.5, 12, 9, 3, 9]
    assert polygons == [flat(TRIANGLE), rectangle, *[flat(SQUARE)] * 4, flat(TRIANGLE)]


@pytest.mark.parametrize("kind", ["circle", "line", "linestrip", "point", "points", "mask"])
def test_shapes_without_an_outline(
    raw: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    save(raw / "1.json", shape(), shape(shape_type=kind))
    error = fail(raw, capsys)
    assert error.startswith(f"{raw / '1.json'}: shapes[1].shape_type: a {kind} is no outline")


@pytest.mark.parametrize(
    ("keys", "text", "ignored"),
    [
        ({}, "word", False),
        ({"label": "###"}, "###", True),
        ({"description": "Grün"}, "Grün", False),
        ({"description": "###"}, "###", True),
        ({"flags": {"ignore": True}}, "word", True),
        ({"flags": {"difficult": True, "ignore": False}}, "word", True),
        ({"flags": {"ignore": False, "curved": True}}, "word", False),
        ({"flags": None}, "word", False),
        ({"flags": ""}, "word", False),
        ({"difficult": True}, "word", True),  # X-AnyLabeling
    ],
)
def test_texts_and_ignored(raw: Path, keys: dict, text: str, ignored: bool) -> None:
    save(raw / "1.json", shape(**keys))
    assert run(raw) == 0
    assert words(raw) == [(flat(TRIANGLE), text, ignored)]


def test_folders_and_order(raw: Path) -> None:
    for name in ("labels/img_10", "labels/img_9", "more/a"):
        (raw / "images").mkdir(exist_ok=True)
        (raw / "images" / f"{Path(name).name}.JPG").write_bytes(image_bytes())
        save(raw / f"{name}.json", imagePath=f"..\\images\\{Path(name).name}.JPG")
    assert run(raw) == 0
    paths = [entry["img_path"] for entry in read(raw)]
    assert [Path(path).name for path in paths] == ["img_9.JPG", "img_10.JPG", "a.JPG"]
    assert all((raw.parent / "out" / path).is_file() for path in paths)
    assert words(raw) == []


def test_parts_and_running_again_with_out_in_raw(raw: Path) -> None:
    for part in ("train", "test"):
        save(raw / part / "1.json", image=image_bytes(kind="PNG"), imagePath="1.png")
    for _ in range(2):
        assert main(["labelme", "--raw", str(raw), "--out", str(raw / "train")]) == 0
    document = json.loads((raw / "train" / "textdet_test.json").read_text())
    assert [entry["img_path"] for entry in document["data_list"]] == ["images/test/1.png"]


def test_image_that_only_the_json_holds(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = image_bytes(kind="PNG")
    save(raw / "deep" / "x.json", shape(), image=content, imagePath="D:\\photos\\x.jpg")
    assert run(raw) == 0
    assert read(raw)[0]["img_path"] == "images/train/deep/x.png"
    written = raw.parent / "out" / "images" / "train" / "deep" / "x.png"
    assert written.read_bytes() == content
    assert run(raw) == 0  # again
    save(raw / "deep" / "x.json", image=image_bytes((40, 31), "PNG"), imagePath="x.jpg")
    assert fail(raw, capsys).startswith(f"{written} is there already and differs")
    assert written.read_bytes() == content


def test_the_file_is_taken_before_the_data(raw: Path) -> None:
    save(raw / "1.json", image=image_bytes((9, 9)))
    assert run(raw) == 0
    assert read(raw)[0]["img_path"] == "../raw/1.jpg"


def test_turned_image(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (raw / "1.jpg").write_bytes(image_bytes(orientation=ROTATED))
    turned = dict(imageHeight=40, imageWidth=30)
    save(raw / "1.json", shape(), **turned)
    assert "1.json: the labels are of" in (error := fail(raw, capsys))
    assert "-auto-orient" in error
    save(raw / "1.json", shape(), image=image_bytes(orientation=ROTATED), **turned)
    assert "1.json: the labels are of" in fail(raw, capsys)
    (raw.parent / "out" / "images" / "train" / "1.jpeg").unlink()
    save(raw / "1.json", shape())  # the sides are those of the stored image
    assert run(raw) == 0
    assert read(raw)[0]["img_path"] == "../raw/1.jpg"
    save(raw / "1.json", shape(), image=image_bytes((30, 40)), **turned)  # as LabelMe does
    (raw.parent / "out" / "textdet_train.json").unlink()
    assert run(raw) == 0
    (entry,) = read(raw)
    assert (entry["img_path"], entry["height"], entry["width"]) == ("images/train/1.jpeg", 40, 30)


@pytest.mark.parametrize(
    ("size", "orientation"), [((40, 30), 3), ((30, 30), ROTATED), ((30, 30), 8)]
)
def test_turn_that_the_sides_do_not_tell(
    raw: Path, size: tuple[int, int], orientation: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "1.jpg").write_bytes(image_bytes(size, orientation=orientation))
    save(raw / "1.json", shape(), imageWidth=size[0])
    assert "1.json: the labels are of" in fail(raw, capsys)


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"imagePath": "2.jpg", "imageData": "QUJD"}, "imageData: no image in base64"),
        ({"imagePath": "2.jpg", "imageData": "?"}, "imageData: no image in base64"),
        ({"imagePath": "2.jpg", "imageData": "é"}, "imageData: no image in base64"),
        ({"imagePath": None}, "no 'imagePath'"),
        ({"imageHeight": 31}, "imageHeight: 31, but"),
        ({"imageWidth": 41}, "imageWidth: 41, but"),
        ({"imageWidth": 30, "imageHeight": 40}, "imageHeight: 40, but"),
        ({"shapes": None}, "no 'shapes'"),
        ({"shapes": [shape(label=3)]}, "shapes[0].label: expected a text in quotes, found 3"),
        ({"shapes": [shape(points=TRIANGLE[:2])]}, "shapes[0].points: 2 points, but 3"),
        (
            {"shapes": [shape(shape_type="rectangle", points=TRIANGLE)]},
            "shapes[0].points: 3 points, but 4",
        ),
        (
            {"shapes": [shape(shape_type="rotation", points=TRIANGLE + SQUARE)]},
            "shapes[0].points: 7 points, but a rotation has 4",
        ),
        (
            {"shapes": [shape(shape_type="rectangle", points=TRIANGLE[:2], direction=0.5)]},
            "shapes[0].direction: a turned rectangle",
        ),
        ({"shapes": [shape(flags={"ignore": "x"})]}, "shapes[0].flags.ignore: expected true or"),
    ],
)
def test_mistakes(raw: Path, keys: dict, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "1.json", **keys)
    assert fail(raw, capsys).startswith(f"{raw / '1.json'}: {place}")


def test_missing_image(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "2.json", imagePath="3.jpg")
    assert fail(raw, capsys).startswith(f"{raw / '2.json'}: imagePath: no image 3.jpg in")


def test_folder_without_labels(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(raw, capsys).startswith(f"{raw} has no *.json")


def test_renamed_picture(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "labels" / "1.json", shape(), imagePath="IMG_2024.jpg")
    assert run(raw) == 0
    assert read(raw)[0]["img_path"] == "../raw/1.jpg"
    assert "by the names of their label files" in capsys.readouterr().err
    for folder in ("a", "b"):
        (raw / folder).mkdir()
        (raw / folder / "1.jpg").write_bytes(image_bytes())
    (raw / "1.jpg").unlink()
    error = fail(raw, capsys)
    assert f"{raw / 'a' / '1.jpg'} and {raw / 'b' / '1.jpg'} are both named so" in error


def test_linked_folder_is_followed(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "1.json", shape())
    elsewhere = raw.parent / "elsewhere"
    save(elsewhere / "deep" / "2.json", shape(), imagePath="2.jpg")
    (elsewhere / "deep" / "2.jpg").write_bytes(image_bytes())
    (raw / "b").symlink_to(elsewhere, target_is_directory=True)
    assert run(raw) == 0
    assert [e["img_path"] for e in read(raw)] == ["../raw/1.jpg", "../elsewhere/deep/2.jpg"]
    assert capsys.readouterr().err == ""
    (elsewhere / "back").symlink_to(raw, target_is_directory=True)  # a loop
    (raw / "a").symlink_to(elsewhere / "deep", target_is_directory=True)
    assert run(raw) == 0
    assert "a link leads to a folder that was read already" in capsys.readouterr().err
    assert len(read(raw)) == 2


def test_two_labels_of_one_image(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(raw / "1.json")
    save(raw / "2.json")
    assert fail(raw, capsys).startswith(f"{raw / '2.json'}: imagePath: {raw / '1.jpg'} has labels")
