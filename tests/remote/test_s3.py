"""S3 by s3fs against moto, where both are installed."""

import logging
import multiprocessing
import os

import pytest

from dbnet import remote
from dbnet.errors import UserError
from tests.remote.test_archives import CONTENT, read_in_child, write_zip

boto3 = pytest.importorskip("boto3")
pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def endpoint():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _bucket(endpoint, monkeypatch, tmp_path):
    for key, value in dict(
        AWS_ACCESS_KEY_ID="KEYID",
        AWS_SECRET_ACCESS_KEY="SECRET",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ENDPOINT_URL=endpoint,
    ).items():
        monkeypatch.setenv(key, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="pictures")
    content = {"set/a b#1?.jpg": b"picture", "set/deeper/2.jpg": b"2", "empty.jpg": b""}
    content["all.zip"] = write_zip(tmp_path / "all.zip").read_bytes()
    for name, data in content.items():
        client.put_object(Bucket="pictures", Key=name, Body=data)


def problem_of(url):
    with pytest.raises(UserError) as caught:
        remote.read(url)
    assert "SECRET" not in str(caught.value) and "KEYID" not in str(caught.value)
    return str(caught.value)


def test_objects_folders_and_archives():
    assert remote.read("s3://pictures/set/a b#1?.jpg") == b"picture"
    assert remote.list_inside("s3://pictures/set/") == ["s3://pictures/set/a b#1?.jpg"]
    for name, data in CONTENT.items():
        assert remote.read(f"zip://{name}::s3://pictures/all.zip") == data
    assert remote.local_copy("s3://pictures/set/deeper/2.jpg").read_bytes() == b"2"


def test_what_is_missing():
    assert problem_of("s3://pictures/none.jpg") == "not found (HTTP 404)"
    assert problem_of("s3://nobody/1.jpg") == "not found (HTTP 404)"
    assert "HTTP 416" in problem_of("s3://pictures/empty.jpg")  # no byte 0


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_have_their_own_connections(method, monkeypatch):
    monkeypatch.setenv("DBNET_CACHE_GB", "0")
    urls = ["s3://pictures/set/a b#1?.jpg", "zip://a.jpg::s3://pictures/all.zip"]
    expected = [b"picture", CONTENT["a.jpg"]]
    assert [remote.read(url) for url in urls] == expected
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=read_in_child, args=(urls, queue)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=60) for _ in children] == [expected] * 2
    for child in children:
        child.join()


def test_no_credentials_are_one_line(monkeypatch, tmp_path):
    import fsspec

    fsspec.filesystem("s3").clear_instance_cache()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "credentials" in problem_of("s3://pictures/1.jpg")
    fsspec.filesystem("s3").clear_instance_cache()
