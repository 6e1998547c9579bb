import sys
import time

import pytest

from dbnet import remote
from dbnet.errors import SetupError, UserError
from dbnet.remote import objects
from tests.remote.server import serving

PICTURE = bytes(range(256)) * 40


@pytest.fixture
def picture(server):
    (server.folder / "1.jpg").write_bytes(PICTURE)
    return f"{server.url}/1.jpg"


def problem_of(url):
    with pytest.raises(UserError) as caught:
        remote.read(url)
    return str(caught.value)


@pytest.mark.parametrize("fault", [500, 503, 429, 408, "half", "close"])
def test_what_passes_is_tried_again(server, picture, fault):
    server.faults["1.jpg"] = [fault, fault]
    assert remote.read(picture) == PICTURE
    assert server.asked["1.jpg"] == 3


@pytest.mark.parametrize("fault", [400, 401, 403, 404, 410])
def test_what_does_not_pass_is_not(server, picture, fault):
    server.faults["1.jpg"] = [fault]
    assert f"HTTP {fault}" in problem_of(picture)
    assert server.asked["1.jpg"] == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (503, "HTTP 503 service unavailable; given up after 4 attempts"),
        ("half", "connection error; given up after 4 attempts"),
    ],
)
def test_attempts_have_an_end(server, picture, fault, reason):
    server.faults["1.jpg"] = [fault] * 9
    assert problem_of(picture) == reason
    assert server.asked["1.jpg"] == 4


def test_nobody_waits_again_for_a_dead_server(tmp_path, monkeypatch):
    with serving(tmp_path) as server:
        url = f"{server.url}/1.jpg"
    monkeypatch.setattr(objects, "WAITS", (0.05,) * 4)
    assert problem_of(url) == "connection refused; given up after 5 attempts"
    start = time.monotonic()
    assert problem_of(url) == "connection refused; given up after 1 attempts"
    assert time.monotonic() - start < 0.15


def test_an_endless_body_ends_at_the_limit(server, picture, monkeypatch):
    monkeypatch.setattr(objects, "MOST", 1_000_000)
    monkeypatch.setattr(objects.read, "__defaults__", (0, None, 1_000_000))
    server.faults["1.jpg"] = ["endless"]
    assert problem_of(picture) == "more than 1000000 bytes, the limit of a picture"
    assert server.broken_off.wait(10)


def test_a_slow_body_ends_at_its_time(server, picture, monkeypatch):
    monkeypatch.setattr(objects, "LONGEST", -1)
    assert problem_of(picture) == "timeout error; given up after 4 attempts"


def test_names_are_sent_as_they_are_meant(server):
    from dbnet.remote.paths import join

    for name in ("a b.jpg", "100% #1?.jpg", "größe.jpg", "%41.jpg"):
        (server.folder / name).write_bytes(name.encode())
        assert remote.read(join(server.url, name)) == name.encode()
    for name in ("a b.jpg", "größe.jpg", "100% %231%3F.jpg"):  # of whole URLs, as browsers do
        assert remote.read(f"{server.url}/{name}")


def test_no_message_has_a_secret(server, picture, caplog, monkeypatch):
    (server.folder / "1.jpg").unlink()
    from dbnet.images import read_image

    for url in (f"{picture}?signature=SECRET", f"zip://a.jpg::{picture}?signature=SECRET"):
        with pytest.raises(UserError) as caught:
            read_image(url)
        assert "SECRET" not in str(caught.value) + caplog.text and picture in str(caught.value)
        assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_password_in_a_url_is_refused(server, picture):
    url = picture.replace("//", "//me:SECRET@")
    with pytest.raises(SetupError, match="netrc") as caught:
        remote.read(url)
    assert "SECRET" not in str(caught.value) and not server.asked


def test_a_password_comes_from_netrc(server, picture, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    remote.read(picture)
    assert server.headers[-1]["Authorization"] == "Basic bWU6c2VjcmV0"  # me:secret


def test_a_missing_package_names_its_extra(monkeypatch):
    for scheme, package, extra in (("s3", "s3fs", "s3"), ("gcs", "gcsfs", "gs")):
        monkeypatch.setitem(sys.modules, package, None)  # cannot be imported
        with pytest.raises(SetupError, match=rf"{scheme}:// .*: pip install 'dbnet\[{extra}\]'"):
            remote.read(f"{scheme}://bucket/1.jpg")
    with pytest.raises(SetupError, match="nope:// is not known"):
        remote.read("nope://1.jpg")


def test_any_file_system_of_fsspec():
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe({"/set/a b#1?.jpg": PICTURE, "/set/deeper/2.jpg": b"2"})
    assert remote.read("memory://set/a b#1?.jpg") == PICTURE
    assert objects.read("memory://set/a b#1?.jpg", 10, 20) == PICTURE[10:20]
    assert remote.list_inside("memory://set/") == ["memory://set/a b#1?.jpg"]
    assert problem_of("memory://set/none.jpg") == "not found (HTTP 404)"
    with pytest.raises(UserError, match="a web server has no folders"):
        remote.list_inside("http://127.0.0.1/set/")


def test_a_copy_follows_its_original():
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/set/train.json", b"1")
    first = remote.local_copy("memory://set/train.json")
    assert first.read_bytes() == b"1" and remote.local_copy("memory://set/train.json") == first
    memory.pipe("/set/train.json", b"22")
    assert remote.local_copy("memory://set/train.json").read_bytes() == b"22"
    with pytest.raises(UserError, match=r"^memory://set/none\.json: not found"):
        remote.local_copy("memory://set/none.json")
