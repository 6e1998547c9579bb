"""The examples of docs/your_data.md work as printed."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from dbnet.apis.detector import init_detector
from dbnet.cli import main as console
from dbnet.cli.prepare import main as prepare
from dbnet.images import SUFFIXES

PAGE = Path(__file__).parents[2] / "docs" / "your_data.md"
CONFIG = "dbnet_r18_fpnc_1200e_icdar2015"

GENAXIS = [377, 117, 463, 117, 465, 130, 378, 130]
IGNORED = [493, 115, 519, 115, 519, 131, 493, 131]
NUMBER = [374, 155, 409, 155, 409, 170, 374, 170]
BOTH = [(GENAXIS, "Genaxis", False), (IGNORED, "###", True)]
# What the examples hold: the texts of the first training image, and the number of images by file.
EXPECTED = {
    "paddleocr": (BOTH, {"train": 2, "trainpart": 1, "val": 1}),
    "labelme": (
        [([377.2, 117, 463.1, 116.8, 464.9, 130.2, 378, 130.4], "Genaxis", False),
         (IGNORED, "text", True)],
        {"train": 1, "test": 1},
    ),
    "coco": ([(GENAXIS, "text", False), (IGNORED, "text", True)], {"train": 2}),
    "icdar_folder": (
        [(GENAXIS, "Genaxis Theatre, 12", False), BOTH[1], (NUMBER, "2024", False)],
        {"train": 2},
    ),
    "mmocr": (BOTH[:1], {"train": 1}),
    "mmocr0": ([(GENAXIS, "", False)], {"train": 1}),
}  # fmt: skip


class Example(NamedTuple):
    """A section of the page: names of files, contents of those that are printed, commands."""

    names: list[str]
    contents: dict[str, str]
    commands: list[list[str]]


def read_section(title: str) -> Example:
    (section,) = re.findall(
        rf"^##+ {title}\n(.*?)(?=^##+ |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    block = r"^```{}\n(.*?)^```$"
    listings = re.findall(block.format("text"), section, re.MULTILINE | re.DOTALL)
    printed = re.findall(
        r"^`(\S+)`[^\n]*\n\n" + block[1:].format("[a-z]*"), section, re.MULTILINE | re.DOTALL
    )
    commands = "".join(re.findall(block.format("bash"), section, re.MULTILINE | re.DOTALL))
    return Example(
        names="".join(listings).split(),
        contents=dict(printed),
        commands=[shlex.split(line) for line in commands.replace("\\\n", " ").splitlines()],
    )


def write_files(example: Example) -> None:
    for name in example.names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(SUFFIXES):
            seed = sum(map(ord, name))  # `dbnet check` finds equal pictures
            noise = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((1280, 720)).save(name)
        else:
            Path(name).write_text(example.contents.get(name, ""), encoding="utf-8")


def run_prepare(name: str) -> None:
    example = read_section(name)
    write_files(example)
    ((program, command, *arguments),) = example.commands
    assert (program, command) == ("dbnet", "prepare")
    assert prepare(arguments) == 0


def run_console(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", words)
    return console.main()


@pytest.mark.parametrize("name", EXPECTED)
def test_example_of_a_format(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_prepare(name)
    words, num_images = EXPECTED[name]
    documents = {p.stem.removeprefix("textdet_"): p for p in Path("data/mine").glob("*.json")}
    lists = {part: json.loads(path.read_text())["data_list"] for part, path in documents.items()}
    assert {part: len(entries) for part, entries in lists.items()} == num_images
    assert [
        (item["polygon"], item["text"], item["ignore"]) for item in lists["train"][0]["instances"]
    ] == words


def test_every_printed_file_is_listed() -> None:
    for name in EXPECTED:
        example = read_section(name)
        assert example.contents.keys() <= set(example.names)
        others = set(example.names) - example.contents.keys() - {"my_data/fileState.txt"}
        assert all(name.endswith(SUFFIXES) for name in others)


def test_table_names_the_formats() -> None:
    assert re.findall(r"^\|.*\[`(\w+)`\]\(#(\w+)\) \|$", PAGE.read_text(), re.MULTILINE) == [
        (name, name) for name in EXPECTED
    ]


@pytest.mark.slow
def test_check_and_train_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check, browse = read_section("Check").commands
    train, train_part = read_section("Train").commands
    shorter = (
        "train_cfg.max_epochs=1 train_cfg.val_interval=1 train_dataloader.batch_size=1 "
        "train_dataloader.num_workers=0 train_dataloader.persistent_workers=False "
        "val_dataloader.num_workers=0 val_dataloader.persistent_workers=False "
        "train_dataloader.dataset.pipeline.1.size=64,64 "
        "val_dataloader.dataset.pipeline.1.scale=64,64"
    )
    weights = tmp_path / "weights.pth"  # the printed file's name has its checksum
    model = init_detector(CONFIG, cfg_options={"model.backbone.init_cfg": None})
    torch.save(model.state_dict(), weights)
    for name, commands in (("labelme", [check, browse, train]), ("paddleocr", [train_part])):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        run_prepare(name)
        for command in commands:
            words = [re.sub(r"^load_from=.*", f"load_from={weights}", word) for word in command]
            options = shorter.split() if command[1] == "train" else []
            assert run_console([*words, *options], monkeypatch) == 0
        assert "official: precision" in capsys.readouterr().out
    assert list((tmp_path / "labelme" / "samples").glob("*"))
    assert (tmp_path / "labelme" / "work_dirs" / "mine" / "epoch_1.pth").is_file()
    assert (tmp_path / "paddleocr" / "work_dirs" / "part" / "epoch_1.pth").is_file()
