import contextlib
import errno
import multiprocessing
import os
from pathlib import Path

import pytest

from dbnet.errors import SetupError
from dbnet.remote import cache


def kept(root: Path) -> list[Path]:
    return [p for p in (root / "cache" / "objects").glob("*/*") if p.is_file()]


def never():
    raise AssertionError("read again")


def test_an_object_is_read_once(tmp_path):
    assert cache.through("k", lambda: b"data") == b"data"
    assert cache.through("k", never) == b"data"
    [file] = kept(tmp_path)
    assert file.stat().st_size == 4 + 4
    assert cache.through("empty", lambda: b"") == cache.through("empty", never) == b""


def test_half_a_file_is_none(tmp_path):
    cache.through("k", lambda: b"data" * 100)
    [file] = kept(tmp_path)
    for damaged in (file.read_bytes()[:50], b"", bytes(404)):
        file.write_bytes(damaged)
        assert cache.through("k", lambda: b"anew") == b"anew"
        assert cache.through("k", never) == b"anew"


def test_what_was_not_used_for_longest_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("DBNET_CACHE_GB", str(1000e-9))  # 1000 bytes: 9 objects of 104
    for number in range(9):
        cache.through(str(number), lambda: bytes(100))
    for age, file in enumerate(sorted(kept(tmp_path), key=lambda p: p.stat().st_mtime)):
        os.utime(file, (1e9 + age, 1e9 + age))
    assert cache.through("0", never) == bytes(100)  # used just now
    cache.through("new", lambda: bytes(100))  # 10 x 104 > 1000: 900 remain, 8 objects of 104
    assert len(kept(tmp_path)) == 8
    read = []
    for key in ("0", "new", *"345678"):
        assert cache.through(key, never) == bytes(100)
    for key in "12":
        cache.through(key, lambda key=key: read.append(key) or b"")
    assert read == ["1", "2"]


def test_an_object_beyond_the_budget_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("DBNET_CACHE_GB", str(100e-9))
    assert cache.through("k", lambda: bytes(97)) == bytes(97)
    assert not kept(tmp_path)
    cache.through("k", lambda: bytes(96))
    assert len(kept(tmp_path)) == 1


def test_no_budget_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DBNET_CACHE_GB", "0")
    assert cache.through("k", lambda: b"1") == b"1"
    assert not (tmp_path / "cache").exists()
    monkeypatch.setenv("DBNET_CACHE_GB", "much")
    with pytest.raises(SetupError, match="DBNET_CACHE_GB=much: must be a number"):
        cache.through("k", never)


@pytest.mark.parametrize("where", ["full", "unwritable"])
def test_without_room_it_goes_on_with_one_warning(tmp_path, monkeypatch, caplog, where):
    cache._warn.cache_clear()
    if where == "full":

        def write_bytes(self: Path, data: bytes) -> int:
            self.touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(Path, "write_bytes", write_bytes)
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv("DBNET_CACHE", str(tmp_path / "file"))
    for key in "ab":
        assert cache.through(key, lambda: b"data") == b"data"
    warnings = [record.message for record in caplog.records]
    assert len(warnings) == 1 and "pictures are not kept there (DBNET_CACHE" in warnings[0]
    assert not kept(tmp_path)


def fill(number):
    for item in range(200):
        size = 50 + (item * 37 + number * 11) % 300
        key = f"{item % 60} {size}"
        assert cache.through(key, lambda size=size: bytes(size)) == bytes(size)
        root = cache.place("objects")
        files = [p for p in root.glob("*/*") if not p.name.startswith(".")]
        total = 0
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += file.stat().st_size
        assert total <= 2000 + 2 * 354, total  # counted while another process adds and removes


def test_two_processes_share_a_small_budget(tmp_path, monkeypatch):
    monkeypatch.setenv("DBNET_CACHE_GB", str(2000e-9))
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=fill, args=(number,)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0]
    files = kept(tmp_path)
    assert not [file for file in files if file.name.startswith(".")]
    total = sum(file.stat().st_size for file in files)
    assert 500 < total <= int((tmp_path / "cache" / "objects" / "total").read_text()) <= 2000
