import mmap
import sys

import pytest

from dbnet.utils import memory
from dbnet.utils.memory import FreedMemory, resident_bytes

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the figures are Linux's")


@LINUX
def test_written_memory_counts_while_it_is_there() -> None:
    with mmap.mmap(-1, 50 << 20) as memory:  # pages that no earlier array has left
        before = resident_bytes()
        memory.write(b"1" * len(memory))
        grown = resident_bytes() - before
    assert 40 << 20 < grown < 120 << 20  # the bytes written may be there too


@pytest.mark.parametrize(("grown", "given_back"), [(99, 0), (100, 1), (500, 1)])
def test_it_is_given_back_once_it_is_much(
    monkeypatch: pytest.MonkeyPatch, grown: int, given_back: int
) -> None:
    held = [1000]
    monkeypatch.setattr(memory, "resident_bytes", lambda: held[0])
    calls = []
    freed = FreedMemory(slack=100)
    freed._trim = lambda pad: calls.append(held.__setitem__(0, 1000)) or 1
    held[0] += grown
    assert freed.give_back() == bool(given_back)
    held[0] = 1050
    assert not freed.give_back()
    assert len(calls) == given_back


def test_what_others_hold_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [1000]
    monkeypatch.setattr(memory, "resident_bytes", lambda: held[0])
    freed = FreedMemory(slack=100)
    freed._trim = lambda pad: 1  # in vain
    held[0] = 5000
    assert [freed.give_back() for _ in range(3)] == [True, False, False]


def test_other_c_libraries_have_nothing_to_give_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert not FreedMemory(slack=0).give_back()
