"""URLs as text: tell them from paths, join and name them, and leave their secrets out."""

import os
import posixpath
import re
from pathlib import PureWindowsPath
from urllib.parse import quote, unquote, urlsplit

from dbnet.errors import SetupError, UserError

SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
ARCHIVE = re.compile(r"(zip|tar)://")
WEB = re.compile(r"https?://", re.IGNORECASE)
PASSWORD = re.compile(r"(?<=://)[^/?#@]*:[^/?#@]*@")
NO_NAME = re.compile(r'[\x00-\x1f<>:"/\\|?*]')  # on some system
LONGEST = 60  # characters of a name, of 4 bytes at most


def is_url(path: str) -> bool:
    """Return whether a picture is no file of this machine.

    >>> [is_url(path) for path in ("s3://b/1.jpg", "zip://1.jpg::a.zip", "C:/1.jpg", "a/1.jpg")]
    [True, True, False, False]
    """
    return SCHEME.match(path) is not None


def is_archive_url(path: str) -> bool:
    """Return whether it is a member of an archive."""
    return ARCHIVE.match(path) is not None


def split_member(url: str) -> tuple[str, str]:
    """Divide the URL of a member into its name and the archive.

    >>> split_member("zip://a/1.jpg::/data/a.zip")
    ('a/1.jpg', '/data/a.zip')
    """
    name, separator, archive = url.partition("://")[2].partition("::")
    if not separator or not archive:
        raise UserError("is no member of an archive: write zip://NAME::ARCHIVE")
    if is_archive_url(archive):
        raise UserError("is in an archive within an archive; unpack the outer one")
    return name, archive


def join(folder: str, name: str) -> str:
    """Find what a name means that is relative to a folder; either may be a URL.

    >>> join("s3://bucket/set", "a b.jpg"), join("https://host/set?key", "a b.jpg")
    ('s3://bucket/set/a b.jpg', 'https://host/set/a%20b.jpg?key')
    >>> join("zip://::a.zip", "imgs/1.jpg"), join("data", "zip://1.jpg::a.zip")
    ('zip://imgs/1.jpg::a.zip', 'zip://1.jpg::data/a.zip')
    """
    if is_archive_url(name) and "::" in name:
        member, _, archive = name.partition("::")
        return f"{member}::{join(folder, archive)}"
    if is_url(name) or not is_url(folder) or os.path.isabs(name):
        return name if is_url(name) else os.path.join(folder, name)
    if WEB.match(folder):
        parts = urlsplit(folder)
        return parts._replace(path=_below(parts.path, quote(name))).geturl()
    first, separator, archive = folder.partition("::")
    scheme, _, path = first.partition("://")
    if separator:
        return f"{scheme}://{_below(path, name)[1:]}::{archive}"
    host, _, path = path.partition("/")
    return f"{scheme}://{host}{_below(path, name)}"


def _below(folder: str, name: str) -> str:
    """Join two paths; `..` leads to the root at most."""
    return posixpath.normpath(f"/{folder.strip('/')}/{name}").replace("//", "/")


def shown(path: str) -> str:
    """Return a path as it may be seen: without user, password and query of a URL.

    >>> shown("zip://1.jpg::https://me:secret@host/a.zip?signature=1")
    'zip://1.jpg::https://host/a.zip'
    """
    if not is_url(path):
        return path
    parts = path.split("::", 1) if is_archive_url(path) else [path]
    parts[-1] = PASSWORD.sub("", parts[-1])
    if WEB.match(parts[-1]):
        parts[-1] = re.split(r"[?#]", parts[-1])[0]
    return "::".join(parts)


def refuse_password(url: str) -> None:
    """Refuse a URL with a user and a password, which a log of the config would show."""
    if is_url(url) and PASSWORD.search(url.split("::", 1)[-1]):
        raise SetupError(
            f"{shown(url)}: leave user and password out; ~/.netrc is the place for them"
        )


def file_name(path: str) -> str:
    """Return the name of a picture's file; one from a URL can be written on any system.

    >>> file_name("https://host/a/what%3F%2F..%2Fnow.jpg?key=1"), file_name("zip://a/1.jpg::b.zip")
    ('now.jpg', '1.jpg')
    """
    if not is_url(path):
        return os.path.basename(path)
    first = shown(path).split("::")[0] if is_archive_url(path) else shown(path)
    name = PureWindowsPath(unquote(first) if WEB.match(first) else first).name
    stem, suffix = os.path.splitext(NO_NAME.sub("_", name))
    return f"{stem[:LONGEST]}{suffix[:LONGEST]}" or "picture"
