"""Files from a path or URL: downloaded once, resumed when cut off, checked by their name's hash."""

import hashlib
import http.client
import logging
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO

import torch

from dbnet.checkpoints.model_folder import WEIGHTS, file_of, is_model_folder
from dbnet.errors import UserError
from dbnet.utils.files import locked, sha256
from dbnet.utils.log import log
from dbnet.weights import shipped_model

TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 20  # bytes

# `NAME-91cef9af.pth`, as OpenMMLab and torchvision publish files; `NAME-20240131.pth` has a date.
HASH_IN_NAME = re.compile(r"-(?!20\d{6}\.)([0-9a-f]{8,64})\.\w+$")


def fetch(source: str) -> Path:
    """Return the local file of a path, `file://`, `http(s)://` or "torchvision://resnet18".

    `dbnet://NAME` is a model of the package, see `dbnet.weights.SHIPPED`.

    Of a model's folder, on a disk or at `hf://`, it is the weights.

    Downloads go to the folder that torch.hub and mmengine use, so files from there are found.

    Raises:
        UserError: The file cannot be had, or its SHA-256 is not the one that its name announces.
    """
    scheme, separator, rest = source.partition("://")
    if scheme in ("http", "https"):
        return download(source)
    if scheme == "dbnet":
        return shipped_model(rest).checkpoint
    if is_model_folder(source):
        return file_of(source, WEIGHTS)
    if scheme == "torchvision":
        return _from_torchvision(rest)
    if separator and scheme != "file":
        raise UserError(f"{source}: cannot read {scheme}://; give a path or a URL of http(s)://")
    path = Path(
        urllib.request.url2pathname(urllib.parse.urlsplit(source).path) if separator else source
    ).expanduser()
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{source}: is a FIFO or device, not a file; copy its content to a file")
    if not path.is_file():
        raise UserError(f"{source}: no such file")
    if complaint := wrong_hash(path):
        raise UserError(f"{source}: {complaint}: download it again, or rename it if it is another")
    return path


def download(url: str) -> Path:
    """Return the cached copy of a URL; download it if there is none.

    Of several processes on one machine one downloads, the others wait for it.
    """
    target = cache_path(url)
    part = target.with_name(target.name + ".part")
    if not target.exists():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{url}: {target.parent} cannot be made ({error.strerror}); set TORCH_HOME to a "
                "folder that can be written to"
            ) from None
        try:
            with locked(part), part.open("ab") as file:
                if not target.exists():
                    log(f"downloading {url} to {target}")
                    _complete(url, file)
                    os.replace(part, target)
            part.unlink(missing_ok=True)  # of one who waited
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise UserError(f"{url}: download failed: {reason}") from None
    if complaint := wrong_hash(target):
        target.unlink(missing_ok=True)
        raise UserError(f"{url}: {complaint}; the copy is removed, the next run downloads it again")
    return target


def cache_path(url: str) -> Path:
    """Name the file that keeps a URL's content.

    A name with a hash is unique; others, such as `latest.pth`, get a folder for their URL.
    """
    name = urllib.parse.unquote(Path(urllib.parse.urlsplit(url).path).name) or "checkpoint"
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if HASH_IN_NAME.search(name) is None:
        folder /= hashlib.sha256(url.encode()).hexdigest()[:16]
    return folder / name


def wrong_hash(path: Path) -> str | None:
    """Describe how a file's SHA-256 differs from the one in its name; None if it does not."""
    match = HASH_IN_NAME.search(path.name)
    digest = sha256(path) if match is not None else ""
    if match is None or digest.startswith(match[1]):
        return None
    return f"its SHA-256 begins with {digest[: len(match[1])]}, not {match[1]} as its name says"


def _from_torchvision(name: str) -> Path:
    from mmengine.runner.checkpoint import get_torchvision_models  # imports the Runner

    models = get_torchvision_models()
    if name not in models:
        raise UserError(f"torchvision://{name}: torchvision has no weights of this name")
    try:
        return download(models[name])
    except UserError as error:
        raise UserError(f"torchvision://{name}: {error}") from None


def _complete(url: str, file: BinaryIO) -> None:
    """Append what `file` lacks of a URL's content; go on for as long as attempts bring bytes."""
    before = 0
    while True:
        try:
            return _append_rest(url, file)
        except (OSError, http.client.HTTPException) as error:
            have = file.seek(0, os.SEEK_END)
            if isinstance(error, urllib.error.HTTPError) or have <= before:
                raise
            log(f"{url}: {error}; continuing", level=logging.WARNING)
            before = have


def _append_rest(url: str, file: BinaryIO) -> None:
    """Append the bytes after those that `file` has, or replace these if the URL's have changed."""
    have = file.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"User-Agent": "dbnet"})
    if have:
        last_write = formatdate(os.fstat(file.fileno()).st_mtime, usegmt=True)
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Unmodified-Since", last_write)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if not have or error.code not in (412, 416):
            raise
        file.truncate(0)  # the URL has another file now, or none that goes beyond these bytes
        return _append_rest(url, file)
    with response:
        if response.status != 206:  # the server sends it all
            file.truncate(0)
        size = file.seek(0, os.SEEK_END) + int(response.headers.get("Content-Length") or 0)
        while chunk := response.read(CHUNK):
            file.write(chunk)
    if file.tell() < size:
        raise OSError(f"the connection broke off after {file.tell()} of {size} bytes")
    return None
