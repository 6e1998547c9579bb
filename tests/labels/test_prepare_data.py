import json
import runpy
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from dbnet.cli.prepare import main
from dbnet.labels import PREPARERS
from dbnet.labels.entries import sample_indices

TOOL = Path(__file__).parents[2] / "tools" / "prepare_data.py"
TRAIN_IMAGES = "ch4_training_images"
TRAIN_GT = "ch4_training_localization_transcription_gt"
TEST_IMAGES = "ch4_test_images"
TASK1_GT = "Challenge4_Test_Task1_GT"
TASK4_GT = "Challenge4_Test_Task4_GT"


def save_jpg(path: Path, width: int = 40, height: int = 30, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path, **options)


def save_gt(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three training images with 2 + 0 + 1 words and one test image with 1 ignored word."""
    raw = tmp_path / "raw"
    for number in (10, 2, 1):
        save_jpg(raw / TRAIN_IMAGES / f"img_{number}.jpg")
    save_gt(
        raw / TRAIN_GT / "gt_img_1.txt",
        b"\xef\xbb\xbf1,2,11,3,12,9,0,8,Gr\xc3\xbcn, blau\r\n5,20,9,20,9,25,5,25,###\r\n",
    )
    save_gt(raw / TRAIN_GT / "gt_img_2.txt", b"")
    save_gt(raw / TRAIN_GT / "gt_img_10.txt", b"0,0,4,0,4,4,0,4,A")
    save_jpg(raw / TEST_IMAGES / "img_1.jpg", width=50, height=20)
    save_gt(raw / TASK1_GT / "gt_img_1.txt", b"0,0,4,0,4,4,0,4,###\n")
    return raw


def zip_folder(folder: Path, prefix: str = "", separator: str = "/") -> None:
    """Replace a folder by its zip, whose entries begin with `prefix`."""
    with zipfile.ZipFile(f"{folder}.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.writestr((prefix + path.name).replace("/", separator), path.read_bytes())
    shutil.rmtree(folder)


def run(raw: Path, out: Path, *options: str) -> int:
    return main(["icdar2015", "--raw", str(raw), "--out", str(out), *options])


def read(out: Path, part: str) -> list[dict]:
    return json.loads((out / f"textdet_{part}.json").read_text(encoding="utf-8"))["data_list"]


def failure(capsys: pytest.CaptureFixture[str], status: int) -> str:
    """Return the one line that a failed run printed."""
    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    return error


# ---------------------------------------------------------------- whole runs

WORDS_OF_IMG_1 = [
    {
        "polygon": [1, 2, 11, 3, 12, 9, 0, 8],
        "bbox": [0, 2, 12, 9],
        "bbox_label": 0,
        "ignore": False,
        "text": "Grün, blau",
    },
    {
        "polygon": [5, 20, 9, 20, 9, 25, 5, 25],
        "bbox": [5, 20, 9, 25],
        "bbox_label": 0,
        "ignore": True,
        "text": "###",
    },
]


def test_annotation_of_folders(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "data" / "ic15"
    assert run(raw, out) == 0
    document = json.loads((out / "textdet_train.json").read_text(encoding="utf-8"))
    assert document.keys() == {"metainfo", "data_list"}
    assert document["metainfo"] == {
        "dataset_type": "TextDetDataset",
        "task_name": "textdet",
        "category": [{"id": 0, "name": "text"}],
    }
    first, second, third = document["data_list"]
    assert first == {
        "img_path": "../../raw/ch4_training_images/img_1.jpg",
        "height": 30,
        "width": 40,
        "instances": WORDS_OF_IMG_1,
    }
    assert second["img_path"].endswith("/img_2.jpg")
    assert second["instances"] == []
    assert third["img_path"].endswith("/img_10.jpg")
    assert [(e["height"], e["width"]) for e in read(out, "test")] == [(20, 50)]
    assert sorted(p.name for p in out.iterdir()) == ["textdet_test.json", "textdet_train.json"]


def test_counts_and_next_step_are_printed(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "with space"
    run(raw, out)
    assert capsys.readouterr().out.splitlines() == [
        f"{out}/textdet_train.json: 3 images, 3 words, 2 words that count",
        f"{out}/textdet_test.json: 1 images, 1 words, 0 words that count",
        f"next: dbnet train dbnet_r18_fpnc_1200e_icdar2015 --data-root '{out}'",
    ]


@pytest.mark.parametrize(
    ("prefix", "separator"),
    [("", "/"), ("inner/", "/"), ("a/b/", "/"), ("inner/", "\\")],
    ids=["flat", "inner folder", "two inner folders", "backslashes"],
)
def test_annotation_of_zips(raw: Path, tmp_path: Path, prefix: str, separator: str) -> None:
    for folder in list(raw.iterdir()):
        zip_folder(folder, prefix, separator)
    out = tmp_path / "out"
    assert run(raw, out) == 0
    entries = read(out, "train")
    assert [entry["img_path"] for entry in entries] == [
        f"ch4_training_images/{prefix}img_{number}.jpg" for number in (1, 2, 10)
    ]
    assert all((out / entry["img_path"]).is_file() for entry in entries)
    assert entries[0]["instances"] == WORDS_OF_IMG_1


def test_folder_entries_and_clutter_of_a_zip_are_passed_over(raw: Path, tmp_path: Path) -> None:
    zip_folder(raw / TRAIN_IMAGES, "inner/")
    with zipfile.ZipFile(raw / f"{TRAIN_IMAGES}.zip", "a") as archive:
        for name in ("__MACOSX/img_1.jpg", "inner/._img_1.jpg", ".DS_Store", "e/", "f\\"):
            archive.writestr(name, b"")
    assert run(raw, tmp_path / "out") == 0
    assert len(read(tmp_path / "out", "train")) == 3
    unpacked = (tmp_path / "out" / TRAIN_IMAGES).rglob("*")
    assert sum(path.is_file() for path in unpacked) == 3


def test_folders_with_clutter_or_an_inner_folder(raw: Path, tmp_path: Path) -> None:
    shutil.move(raw / TRAIN_IMAGES, raw / "moved")
    (raw / TRAIN_IMAGES).mkdir()
    shutil.move(raw / "moved", raw / TRAIN_IMAGES / TRAIN_IMAGES)
    (raw / TRAIN_IMAGES / ".DS_Store").touch()
    (raw / TEST_IMAGES / "._img_1.jpg").touch()
    (raw / TASK1_GT / "._gt_img_1.txt").touch()
    assert run(raw, tmp_path / "out") == 0
    first = read(tmp_path / "out", "train")[0]
    assert first["img_path"] == f"../raw/{TRAIN_IMAGES}/{TRAIN_IMAGES}/img_1.jpg"
    assert len(read(tmp_path / "out", "test")) == 1


def test_mix_of_zips_and_folders_with_task_4(raw: Path, tmp_path: Path) -> None:
    shutil.move(raw / TASK1_GT, raw / TASK4_GT)
    zip_folder(raw / TASK4_GT)
    zip_folder(raw / TRAIN_IMAGES)
    assert run(raw, tmp_path / "out") == 0
    assert read(tmp_path / "out", "test")[0]["img_path"] == "../raw/ch4_test_images/img_1.jpg"
    assert read(tmp_path / "out", "train")[0]["img_path"] == "ch4_training_images/img_1.jpg"
    assert read(tmp_path / "out", "test")[0]["instances"][0]["ignore"] is True


def test_copy_puts_all_below_out(raw: Path, tmp_path: Path) -> None:
    (raw / TRAIN_IMAGES / "img_1.jpg").chmod(0o444)
    (raw / TRAIN_IMAGES).chmod(0o555)
    assert run(raw, tmp_path / "out", "--copy") == 0
    assert run(raw, tmp_path / "out", "--copy") == 0
    shutil.rmtree(raw)
    entries = read(tmp_path / "out", "train") + read(tmp_path / "out", "test")
    assert entries[0]["img_path"] == "ch4_training_images/img_1.jpg"
    assert all((tmp_path / "out" / entry["img_path"]).is_file() for entry in entries)
    for path in (tmp_path / "out" / TRAIN_IMAGES, tmp_path / "out" / TRAIN_IMAGES / "img_1.jpg"):
        assert path.stat().st_mode & 0o200  # the owner may remove it again


@pytest.mark.parametrize("zipped", [False, True])
def test_out_may_be_raw(raw: Path, zipped: bool) -> None:
    if zipped:
        zip_folder(raw / TRAIN_IMAGES)
    assert run(raw, raw, "--copy") == 0
    first = (raw / "textdet_train.json").read_bytes()
    assert read(raw, "train")[0]["img_path"] == "ch4_training_images/img_1.jpg"
    assert run(raw, raw, "--copy") == 0
    assert (raw / "textdet_train.json").read_bytes() == first


def test_folders_below_out_are_not_copied(raw: Path, tmp_path: Path) -> None:
    assert run(raw, tmp_path, "--copy") == 0
    assert read(tmp_path, "train")[0]["img_path"] == "raw/ch4_training_images/img_1.jpg"
    assert not (tmp_path / TRAIN_IMAGES).exists()


def test_paths_hold_behind_a_symbolic_link(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "deep")
    (raw / TRAIN_IMAGES / "img_1.jpg").rename(tmp_path / "blob")
    (raw / TRAIN_IMAGES / "img_1.jpg").symlink_to(tmp_path / "blob")
    assert run(raw, tmp_path / "link") == 0
    first = read(tmp_path / "link", "train")[0]["img_path"]
    assert first == "../../raw/ch4_training_images/img_1.jpg"
    assert (tmp_path / "link" / first).is_file()


# ---------------------------------------------------------------- running again


def test_running_again_gives_the_same(raw: Path, tmp_path: Path) -> None:
    zip_folder(raw / TRAIN_IMAGES)
    results = []
    for _ in range(2):
        assert run(raw, tmp_path / "out", "--val-fraction", "0.4") == 0
        results.append({p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()})
    assert results[0] == results[1]
    assert len(results[0]) == 3 + 4  # unpacked images and JSON files, nothing temporary


def test_interrupted_unpacking_is_done_again(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zip_folder(raw / TRAIN_IMAGES)
    target = tmp_path / "out" / TRAIN_IMAGES

    def interrupt(source: object, file: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", interrupt)
        assert run(raw, tmp_path / "out") == 130
    assert not target.exists()
    partial = target.with_name(f".{TRAIN_IMAGES}.partial")
    (partial / "left_over.jpg").touch()
    assert run(raw, tmp_path / "out") == 0
    assert sorted(p.name for p in target.iterdir()) == ["img_1.jpg", "img_10.jpg", "img_2.jpg"]
    assert not partial.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_of_other_content_is_left_alone(
    raw: Path, tmp_path: Path, zipped: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if zipped:
        zip_folder(raw / TRAIN_IMAGES)
    folder = tmp_path / "out" / TRAIN_IMAGES
    for number in (1, 2, 10):
        save_jpg(folder / f"img_{number}.jpg", width=100)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    error = failure(capsys, run(raw, tmp_path / "out", "--copy"))
    assert f"{folder} is there already" in error
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


# ---------------------------------------------------------------- mistakes


def test_missing_downloads_are_named(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(raw / TASK1_GT)
    zip_folder(raw / TRAIN_IMAGES)
    shutil.rmtree(raw / TEST_IMAGES)
    error = failure(capsys, run(raw, tmp_path / "out"))
    for word in (str(raw), TEST_IMAGES, f"{TASK1_GT} or {TASK4_GT}", "rrc.cvc.uab.es", ".zip"):
        assert word in error
    assert TRAIN_IMAGES not in error
    assert not (tmp_path / "out").exists()  # found out before anything is unpacked


def test_missing_raw_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert str(tmp_path / "none") in failure(capsys, run(tmp_path / "none", tmp_path / "out"))


@pytest.mark.parametrize(
    ("removed", "named"),
    [
        ([f"{TRAIN_GT}/gt_img_10.txt", f"{TRAIN_GT}/gt_img_2.txt"], "gt_img_2.txt"),
        ([f"{TRAIN_IMAGES}/img_10.jpg", f"{TRAIN_IMAGES}/img_2.jpg"], "lacks img_2.jpg"),
    ],
)
def test_missing_partners_are_named_and_counted(
    raw: Path,
    tmp_path: Path,
    removed: list[str],
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in removed:
        (raw / path).unlink()
    assert run(raw, tmp_path / "out") == 1
    first, second, summary = capsys.readouterr().err.splitlines()
    assert named in first
    assert "img_10" in second
    assert summary.startswith("error: 2 faults; nothing is written")
    assert not (tmp_path / "out" / "textdet_train.json").exists()


def test_folders_without_images(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / TEST_IMAGES / "img_1.jpg").unlink()
    (raw / TASK1_GT / "gt_img_1.txt").unlink()
    assert str(raw / TEST_IMAGES) in failure(capsys, run(raw, tmp_path / "out"))


def test_bad_line_is_named_with_its_file(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = raw / TRAIN_GT / "gt_img_2.txt"
    path.write_bytes(b"0,0,4,0,4,4,0,4,A\nnothing")
    assert f"{path}, line 2:" in failure(capsys, run(raw, tmp_path / "out"))


def test_unreadable_image_is_named(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = raw / TEST_IMAGES / "img_1.jpg"
    path.write_bytes(b"no jpg")
    assert str(path) in failure(capsys, run(raw, tmp_path / "out"))


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"]
)
def test_entries_that_leave_the_folder_are_refused(
    raw: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    zip_folder(raw / TRAIN_GT)
    with zipfile.ZipFile(raw / f"{TRAIN_GT}.zip", "a") as archive:
        archive.writestr(name, b"evil")
    error = failure(capsys, run(raw, tmp_path / "out"))
    assert f"{TRAIN_GT}.zip" in error
    assert repr(name) in error
    assert not list(tmp_path.rglob("*evil.txt"))


def test_damaged_zips_are_named(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zip_folder(raw / TRAIN_IMAGES)
    path = raw / f"{TRAIN_IMAGES}.zip"
    whole = path.read_bytes()
    half, flipped, locked = whole[: len(whole) // 2], bytearray(whole), bytearray(whole)
    flipped[60] ^= 1  # in the first file's bytes, which its checksum no longer fits
    locked[6] |= 1  # the local and the central flag for "encrypted"
    locked[whole.index(b"PK\x01\x02") + 8] |= 1
    for content in (half, flipped, locked):
        path.write_bytes(content)
        assert str(path) in failure(capsys, run(raw, tmp_path / "out"))
        assert not (tmp_path / "out" / TRAIN_IMAGES).exists()


def test_out_that_cannot_be_written(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert str(tmp_path / "out") in failure(capsys, run(raw, tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "a file"


# ---------------------------------------------------------------- validation part


def test_split_files(raw: Path, tmp_path: Path) -> None:
    assert run(raw, tmp_path, "--val-fraction", "0.34", "--seed", "5") == 0
    train, part, val = (read(tmp_path, name) for name in ("train", "trainpart", "val"))
    assert (len(train), len(part), len(val)) == (3, 2, 1)
    assert sorted(part + val, key=train.index) == train
    (drawn,) = sample_indices(3, 0.34, seed=5)
    assert val == [train[drawn]]
    assert sample_indices(3, 0.34, seed=0) != {drawn}


@pytest.mark.parametrize("fraction", ["0", "1", "-0.5", "1.5", "nan", "0.1", "0.9"])
def test_fraction_that_leaves_a_part_empty(
    raw: Path, tmp_path: Path, fraction: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run(raw, tmp_path / "out", f"--val-fraction={fraction}")
    assert "--val-fraction" in failure(capsys, status)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- command line


def test_list_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(PREPARERS)
    assert all(len(line.partition(":")[2].split()) > 3 for line in lines)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("icdar15", "icdar2015"), ("ICDAR-2015", "icdar2015"), ("total-text", "totaltext")],
)
def test_unknown_name_gives_the_nearest(
    name: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = failure(capsys, main([name, "--raw", "a", "--out", "b"]))
    assert repr(name) in error
    assert repr(nearest) in error


def test_a_name_like_no_other_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--list" in failure(capsys, main(["zzz", "--raw", "a", "--out", "b"]))


def test_arguments_are_needed() -> None:
    for argv in ([], ["icdar2015", "--raw", "a"], ["icdar2015", "--out", "a"]):
        with pytest.raises(SystemExit) as stop:
            main(argv)
        assert stop.value.code == 2


def test_tool_gives_the_exit_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for argv, status in ((["--list"], 0), (["icdar15", "--raw", "a", "--out", "b"], 1)):
        monkeypatch.setattr("sys.argv", [str(TOOL), *argv])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(TOOL), run_name="__main__")
        assert stop.value.code == status
