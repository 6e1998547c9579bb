"""Pictures that are no files: objects at a URL, and members of archives.

`s3://bucket/1.jpg`, `https://host/1.jpg`, `zip://1.jpg::/data/a.zip`, `tar://1.jpg::s3://host/a.tar`

No handle outlives a call: archives are read by offset, and fsspec has file systems for each
process. So workers may be forked or spawned at any time.
"""

from pathlib import Path

from dbnet.errors import SetupError, UserError
from dbnet.remote import archives, cache, objects
from dbnet.remote.paths import is_archive_url, is_url, shown, split_member
from dbnet.utils.files import replace_when_complete

# The last ones are refused, in a line that says what to do.
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def read(url: str) -> bytes:
    """Return the bytes of a picture; those from elsewhere are kept on the disk, see `cache`.

    A `UserError`, which does not name it, if it cannot be had; a `SetupError` if that is no fault
    of the picture.
    """
    if not is_archive_url(url):
        return cache.through(url, lambda: objects.read(url))
    name, archive = split_member(url)
    if not is_url(archive):
        return archives.read_member(archive, name)
    key = f"{url} {archives.state_of(archive)}"
    return cache.through(key, lambda: archives.read_member(archive, name))


def holds_many(path: str) -> bool:
    """Check whether a path is an archive, or the URL of one or of a folder."""
    if is_archive_url(path):
        return not split_member(path)[0]
    place = shown(path)
    return place.lower().endswith(SUFFIXES) or (is_url(path) and place.endswith("/"))


def list_inside(path: str) -> list[str]:
    """List the URLs of what an archive holds, or of the objects directly in a folder."""
    try:
        if is_url(path) and path.endswith("/"):
            return objects.list_folder(path)
        archive = split_member(path)[1] if is_archive_url(path) else path
        kind = "tar" if shown(archive).lower().endswith(".tar") else "zip"
        return [f"{kind}://{name}::{archive}" for name in archives.list_members(archive)]
    except SetupError:
        raise
    except UserError as error:
        raise UserError(f"{shown(path)}: {error}") from None


def local_copy(url: str) -> Path:
    """Return a copy of a file at a URL, made anew whenever that has changed."""
    try:
        name, archive = split_member(url) if is_archive_url(url) else ("", "")
        state = archives.state_of(archive) if archive else objects.state_of(url)
        target = cache.place(f"files/{cache.digest(f'{url} {state}')}.json")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with replace_when_complete(target) as partial:
                content = archives.read_member(archive, name) if archive else None
                partial.write_bytes(objects.read(url, most=None) if content is None else content)
    except SetupError:
        raise
    except UserError as error:
        raise UserError(f"{shown(url)}: {error}") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"{cache.place('files')}: {reason}; set DBNET_CACHE to another") from None
    return target
