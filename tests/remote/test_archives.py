import multiprocessing
import os
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from dbnet import remote
from dbnet.errors import UserError
from dbnet.images import find_images
from dbnet.labels.members import is_archive
from dbnet.remote import archives, objects

NAMES = ("a.jpg", "in/b c.jpg", "in/100% #1?.jpg", "in/größe.jpg", ".hidden/x.jpg")
CONTENT = {name: name.encode() * 500 for name in NAMES}


def write_zip(path, content=CONTENT, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("in/", b"")
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_tar(path, content=CONTENT, mode="w"):
    source = path.with_suffix(".part")
    with tarfile.open(path, mode) as archive:
        archive.addfile(tarfile.TarInfo("in"))  # an empty file, later a folder's name
        for name, data in content.items():
            source.write_bytes(data)
            member = archive.gettarinfo(source)
            member.name = name  # as it is
            archive.addfile(member, source.open("rb"))
    return path


WRITERS = {
    "stored.zip": write_zip,
    "deflated.zip": lambda path: write_zip(path, method=zipfile.ZIP_DEFLATED),
    "all.tar": write_tar,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_members_are_read_by_any_name(tmp_path, kind):
    path = WRITERS[kind](tmp_path / kind)
    for name, data in CONTENT.items():
        assert remote.read(f"{kind[-3:]}://{name}::{path}") == data
    visible = [f"{kind[-3:]}://{name}::{path}" for name in NAMES[:4]]
    assert [url for url in remote.list_inside(str(path)) if url.endswith(f"jpg::{path}")] == visible


def problem_of(url):
    with pytest.raises(UserError) as caught:
        remote.read(url)
    return str(caught.value)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_member_or_an_archive_that_is_not_there(tmp_path, kind):
    path = WRITERS[kind](tmp_path / kind)
    assert problem_of(f"zip://b.jpg::{path}") == "is not in the archive"
    assert problem_of(f"zip://~.jpg::{path}") == "is not in the archive"
    assert problem_of(f"zip://a.jpg::{path}x") == "the archive: no such file or directory"
    assert "write zip://NAME::ARCHIVE" in problem_of("zip://a.jpg")
    assert "unpack the outer one" in problem_of(f"zip://a.jpg::zip://b.zip::{path}")


@pytest.mark.parametrize("kind", WRITERS)
def test_an_archive_that_is_cut_off_is_scanned_once(tmp_path, kind, monkeypatch):
    path = WRITERS[kind](tmp_path / kind)
    # A tar within its third file: 1.5 KB of heads, then contents padded to 512 bytes.
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    scans = []
    scan = archives.scan
    monkeypatch.setattr(archives, "scan", lambda archive: scans.append(1) or scan(archive))
    for _ in range(2):
        assert "no zip or tar, damaged, cut off" in problem_of(f"zip://a.jpg::{path}")
    assert scans == [1]
    with pytest.raises(UserError, match=f"^{path}: the archive is no zip"):
        remote.list_inside(str(path))


def test_a_compressed_tar_is_refused(tmp_path):
    path = write_tar(tmp_path / "a.tar", mode="w:gz")
    assert "or compressed" in problem_of(f"tar://a.jpg::{path}")


def test_links_in_a_tar(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"one")
    os.link(tmp_path / "a" / "1.jpg", tmp_path / "a" / "2.jpg")
    for name, target in (("b.jpg", "a/1.jpg"), ("a/c.jpg", "../b.jpg"), ("d.jpg", "gone.jpg")):
        (tmp_path / name).symlink_to(target)
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name in ("a/1.jpg", "a/2.jpg", "b.jpg", "a/c.jpg", "d.jpg"):
            file.add(tmp_path / name, name)
    urls = remote.list_inside(str(tmp_path / "a.tar"))
    assert [remote.read(url) for url in urls[:4]] == [b"one"] * 4
    assert problem_of(urls[4]) == "is not in the archive"


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "a.tar.xz"])
def test_a_compressed_tar_is_named_as_one(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    with pytest.raises(UserError, match=r"a\..*: the archive is .* compressed \(gunzip it\)"):
        find_images([str(tmp_path / name)])
    assert is_archive(tmp_path / name)


@pytest.mark.parametrize("kind", ["stored.zip", "deflated.zip"])
def test_damage_of_a_zips_member_is_found(tmp_path, kind):
    path = WRITERS[kind](tmp_path / kind)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("a.jpg")
    content[info.header_offset + 30 + len("a.jpg") + 5] ^= 0xFF
    path.write_bytes(content)
    assert problem_of(f"zip://a.jpg::{path}") == "is damaged or cut off in the archive"
    assert remote.read(f"zip://in/b c.jpg::{path}") == CONTENT["in/b c.jpg"]


def test_encrypted_members_and_other_compressions(tmp_path):
    path = write_zip(tmp_path / "a.zip")
    content = path.read_bytes()
    place = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)  # of a.jpg in the directory
    flags = struct.unpack_from("<H", content, place + 8)[0] | 1
    path.write_bytes(content[: place + 8] + struct.pack("<H", flags) + content[place + 10 :])
    assert problem_of(f"zip://a.jpg::{path}").startswith("is encrypted; write the archive anew")
    path = write_zip(tmp_path / "b.zip", method=zipfile.ZIP_BZIP2)
    assert problem_of(f"zip://a.jpg::{path}").startswith("is compressed by method 12;")


@pytest.mark.parametrize("kind", WRITERS)
def test_a_member_larger_than_the_limit_is_not_read(tmp_path, kind, monkeypatch):
    path = WRITERS[kind](tmp_path / kind)
    monkeypatch.setattr(objects, "MOST", 2499)
    monkeypatch.setattr(archives, "read_range", None)  # not called
    assert problem_of(f"zip://a.jpg::{path}").startswith("has 2500 bytes, more than 2499")


def test_a_bomb_gives_no_more_than_it_states(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a.jpg": bytes(1 << 20)}, zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    place = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1) + 24  # the true size
    path.write_bytes(content[:place] + struct.pack("<I", 1000) + content[place + 4 :])
    assert problem_of(f"zip://a.jpg::{path}") == "is damaged or cut off in the archive"


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/etc/a.jpg", "C:\\a.jpg", "a/..\\..\\b.jpg", "a::b.jpg"]
)
@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_names_that_lead_out_are_refused_in_lists(tmp_path, name, write):
    path = write(tmp_path / "a.zip", {"1.jpg": b"1", name: b"2"})
    with pytest.raises(UserError, match=r"a\.zip: the entry '.*' leaves the folder, or has ::"):
        remote.list_inside(str(path))
    assert remote.read(f"zip://1.jpg::{path}") == b"1"


def test_backslashes_of_windows_are_slashes(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"in\\a.jpg": b"1"})
    assert remote.read(f"zip://in\\a.jpg::{path}") == remote.read(f"zip://in/a.jpg::{path}") == b"1"


@pytest.mark.parametrize("write", [write_zip, write_tar])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_two_members_of_a_name_the_last_counts(tmp_path, write):
    class Twice(dict):
        def items(self):
            return [("a.jpg", b"first"), ("b.jpg", b"b"), ("a.jpg", b"second")]

    assert remote.read(f"zip://a.jpg::{write(tmp_path / 'a.zip', Twice())}") == b"second"


def test_empty_archives(tmp_path):
    for path in (write_zip(tmp_path / "a.zip", {}), tmp_path / "b.tar"):
        if path.suffix == ".tar":
            tarfile.open(path, "w").close()
        assert problem_of(f"zip://a.jpg::{path}") == "is not in the archive"
        assert remote.list_inside(str(path)) == []


def test_the_index_is_made_once_and_anew_for_another_archive(tmp_path, monkeypatch):
    path, calls = write_tar(tmp_path / "a.tar"), []
    scan = archives.scan
    monkeypatch.setattr(archives, "scan", lambda archive: calls.append(1) or scan(archive))
    url = f"tar://a.jpg::{path}"
    assert remote.read(url) == remote.read(url) == CONTENT["a.jpg"]
    archives._index.cache_clear()  # as in another process
    assert remote.read(url) == CONTENT["a.jpg"]
    assert len(calls) == 1
    assert isinstance(archives.index_of(str(path)), np.memmap)
    write_tar(path, {"b.jpg": b"new", "a.jpg": b"other"})
    assert remote.read(url) == b"other"
    assert len(calls) == 2


def test_a_damaged_index_is_made_anew(tmp_path):
    path = write_tar(tmp_path / "a.tar")
    remote.read(f"tar://a.jpg::{path}")
    [kept] = (tmp_path / "cache" / "archives").glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:100])
    archives._index.cache_clear()
    assert remote.read(f"tar://a.jpg::{path}") == CONTENT["a.jpg"]


def test_without_a_place_for_the_index(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DBNET_CACHE", str(tmp_path / "file"))  # not even root can write into it
    path = write_tar(tmp_path / "a.tar")
    assert remote.read(f"tar://a.jpg::{path}") == CONTENT["a.jpg"]


def read_in_child(urls, queue):
    queue.put([remote.read(url) for url in urls])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_forked_and_spawned_processes_read(tmp_path, server, method):
    write_zip(server.folder / "a.zip")
    local = write_tar(tmp_path / "a.tar")
    (server.folder / "a.jpg").write_bytes(CONTENT["a.jpg"])
    urls = [f"tar://a.jpg::{local}", f"zip://a.jpg::{server.url}/a.zip", f"{server.url}/a.jpg"]
    assert [remote.read(url) for url in urls] == [CONTENT["a.jpg"]] * 3
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=read_in_child, args=(urls, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=60) for _ in children] == [[CONTENT["a.jpg"]] * 3] * 2
    for child in children:
        child.join()


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_an_archive_at_a_url_is_read_by_parts(server, write):
    large = {f"{i}.jpg": os.urandom(100_000) for i in range(30)}
    path = write(server.folder / "a b.zip", large)
    url = f"zip://7.jpg::{server.url}/a b.zip"
    assert remote.read(url) == large["7.jpg"]
    if write is write_zip:  # the directory, not the 3 MB
        assert server.sent < 1_000_000
    asked = sum(server.asked.values())
    assert remote.read(url) == large["7.jpg"]
    assert sum(server.asked.values()) == asked  # from the cache
    assert len(remote.list_inside(f"zip://::{server.url}/{path.name}")) >= 30


def test_a_server_without_parts(server):
    write_zip(server.folder / "a.zip")
    server.ranges = False
    assert "the server sends no parts of files" in problem_of(f"zip://a.jpg::{server.url}/a.zip")
