import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dbnet.errors import UserError
from dbnet.labels import lazy
from dbnet.labels.entries import Instance
from dbnet.labels.lazy import NUM_AHEAD, LabelledImage, LazyEntries, read_pairs

NOTHING: list[Instance] = []


@pytest.fixture
def images(tmp_path: Path) -> list[LabelledImage]:
    """Images of 1, 2, ..., 20 pixels in width."""
    for width in range(1, 21):
        Image.new("RGB", (width, 3)).save(tmp_path / f"{width}.png")
    return [LabelledImage(tmp_path / f"{width}.png", NOTHING) for width in range(1, 21)]


def test_order_is_kept_and_reading_can_be_repeated(
    tmp_path: Path, images: list[LabelledImage]
) -> None:
    entries = LazyEntries(20, lambda: iter(images), tmp_path)
    assert len(entries) == 20
    for _ in range(2):
        assert [entry["width"] for entry in entries] == list(range(1, 21))


def test_images_are_opened_side_by_side(
    tmp_path: Path, images: list[LabelledImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four openings wait for one another, which would never end if one followed the other."""
    meeting = threading.Barrier(4, timeout=60)
    monkeypatch.setattr(lazy, "make_entry", lambda *_: {"party": meeting.wait()})
    assert len(list(LazyEntries(20, lambda: images, tmp_path))) == 20


def test_few_images_are_read_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_ones = []

    def read() -> Iterator[LabelledImage]:
        for number in range(10 * NUM_AHEAD):
            read_ones.append(number)
            yield LabelledImage(tmp_path / "a.png", NOTHING)

    monkeypatch.setattr(lazy, "make_entry", lambda *_: {})
    entries = iter(LazyEntries(10 * NUM_AHEAD, read, tmp_path))
    for _ in range(3 * NUM_AHEAD):
        next(entries)
    assert len(read_ones) <= 4 * NUM_AHEAD + 1


def test_unreadable_image_is_named_in_its_turn(tmp_path: Path, images: list[LabelledImage]) -> None:
    images[3].image.write_bytes(b"no png")
    entries = iter(LazyEntries(20, lambda: images, tmp_path))
    assert [next(entries)["width"] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(UserError, match=r"4\.png: not an image, or damaged"):
        next(entries)


def test_truths_are_read_before_any_image_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"content")
    seen = []

    def parse(content: bytes, source: str) -> list[Instance]:
        seen.append((content, source))
        return NOTHING

    entries = read_pairs([(tmp_path / "missing.png", tmp_path / "a.txt")], parse, tmp_path)
    assert seen == [(b"content", str(tmp_path / "a.txt"))]
    with pytest.raises(UserError, match=r"missing\.png"):
        list(entries)
