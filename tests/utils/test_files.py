import os
from pathlib import Path

import pytest

from dbnet.utils.files import refuse_special, replace_when_complete


def test_complete_file_gets_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with replace_when_complete(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.parent == tmp_path  # on the same disk, so that it can be renamed
        assert partial.name.startswith(".")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_interrupted_file_is_removed(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def write() -> None:
        with replace_when_complete(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_failure_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"), replace_when_complete(tmp_path / "a.json"):
        raise OSError("disk full")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_what_might_never_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="is a FIFO, not a file"):
        refuse_special(tmp_path / "fifo")
    with pytest.raises(OSError, match="is a device or socket, not a file"):
        refuse_special(os.devnull)
    refuse_special(tmp_path)
    with pytest.raises(FileNotFoundError):
        refuse_special(tmp_path / "nothing")
