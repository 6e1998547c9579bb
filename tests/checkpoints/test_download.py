import hashlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dbnet.checkpoints.download import cache_path, fetch
from dbnet.errors import UserError

CONTENT = bytes(range(256)) * 40  # 10240 bytes
HASHED = f"model-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Server(ThreadingHTTPServer):
    """Serves `content` under every name; the attributes make it misbehave."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.ranges: list[str | None] = []  # of the requests so far
        self.cuts: list[int] = []  # bytes after which the next connections break off
        self.knows_ranges = True
        self.changed = False  # since any date that a client may know
        self.status = 200
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request, client_address):
        """Stay silent."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server, wanted = self.server, self.headers["Range"]
        server.ranges.append(wanted)
        if server.status != 200:
            return self.send_error(server.status)
        first = int(wanted[len("bytes=") : -1]) if wanted and server.knows_ranges else 0
        if first and server.changed and self.headers["If-Unmodified-Since"]:
            return self.send_error(412)
        if first >= len(server.content):
            return self.send_error(416)
        body = server.content[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0) if server.cuts else None])
        return None

    def log_message(self, *args):
        """Stay silent."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def leave_part(url, content):
    """Leave what a killed download leaves."""
    part = cache_path(url).with_name(cache_path(url).name + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    return part


@pytest.mark.parametrize("name", [HASHED, "epoch_3.pth", "with%20space.pth?token=1"])
def test_url_is_downloaded_once(server, name):
    first = fetch(server.url + name)
    assert first.read_bytes() == CONTENT
    assert fetch(server.url + name) == first
    assert server.ranges == [None]
    assert [path.name for path in first.parent.iterdir()] == [first.name]  # no .part


def test_cache_is_that_of_torch_hub(server, tmp_path):
    assert fetch(server.url + HASHED) == tmp_path / "home/hub/checkpoints" / HASHED


def test_equal_names_of_different_urls_do_not_mix(server):
    first = fetch(server.url + "a/latest.pth")
    server.content = b"another"
    assert fetch(server.url + "b/latest.pth").read_bytes() == b"another"
    assert first.read_bytes() == CONTENT


def test_connection_that_breaks_off_is_resumed(server):
    server.cuts = [300, 500]
    assert fetch(server.url + HASHED).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300-", "bytes=800-"]


def test_connection_that_brings_nothing_more_is_given_up(server):
    server.cuts = [300, 0, 0, 0]
    with pytest.raises(UserError, match=r"http.*broke off after 300 of 10240 bytes"):
        fetch(server.url + HASHED)
    assert server.ranges == [None, "bytes=300-"]
    server.cuts = []
    assert fetch(server.url + HASHED).read_bytes() == CONTENT
    assert server.ranges[2:] == ["bytes=300-"]


def test_killed_download_is_resumed(server):
    leave_part(server.url + HASHED, CONTENT[:1000])
    assert fetch(server.url + HASHED).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_server_without_ranges_sends_it_all(server):
    server.knows_ranges = False
    leave_part(server.url + HASHED, CONTENT[:1000])
    assert fetch(server.url + HASHED).read_bytes() == CONTENT


def test_file_that_changed_meanwhile_is_downloaded_anew(server):
    leave_part(server.url + "latest.pth", b"old" * 100)
    server.changed = True
    assert fetch(server.url + "latest.pth").read_bytes() == CONTENT
    assert server.ranges == ["bytes=300-", None]


@pytest.mark.parametrize("part", [CONTENT, CONTENT + b"more"])
def test_part_that_leaves_nothing_to_ask_for_is_downloaded_anew(server, part):
    leave_part(server.url + HASHED, part)
    assert fetch(server.url + HASHED).read_bytes() == CONTENT


def test_wrong_hash_is_refused_and_not_kept(server):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(UserError, match=r"SHA-256 begins with \w+, not \w+ as its name"):
        fetch(server.url + HASHED)
    server.content = CONTENT
    assert fetch(server.url + HASHED).read_bytes() == CONTENT


def test_cached_file_that_got_damaged_is_noticed(server):
    fetch(server.url + HASHED).write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match="SHA-256"):
        fetch(server.url + HASHED)
    assert fetch(server.url + HASHED).read_bytes() == CONTENT


def test_several_processes_share_one_download(server):
    # flock tells open files apart, not processes, so threads do as well.
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(fetch, [server.url + HASHED] * 4))
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert server.ranges == [None]


def test_absent_url_is_one_line_and_asked_once(server):
    server.status = 404
    with pytest.raises(UserError, match=r"^http://.*/x\.pth: download failed: .*404") as caught:
        fetch(server.url + "x.pth")
    assert "\n" not in str(caught.value)
    assert server.ranges == [None]


def test_no_network_is_one_line(server):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/x.pth"
        with pytest.raises(UserError, match=r"^http://.*/x\.pth: download failed: .*refused"):
            fetch(url)


# ---- local files


def test_path_and_file_url(tmp_path):
    path = tmp_path / "with space.pth"
    path.write_bytes(CONTENT)
    assert fetch(str(path)) == path
    assert fetch(path.as_uri()) == path


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        (HASHED, True),
        (f"model-{hashlib.sha256(CONTENT).hexdigest()}.pth", True),
        ("model-00000000.pth", False),
        ("dbnet_r50dcnv2_fpnc_sbn_1200e_icdar2015_20210325-91cef9af.pth", False),
        ("model-00000000-copy.pth", True),  # no hash at its end
        ("model-20240131.pth", True),  # a date
        ("epoch_1200.pth", True),
    ],
)
def test_hash_in_the_name_of_a_local_file(tmp_path, name, fits):
    path = tmp_path / name
    path.write_bytes(CONTENT)
    if fits:
        assert fetch(str(path)) == path
    else:
        with pytest.raises(UserError, match=f"{name}: its SHA-256 begins with {HASHED[6:14]}, not"):
            fetch(str(path))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent.pth", "absent.pth: no such file"),
        ("file:///absent.pth", "file:///absent.pth: no such file"),
        ("/", "/: no such file"),
        ("s3://bucket/x.pth", "cannot read s3://"),
        ("torchvision://resnet17", "torchvision://resnet17: torchvision has no weights"),
    ],
)
def test_mistakes(source, message):
    with pytest.raises(UserError, match=message):
        fetch(source)


def test_without_a_home_the_way_out_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"cannot be made .*; set TORCH_HOME to a folder"):
        fetch("http://127.0.0.1:9/a-00000000.pth")
