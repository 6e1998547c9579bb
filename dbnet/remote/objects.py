"""Bytes of objects at a URL: http(s) by Python itself, all else by fsspec; tried again if need be.

No message shows what a library says of an error, since that may name a URL with its secrets.
"""

import http.client
import logging
import netrc
import os
import random
import re
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from dbnet.errors import SetupError, UserError
from dbnet.remote.paths import WEB, refuse_password
from dbnet.utils.log import log

Result = TypeVar("Result")

MOST = 1 << 29  # bytes of a picture: those of the most pixels that are read, uncompressed
CHUNK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte
LONGEST = 300  # seconds for an object
WAITS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)  # seconds before each new attempt, on average
DEAD_FOR = (
    60  # seconds during which nobody waits for a server that did not answer through all these
)
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
VALIDATORS = (
    *("ETag", "etag", "Last-Modified", "LastModified", "mtime", "updated", "created"),
    *("last_modified", "md5Hash"),
)

_jitter = random.Random(os.urandom(8))  # that of training stays as it is
_dead: dict[str, float] = {}  # hosts, and when they were given up


def read(url: str, first: int = 0, end: int | None = None, most: int | None = MOST) -> bytes:
    """Read an object, or its bytes from `first` to before `end`, of which it may have `most`.

    A `UserError` if it cannot be had, also after some attempts, or is too large.
    """
    last = end if end is not None or most is None else first + most + 1

    def attempt() -> bytes:
        if WEB.match(url):
            return _read_web(url, first, end, last)
        return file_system(url).cat_file(url, start=first, end=last)

    data = persistently(attempt, url)
    if end is None and most is not None and len(data) > most:
        raise UserError(f"more than {most} bytes, the limit of a picture")
    return data


def _read_web(url: str, first: int, end: int | None, last: int | None) -> bytes:
    headers = {} if end is None else {"Range": f"bytes={first}-{end - 1}"}
    chunks, size, deadline = list[bytes](), 0, time.monotonic() + LONGEST
    with _ask(url, headers=headers) as response:
        if end is not None and response.status != 206:
            raise UserError("the server sends no parts of files; download the archive")
        stated = int(response.headers.get("Content-Length") or 0)
        wanted = None if last is None else last - first
        while (wanted is None or size < wanted) and (chunk := response.read1(CHUNK)):
            chunks.append(chunk)
            size += len(chunk)
            if time.monotonic() > deadline:
                raise TimeoutError
    if size < stated and (wanted is None or size < wanted):
        raise ConnectionError(None, "the connection broke off")
    return b"".join(chunks)[:wanted]


def _ask(url: str, **kwargs: Any) -> Any:
    plain = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", url)
    request = urllib.request.Request(quote(plain, safe="%/:=&?~#+!$,;'@()*[]"), **kwargs)
    request.add_header("User-Agent", "dbnet")
    try:
        known = netrc.netrc().authenticators(urlsplit(url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        known = None
    if known:
        login = b64encode(f"{known[0]}:{known[2]}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {login}")
    return urllib.request.urlopen(request, timeout=TIMEOUT)


def file_system(url: str) -> Any:
    """Return fsspec's file system of a URL, of this process; a `SetupError` if there is none."""
    scheme = url.partition("://")[0].lower()
    try:
        import fsspec

        return fsspec.filesystem(scheme)
    except ImportError as error:
        extra = f"pip install 'dbnet[{EXTRAS[scheme]}]'" if scheme in EXTRAS else str(error)
        raise SetupError(f"{scheme}:// cannot be read: {extra}") from None
    except ValueError:
        raise SetupError(f"{scheme}:// is not known; see docs/pictures.md") from None


def state_of(url: str) -> list[str]:
    """Describe an object's content by its size and by what changes with it."""

    def attempt() -> list[str]:
        if WEB.match(url):
            with _ask(url, method="HEAD") as response:
                found = dict(response.headers, size=response.headers.get("Content-Length"))
        else:
            found = file_system(url).info(url)
        known = [str(found[name]) for name in VALIDATORS if found.get(name)]
        return [str(found.get("size")), *(known or [str(time.time())])]

    return persistently(attempt, url)


def list_folder(url: str) -> list[str]:
    """List the objects directly in a folder; http has no such thing."""
    if WEB.match(url):
        raise UserError("a web server has no folders; name its pictures, or an archive")
    scheme = url.partition("://")[0]

    def attempt() -> list[str]:
        found = file_system(url).ls(url, detail=True)
        return [f"{scheme}://{f['name'].lstrip('/')}" for f in found if f["type"] == "file"]

    return persistently(attempt, url)


def persistently(attempt: Callable[[], Result], url: str) -> Result:
    """Call until it succeeds, or fails with a `UserError` in a way that time does not mend."""
    refuse_password(url)
    host = url.split("/")[2].split("?")[0]
    waits = () if time.monotonic() < _dead.get(host, 0.0) else WAITS
    for wait in (*waits, None):
        try:
            result = attempt()
        except UserError:
            raise
        except Exception as error:
            reason, status = reason_of(error), status_of(error)
            if not may_pass(error, status):
                raise UserError(reason) from None
            if wait is None:
                if status is None:
                    _dead[host] = time.monotonic() + DEAD_FOR
                raise UserError(f"{reason}; given up after {len(waits) + 1} attempts") from None
            if wait >= 4:
                log(f"{host}: {reason}; trying again in {wait:g} s", level=logging.WARNING)
            time.sleep(wait * _jitter.uniform(0.75, 1.25))
        else:
            _dead.pop(host, None)
            return result
    raise AssertionError


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status of an error of urllib, aiohttp, botocore or gcsfs, if it has one."""
    if error is None:
        return None
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for name in ("status", "code"):
        value = getattr(error, name, None)
        if str(value).isdecimal():
            return int(str(value))
    if isinstance(error, FileNotFoundError | PermissionError):
        return 404 if isinstance(error, FileNotFoundError) else 403
    return status_of(error.__cause__)


def may_pass(error: Exception, status: int | None) -> bool:
    """Return whether another attempt may succeed: 5xx, 408, 429, and trouble of connections."""
    if status is not None:
        return status >= 500 or status in (408, 429)
    reason = getattr(error, "reason", None)
    if isinstance(error, http.client.InvalidURL) or isinstance(
        reason, ssl.SSLCertVerificationError
    ):
        return False
    kind = type(error)
    if kind.__module__.split(".")[0] in ("aiohttp", "botocore", "aiobotocore"):
        return not re.search("Credential|Token|Profile|Param|Config|Region", kind.__name__)
    wrong = (IsADirectoryError, NotADirectoryError)
    passing = (OSError, EOFError, TimeoutError, http.client.HTTPException)
    return isinstance(error, passing) and not isinstance(error, wrong)


def reason_of(error: Exception) -> str:
    """Describe an error without what a library says of it."""
    status = status_of(error)
    if status in (401, 403):
        return f"no permission (HTTP {status}); docs/pictures.md says where credentials come from"
    if status is not None:
        said = http.client.responses.get(status, "").lower()
        return "not found (HTTP 404)" if status == 404 else f"HTTP {status} {said}".strip()
    inner = getattr(error, "reason", None)
    if isinstance(inner, Exception):
        return reason_of(inner)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower() if error.errno > 0 else "no such host"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
