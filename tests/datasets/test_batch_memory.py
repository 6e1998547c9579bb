import gc
import multiprocessing

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from dbnet.datasets import batch_memory, collate_text_det
from dbnet.datasets.batch_memory import SharedTensors, open_tensors, take_block

NAMES = ("shrink_map", "shrink_mask", "thresh_map", "thresh_mask")


@pytest.fixture(autouse=True)
def blocks(monkeypatch):
    """Start without any block: (those written here, those received here)."""
    monkeypatch.setattr(batch_memory, "_own", {})
    monkeypatch.setattr(batch_memory, "_received", {})
    monkeypatch.setattr(batch_memory, "forget_dead_workers", lambda: None)
    return batch_memory._own, batch_memory._received


def send(**tensors):
    """Stack tensors into a block and open it, as if in another process."""
    return open_tensors(*SharedTensors(tensors).__reduce__()[1])


def test_tensors_arrive_stacked():
    byte, number = torch.arange(15, dtype=torch.uint8).view(3, 5), torch.rand(3, 2, 7)
    received = send(byte=list(byte), number=list(number), wide=[torch.ones(3, 1).double()])
    assert torch.equal(received["byte"], byte) and received["byte"].dtype == torch.uint8
    assert torch.equal(received["number"], number) and received["number"].is_contiguous()
    assert received["wide"].shape == (1, 3, 1) and received["wide"].dtype == torch.float64


def test_a_block_is_free_when_no_tensor_refers_to_it(blocks):
    own, _ = blocks
    first = send(a=[torch.ones(4)], b=[torch.full((2,), 2.0)])
    corner = first["a"][0, 1:]
    del first
    second = send(a=[torch.full((4,), 3.0)])  # the first block is in use by a view
    assert len(own) == 2 and corner.tolist() == [1, 1, 1]
    del corner
    third = send(a=[torch.full((4,), 4.0)])
    assert len(own) == 2 and third["a"].tolist() == [[4] * 4] and second["a"].tolist() == [[3] * 4]
    del second, third
    assert [int(memory.bytes[0]) for memory in own.values()] == [0, 0]


def test_a_block_that_is_too_small_is_passed_over(blocks):
    own, _ = blocks
    send(a=[torch.ones(4)])
    send(a=[torch.ones(400)])
    assert [len(memory.bytes) for memory in own.values()] == [128, 2048]  # powers of two
    send(a=[torch.ones(10)])  # 40 bytes, fits into the first
    send(a=[torch.ones(300)])  # fits into the second
    assert len(own) == 2
    assert take_block(10**4)[1]


class Numbered(Dataset):
    """Samples whose every pixel tells their index."""

    def __len__(self):
        return 64

    def __getitem__(self, index):
        targets = {name: torch.full((8, 8), index, dtype=torch.uint8) for name in NAMES}
        image = torch.full((3, 8, 8), index, dtype=torch.uint8)
        return dict(inputs=image, targets=targets, metas=dict(img_path=str(index)))


def make_loader(workers, batch_size=3):
    return DataLoader(
        Numbered(),
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=True,
        collate_fn=collate_text_det,
        multiprocessing_context=multiprocessing.get_context("fork"),
    )


def test_batches_that_are_kept_are_never_overwritten():
    kept = []
    loader = make_loader(workers=2)
    for _ in range(2):
        kept += list(loader)
    assert len(kept) == 2 * 22
    for number, batch in enumerate(kept):
        expected = range(64)[3 * (number % 22) : 3 * (number % 22) + 3]
        assert [int(meta["img_path"]) for meta in batch["metas"]] == list(expected)
        for tensor in (batch["inputs"], *batch["targets"].values()):
            assert [values.unique().tolist() for values in tensor] == [[i] for i in expected]
        assert tuple(batch["targets"]) == NAMES


def test_batches_that_are_dropped_leave_few_blocks(blocks):
    _, received = blocks
    loader = make_loader(workers=1)
    for _ in range(4):
        for batch in loader:
            del batch
    assert len(received) <= 5  # two that the worker has prepared, and those on their way


def test_blocks_of_ended_workers_are_forgotten(monkeypatch, blocks):
    monkeypatch.undo()
    batch_memory._received.clear()
    for _ in range(3):
        loader = make_loader(workers=1)
        batch = next(iter(loader))
        pids = {key[0] for key in batch_memory._received}
        assert len(pids) == 1
        assert batch["inputs"].shape == (3, 3, 8, 8)
        del loader
        gc.collect()
    batch_memory.forget_dead_workers()
    assert not batch_memory._received
    assert batch["inputs"].unique().tolist() == [0, 1, 2]  # it lives on


class Pictures(Dataset):
    """Samples of a test: an image and facts, without targets."""

    def __init__(self, shapes):
        self.shapes = shapes

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, index):
        inputs = torch.full((3, *self.shapes[index]), index, dtype=torch.uint8)
        return dict(inputs=inputs, metas=dict(index=index))


def refuse(*args):
    raise RuntimeError("unable to allocate shared memory(shm)")


@pytest.mark.parametrize("same_size", [True, False])
def test_batches_of_tests_need_no_dev_shm(monkeypatch, same_size):
    # What torch would put them into, which is 64 MB in a container; workers inherit this.
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", refuse)
    monkeypatch.setattr(torch.UntypedStorage, "_new_using_fd_cpu", refuse)
    shapes = [(8, 8 if same_size else 8 + index) for index in range(6)]
    loader = DataLoader(Pictures(shapes), 3, num_workers=1, collate_fn=collate_text_det)
    batches = list(loader)
    assert [isinstance(batch["inputs"], list) for batch in batches] == [not same_size] * 2
    images = [image for batch in batches for image in batch["inputs"]]
    assert [tuple(image.shape[1:]) for image in images] == shapes
    assert [image.unique().tolist() for image in images] == [[i] for i in range(6)]
    assert [meta["index"] for batch in batches for meta in batch["metas"]] == list(range(6))


def test_batches_that_grow_need_few_blocks(blocks):
    own, _ = blocks
    for num_bytes in range(1000, 60_000, 100):
        key, _ = take_block(num_bytes)
        assert len(own[key].bytes) >= num_bytes
        own[key].bytes[0] = 0
    assert len(own) == 7  # of 2^10 to 2^16 bytes
