import pytest

from dbnet.remote import objects
from tests.remote.server import serving


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """A cache of each test's own, and short waits."""
    monkeypatch.setenv("DBNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(objects, "WAITS", (0.01, 0.01, 0.01))
    objects._dead.clear()


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    with serving(folder) as running:
        yield running
