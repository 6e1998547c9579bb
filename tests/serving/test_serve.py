"""`dbnet serve`: answers, limits, hostile clients, and a clean end; over real sockets."""

import http.client
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from dbnet.errors import UserError

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

from dbnet.cli.serve import listen  # noqa: E402
from dbnet.serving.app import Limits, create_app  # noqa: E402
from dbnet.serving.batcher import Batcher  # noqa: E402

LIMITS = Limits(megabytes=0.2, megapixels=0.05, images=3, seconds=3.0)
MAX_WAITING = 4
QUAD = np.float32([[1, 2], [30.126, 2], [30, 9], [1, 9]])


class Detector:
    """Finds one text whose score is the image's mean; an image of 13 rows makes it fail."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()

    def stream(self, images, batch_size):
        self.gate.wait()
        self.batches.append(len(images))
        if any(len(image) == 13 for image in images):
            raise RuntimeError("cannot do 13 rows")
        for image in images:
            yield dict(polygons=[QUAD], scores=np.float32([image.mean() / 255]))


@pytest.fixture
def server():
    """A running server: its detector, batcher and port."""
    detector = Detector()
    batcher = Batcher(detector, batch_size=2, max_waiting=MAX_WAITING)
    app = create_app(batcher, LIMITS, dict(config="none"))
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, log_level="critical")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs=dict(sockets=[listener]))
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield detector, batcher, listener.getsockname()[1]
    detector.gate.set()
    running.should_exit = True
    thread.join()


def png(height=20, width=40, value=51):
    return cv2.imencode(".png", np.full((height, width, 3), value, np.uint8))[1].tobytes()


def send(port, body=b"", method="POST", path="/detect", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def form(*files, boundary="xyz"):
    head = '--{}\r\nContent-Disposition: form-data; name="f"; filename="{}"\r\n\r\n'
    parts = [head.format(boundary, name).encode() + data + b"\r\n" for name, data in files]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


MULTIPART = dict(Content_Type="multipart/form-data; boundary=xyz")


def test_an_image_as_the_body(server):
    status, answer = send(server[2], png())
    assert status == 200
    expected = dict(
        name="image", width=40, height=20, polygons=[[1, 2, 30.13, 2, 30, 9, 1, 9]], scores=[0.2]
    )
    assert answer == dict(images=[expected])


def test_files_of_a_form_come_back_in_order_and_a_bad_one_costs_no_other(server):
    files = form(("a.png", png(value=255)), ("b.png", b"no image"), ("c.png", png(value=0)))
    status, answer = send(server[2], files, **MULTIPART)
    assert status == 200
    first, second, third = answer["images"]
    assert (first["name"], first["scores"], third["scores"]) == ("a.png", [1.0], [0.0])
    assert second == dict(name="b.png", error="not an image, or damaged")


def test_what_fails_in_the_network_costs_no_other_request(server):
    detector, _, port = server
    detector.gate.clear()
    with ThreadPoolExecutor() as clients:
        answers = [clients.submit(send, port, png(height)) for height in (20, 13, 21)]
        time.sleep(0.5)
        detector.gate.set()
    statuses = [answer.result()[0] for answer in answers]
    assert statuses == [200, 500, 200]
    assert answers[1].result()[1] == {"detail": "image: failed: RuntimeError"}


def test_what_arrives_together_is_one_batch(server):
    detector, _, port = server
    detector.gate.clear()
    with ThreadPoolExecutor() as clients:
        answers = [clients.submit(send, port, png()) for _ in range(4)]
        while server[1].waiting < 4:
            time.sleep(0.01)
        time.sleep(0.3)
        detector.gate.set()
    assert [answer.result()[0] for answer in answers] == [200] * 4
    assert sum(detector.batches) == 4 and max(detector.batches) == 2


def bomb(width=60_000, height=60_000):
    """A PNG of few bytes whose header states 3.6 gigapixels."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")


CUT = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (100, 100, 3)))[1].tobytes()


@pytest.mark.parametrize(
    ("body", "headers", "status", "line"),
    [
        (b"", {}, 400, "no image"),
        (b"text", {}, 422, "not an image"),
        (b"GIF89a" + bytes(50), {}, 422, "image: "),
        (CUT[: len(CUT) // 2], {}, 422, "damaged"),
        (bomb(), {}, 422, "limit"),
        (bomb(300, 300), {}, 422, "300x300 pixels, more than 0.05 million"),
        (bytes(200_001), {}, 413, "more than 200000 bytes"),
        (form(*[("a.png", png())] * 4), MULTIPART, 413, "more than 3 images|at most 3"),
        (form(*[("a.png", png())] * 9), MULTIPART, 413, "more than 3 images"),
        (form(), MULTIPART, 400, "no image"),
        (b"--xyz\r\nbroken", MULTIPART, 400, "broken form|no image"),
        (form(("a.png", png())), dict(Content_Type="multipart/form-data"), 400, "broken form"),
        (form(("a.png", png()), boundary="other"), MULTIPART, 400, "broken form|no image"),
        (b'{"url": "http://example.com/a.jpg"}', dict(Content_Type="application/json"), 422, "not"),
        (b'{"path": "/etc/passwd"}', dict(Content_Type="application/json"), 422, "not an image"),
    ],
)
def test_refused_in_one_line_and_the_server_goes_on(server, body, headers, status, line):
    answered, answer = send(server[2], body, **headers)
    assert answered == status
    assert re.search(line, answer["detail"])
    assert "\n" not in answer["detail"]
    assert send(server[2], png())[0] == 200
    assert server[1].waiting == 0


def raw(port, data, wait=20.0):
    """Send bytes as they are; return the status line, or what is left of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(data)
        return connection.recv(1000).split(b"\r\n")[0].decode()


HEAD = b"POST /detect HTTP/1.1\r\nHost: x\r\n"


def test_a_body_that_never_ends_is_cut_off(server):
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    with socket.create_connection(("127.0.0.1", server[2]), timeout=5) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 7)
        assert b" 413 " in connection.recv(1000)
    assert " 413 " in raw(server[2], HEAD + b"Content-Length: 999999999\r\n\r\n")
    assert send(server[2], png())[0] == 200


def test_a_body_that_does_not_arrive_is_not_waited_for(server):
    answer = raw(server[2], HEAD + b"Content-Length: 1000\r\n\r\nabc")
    assert " 408 " in answer
    assert send(server[2], png())[0] == 200


def test_clients_that_leave_are_forgotten(server):
    for data in (b"", b"GARBAGE\r\n\r\n", HEAD, HEAD + b"Content-Length: 1000\r\n\r\nabc"):
        with socket.create_connection(("127.0.0.1", server[2])) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
    assert send(server[2], png())[0] == 200
    assert server[1].waiting == 0


def test_more_than_may_wait_is_refused_at_once(server):
    detector, batcher, port = server
    detector.gate.clear()
    with ThreadPoolExecutor() as clients:
        held = [clients.submit(send, port, png()) for _ in range(MAX_WAITING)]
        while batcher.waiting < MAX_WAITING:
            time.sleep(0.01)
        assert send(port, png()) == (503, {"detail": "too many images wait, try again later"})
        assert send(port, method="GET", path="/health")[1] == dict(status="ok", waiting=4)
        detector.gate.set()
    assert [answer.result()[0] for answer in held] == [200] * MAX_WAITING
    assert batcher.waiting == 0


def test_an_answer_that_takes_too_long_is_given_up(server):
    detector, _, port = server
    detector.gate.clear()
    assert send(port, png()) == (504, {"detail": "not finished within 3 s"})
    detector.gate.set()
    assert send(port, png())[0] == 200


def test_card_and_documentation(server):
    port = server[2]
    assert send(port, method="GET", path="/model") == (200, dict(config="none"))
    _, document = send(port, method="GET", path="/openapi.json")
    described = document["paths"]["/detect"]["post"]
    assert {"200", "408", "413", "422", "503", "504"} <= described["responses"].keys()
    assert "multipart/form-data" in described["requestBody"]["content"]
    assert send(port, method="GET", path="/detect")[0] == 405


def test_a_taken_port_is_one_line():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port}: Address already in use; choose"):
            listen("127.0.0.1", port)
    with pytest.raises(UserError, match=r"--host nowhere\.invalid"):
        listen("nowhere.invalid", 0)


COMMAND = "import sys; from dbnet.cli.main import main; sys.argv[0] = 'dbnet'; sys.exit(main())"


def test_sigterm_lets_requests_finish(tmp_path):
    """The command itself, with the model of the package."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", "--port", "0", "--test-size", "320,320"],
        env=os.environ | dict(OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = next(line for line in process.stdout if line.startswith("listening at"))
    port = int(line.split("127.0.0.1:")[1].split(",")[0])
    picture = np.full((200, 400, 3), 255, np.uint8)
    cv2.putText(picture, "Exit 7", (60, 120), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 0), 5)
    body = cv2.imencode(".png", picture)[1].tobytes()
    with ThreadPoolExecutor() as clients:
        answers = [clients.submit(send, port, body) for _ in range(6)]
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        statuses = {answer.result()[0] for answer in answers}
    assert statuses == {200}
    assert all(len(answer.result()[1]["images"][0]["scores"]) >= 1 for answer in answers)
    assert process.wait(20) == 0
    assert "Traceback" not in process.stderr.read()
