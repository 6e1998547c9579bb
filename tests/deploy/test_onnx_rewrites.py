from collections import Counter
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from dbnet.deploy.onnx_rewrites import rewrite_onnx  # noqa: E402

SPELT_OUT = dict(
    axes=[2, 3], slope=[0.2], shift=[0.5], low=0.0, high=1.0, pads=[0] * 6 + [1, 1], around=-np.inf
)


def write_graph(path: Path, strides: int = 1, **facts) -> None:
    """Pad -> MaxPool; its mean, as a hard sigmoid, times the maximum."""
    given = {**SPELT_OUT, **facts}
    node, floats, whole = onnx.helper.make_node, np.float32, np.int64
    types = dict(axes=whole, pads=whole)
    constants = [
        onnx.numpy_helper.from_array(np.array(value, types.get(name, floats)), name)
        for name, value in given.items()
    ]
    nodes = [
        node("Pad", ["x", "pads", "around"], ["padded"]),
        node("MaxPool", ["padded"], ["m"], kernel_shape=[2, 2], strides=[strides] * 2),
        node("ReduceMean", ["m", "axes"], ["mean"], keepdims=1),
        node("Mul", ["mean", "slope"], ["scaled"]),
        node("Add", ["scaled", "shift"], ["shifted"]),
        node("Clip", ["shifted", "low", "high"], ["weight"]),
        node("Mul", ["m", "weight"], ["y"]),
    ]
    value = onnx.helper.make_tensor_value_info
    names = (value("x", 1, ["N", 3, "H", "W"]),), (value("y", 1, ["N", 3, "h", "w"]),)
    graph = onnx.helper.make_graph(nodes, "g", *names, constants)
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def rewritten(path: Path) -> tuple[Counter, np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(2, 3, 7, 9)).astype(np.float32) * 3
    before = run(path, x)
    rewrite_onnx(path)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    return Counter(node.op_type for node in model.graph.node), before, run(path, x)


def test_spelt_out_operators_become_single_ones(tmp_path: Path) -> None:
    write_graph(tmp_path / "m.onnx")
    kinds, before, after = rewritten(tmp_path / "m.onnx")
    assert kinds == dict(MaxPool=1, GlobalAveragePool=1, HardSigmoid=1, Mul=1)
    assert before.shape == after.shape == (2, 3, 7, 9)  # 7 + 1 - 2 + 1
    np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.parametrize(
    ("facts", "stays"),
    [
        (dict(axes=[1, 3]), "ReduceMean"),
        (dict(axes=[2]), "ReduceMean"),
        (dict(high=6.0), "Clip"),
        (dict(low=-1.0), "Clip"),
        (dict(slope=[[[0.1]], [[0.2]], [[0.3]]]), "Clip"),
        (dict(around=0.0), "Pad"),  # larger than a map's negative numbers
        (dict(pads=[0, 0, 2, 0, 0, 0, 0, 0]), "Pad"),  # windows outside of the map
        (dict(pads=[0, 0, 0, 0, 0, 0, -1, 0]), "Pad"),
        (dict(pads=[0, 1, 0, 0, 0, -1, 0, 0]), "Pad"),  # of the channels
    ],
    ids=str,
)
def test_what_means_something_else_stays(tmp_path: Path, facts: dict, stays: str) -> None:
    write_graph(tmp_path / "m.onnx", **facts)
    kinds, before, after = rewritten(tmp_path / "m.onnx")
    assert kinds[stays] == 1
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_pads_on_each_side_and_strides(tmp_path: Path) -> None:
    write_graph(tmp_path / "m.onnx", strides=2, pads=[0, 0, 1, 0, 0, 0, 0, 1])
    kinds, before, after = rewritten(tmp_path / "m.onnx")
    assert "Pad" not in kinds
    assert before.shape == after.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(after, before, atol=1e-6)
