"""A web server on the loopback that fails as it is told to."""

import http.server
import threading
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        server = self.server
        name = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/")
        server.asked[name] += 1
        server.headers.append(dict(self.headers))
        fault = server.faults[name].pop(0) if server.faults[name] else None
        path = server.folder / name
        if isinstance(fault, int) or not path.is_file():
            self.answer(fault or 404, b"no")
        elif fault == "close":
            self.close_connection = True
        elif fault == "half":
            self.answer(200, path.read_bytes(), cut=2)
            self.close_connection = True
        elif fault == "endless":
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                server.broken_off.set()
        else:
            self.answer_range(path.read_bytes())

    def answer_range(self, content):
        wanted = self.headers.get("Range")
        if not wanted or not self.server.ranges:
            return self.answer(200, content)
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        return self.answer(206, content[first : last + 1])

    def answer(self, status, content, cut=1):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // cut])
            self.server.sent += len(content) // cut


@contextmanager
def serving(folder: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve a folder; `faults` lists for a name what happens to the next requests."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.folder, server.ranges, server.sent, server.headers = folder, True, 0, []
    server.asked, server.faults = Counter(), defaultdict(list)
    server.broken_off = threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
