import mmap
import os
import subprocess
import sys
from pathlib import Path

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


PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
FAULTS = """
import resource
import torch
from dbnet.utils.environment import use_large_pages
use_large_pages()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.zeros(64 << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@LINUX
@pytest.mark.skipif(
    not PAGES.exists() or "[never]" in PAGES.read_text(), reason="without large pages"
)
@pytest.mark.parametrize("wanted", [None, "0"])
def test_large_tensors_lie_in_large_pages_unless_told_otherwise(wanted: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    environment |= {} if wanted is None else {"THP_MEM_ALLOC_ENABLE": wanted}
    run = [sys.executable, "-c", FAULTS]
    faults = int(subprocess.run(run, env=environment, capture_output=True, check=True).stdout)
    small = 64 * 256  # pages of 4 kB
    assert faults >= small if wanted else faults < small / 4
