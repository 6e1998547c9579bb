"""Atomic writes, and the files in folders that are meant to be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath


@contextmanager
def replace_when_complete(path: Path) -> Iterator[Path]:
    """Yield a name to write to, and rename that file to `path` when the block ends.

    The name is hidden and in the same folder. If an exception leaves the block, the file is removed
    and an earlier one at `path` stays as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def is_visible(path: PurePath) -> bool:
    """Return whether no part of a relative path is hidden or the `__MACOSX` of macOS's zips.

    >>> [is_visible(PurePath(name)) for name in ("a/b.jpg", "a/.b.jpg", "__MACOSX/b.jpg")]
    [True, False, False]
    """
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
