"""Annotation files as arrays: streamed, repaired where needed, kept beside large files."""

import json
import multiprocessing
import os
import pickle

import numpy as np
import pytest

from dbnet.datasets import annotation_table, json_stream, mapped_arrays
from dbnet.datasets.annotation_file import parse_entry
from dbnet.datasets.annotation_table import needs_repair
from dbnet.datasets.annotations import Annotations
from dbnet.datasets.json_stream import NotStreamed, stream_list
from dbnet.datasets.repair import sides_cross
from dbnet.errors import UserError


def box(x, y, w, h):
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def node(name, *polygons, **more):
    instances = [dict(polygon=p, ignore=i % 2 == 1, text="ab") for i, p in enumerate(polygons)]
    return dict(img_path=name, instances=instances, **more)


def write(path, nodes, **more):
    path.write_text(json.dumps(dict(metainfo=dict(data_list=[1]), data_list=nodes, **more)))
    return path


# --- The stream ---


@pytest.mark.parametrize("chars", [1, 3, 1 << 20])
def test_items_come_whatever_the_blocks(tmp_path, monkeypatch, chars):
    monkeypatch.setattr(json_stream, "CHARS_AT_ONCE", chars)
    items = [dict(a=[1, 2.5], b="}] , é"), dict(), "x", 1234, [[]]]
    path = tmp_path / "a.json"
    for indent in (None, 2):
        content = dict(first=dict(wanted=[9]), wanted=items, last=[17])
        path.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", "utf-8-sig")
        assert list(stream_list(path, "wanted")) == items
    path.write_text('{"wanted": []}')
    assert list(stream_list(path, "wanted")) == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"a": 1}', '{"wanted": [1, 2', '{"wanted": [1,]}', '{"wanted": [1]} x', "{",
     '{"wanted": [1], "wanted": [2]}', '{"wanted": 3}', '{"wanted": [1] "b": 2}', '{"wanted" [1]}'],
)  # fmt: skip
def test_odd_files_are_left_to_others(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(NotStreamed):
        list(stream_list(tmp_path / "a.json", "wanted"))


# --- The table ---


def random_nodes(count):
    """Nodes of which a few have a text that is damaged, or that is nearly."""
    rng = np.random.default_rng(0)
    odd = [
        [0, 0, 10, 10, 10, 0, 0, 10],  # sides cross
        [0, 0, 5, 5, 9, 9],  # no area
        [0, 0, 5, 5],
        [0, 0, 5, 5, 9],
        [0, 0, float("nan"), 5, 9, 0],
        [[0, 0], [9, 0], [9, 5]],
        "none",
        [0, 0, 10, 0, 5, 0, 5, 8],  # a corner on a side
        [0, 0, 3, 0, 3, 0.001, 0, 0.001],
    ]
    nodes = []
    for i in range(count):
        polygons = [
            np.round(rng.uniform(0, 500, 2 * rng.integers(3, 8)), 2).tolist() if rng.random() < 0.3
            else box(*np.round(rng.uniform(1, 300, 4), 2).tolist())
            for _ in range(rng.integers(0, 5))
        ]  # fmt: skip
        if rng.random() < 0.3:
            polygons.insert(0, odd[int(rng.integers(len(odd)))])
        nodes.append(node(f"sub/ü{i}.jpg", *polygons, height=20 + i, width=30))
    nodes[3] = dict(img_path="no_instances.jpg")
    nodes[7] = dict(instances=[])
    del nodes[9]["height"]
    return nodes


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_the_table_is_that_of_single_entries(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(annotation_table, "NODES_AT_ONCE", at_once)
    nodes = random_nodes(60)
    annotations = Annotations.read(write(tmp_path / "a.json", nodes), max_damaged=1)
    entries = [parse_entry(one) for i, one in enumerate(nodes) if i not in (3, 7)]
    assert len(annotations) == len(entries) == 58
    for item, entry in enumerate(entries):
        found = annotations[item]
        assert found["img_path"] == str(tmp_path / entry.img_path)
        assert (found["ignored"], found["num_chars"]) == (entry.ignored, entry.num_chars)
        assert annotations.size_of(item) == entry.size
        assert [len(p) for p in found["polygons"]] == entry.lengths
        points = np.concatenate([np.zeros((0, 2), np.float32), *found["polygons"]])
        np.testing.assert_array_equal(points, entry.points)
    notes = json.loads(annotations.holders["notes"].array.tobytes())
    assert [line.split(":")[0] for line in notes["faulty"]] == ["data_list[3]", "data_list[7]"]
    faults = [fault for entry in entries for fault in entry.faults]
    assert [line.split(" ", 1)[1] for line in notes["faults"]] == faults and len(faults) > 5
    assert notes["num_words"] == sum(len(one.get("instances", [])) for one in nodes)


def test_only_what_may_need_it_is_looked_at_one_by_one():
    rng = np.random.default_rng(0)
    quads = rng.integers(0, 6, (500, 4, 2)).astype(np.float32)
    found = needs_repair(quads.reshape(-1, 2), np.full(500, 4))
    assert all(found[i] for i, quad in enumerate(quads) if sides_cross(quad))
    plain = np.float32([box(5, 5, 20, 4), box(0, 0, 1, 1)]).reshape(-1, 2)
    assert not needs_repair(plain, np.array([4, 4])).any()
    assert needs_repair(np.zeros((0, 2), np.float32), np.zeros(0, int)).shape == (0,)


def test_mistakes_are_told_as_before(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"data_list": [{"img_path": "a.jpg", "instances": []},]}')
    with pytest.raises(UserError, match=r"not a JSON file: .*line 1 column \d+"):
        Annotations.read(path)
    path.write_text('{"data_list": []}')
    with pytest.raises(UserError, match="data_list is empty"):
        Annotations.read(path)


def test_some_of_the_images_in_another_order(tmp_path):
    third = node("c.jpg", box(1, 1, 5, 5), [0, 0, 4, 0, 0, 4])
    nodes = [node("a.jpg", box(0, 0, 9, 4)), node("b.jpg"), third]
    annotations = Annotations.read(write(tmp_path / "a.json", nodes))
    taken = annotations.take([2, 0])
    assert [str(taken[i]) for i in range(2)] == [str(annotations[i]) for i in (2, 0)]
    assert len(annotations.take([])) == 0


# --- The file beside a large one ---


@pytest.fixture
def large(tmp_path, monkeypatch):
    """An annotation file that counts as large, and how often it was read."""
    monkeypatch.setattr(annotation_table, "KEPT_FROM", 0)
    reads = []
    make = annotation_table.make_table
    monkeypatch.setattr(annotation_table, "make_table", lambda p: reads.append(1) or make(p))
    return write(tmp_path / "a.json", random_nodes(40)), reads


def contents(annotations):
    return [str(annotations[i]) for i in range(len(annotations))]


def test_a_large_file_is_read_once(large, tmp_path):
    path, reads = large
    first = contents(Annotations.read(path, 1))
    assert contents(Annotations.read(path, 1)) == first and len(reads) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.json.arrays", "a.json"]
    os.utime(path, (1, 1))  # another time, the same content
    assert contents(Annotations.read(path, 1)) == first and len(reads) == 1
    write(path, random_nodes(40)[10:])
    assert contents(Annotations.read(path, 1)) == first[8:] and len(reads) == 2
    with pytest.raises(UserError, match="max_damaged"):  # damage is told at every start
        Annotations.read(path)


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 70000])
def test_a_damaged_one_is_made_again(large, damage):
    path, reads = large
    first = contents(Annotations.read(path, 1))
    path.with_name(".a.json.arrays").write_bytes(damage)
    assert contents(Annotations.read(path, 1)) == first and len(reads) == 2


def test_where_nothing_can_be_written_it_is_read_each_time(large, monkeypatch):
    path, reads = large

    def fail(*args):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(mapped_arrays, "write_arrays", fail)
    assert contents(Annotations.read(path, 1)) == contents(Annotations.read(path, 1))
    assert len(reads) == 2


def test_a_file_that_changes_meanwhile_is_not_kept(large, monkeypatch):
    path, _ = large
    make = annotation_table.make_table

    def make_and_write(source):
        table = make(source)
        source.write_bytes(source.read_bytes() + b" ")
        return table

    monkeypatch.setattr(annotation_table, "make_table", make_and_write)
    Annotations.read(path, 1)
    assert not path.with_name(".a.json.arrays").exists()


def length_of(annotations, queue):
    queue.put((len(annotations), annotations[3]["img_path"]))


def test_spawned_workers_map_it_again(large):
    path, _ = large
    annotations = Annotations.read(path, 1)
    assert len(pickle.dumps(annotations)) < 5000  # paths, no pixels of it
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=length_of, args=(annotations, queue))
    worker.start()
    assert queue.get(timeout=60) == (len(annotations), annotations[3]["img_path"])
    worker.join()
