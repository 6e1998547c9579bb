"""Files that are no detector, or damaged: one line each, nothing run, bounded memory."""

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dbnet.deploy.runtimes import is_exported
from dbnet.errors import UserError
from dbnet.foreign.graph import Graph
from dbnet.foreign.lower import read_graph
from tests.onnx_graphs import Writer, detector, write


@pytest.fixture
def path(tmp_path):
    return tmp_path / "det.onnx"


def fails(model, path, message):
    write(model, path)
    with pytest.raises(UserError, match=message) as caught:
        read_graph(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def node_of(model, op):
    return next(node for node in model.graph.node if node.op_type == op)


def test_the_graph_survives_as_bytes(path):
    graph, _ = read_graph(_written(detector(norms=True), path))
    again = Graph.from_bytes(graph.to_bytes())
    assert again == graph
    assert len(graph.to_bytes()) < 2000


def _written(model, path):
    write(model, path)
    return path


def test_files_of_our_own_export_are_told_by_their_metadata(path):
    model = detector()
    assert not is_exported(_written(model, path))
    model.metadata_props.add(key="dbnet", value="{}")
    assert is_exported(_written(model, path))


def test_no_onnx_file(path):
    for content in (b"", b"\x00" * 100, b"PK\x03\x04", os.urandom(1000)):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"damaged or no ONNX file|its graph is empty"):
            read_graph(path)
    with pytest.raises(UserError, match="No such file"):
        read_graph(path.with_name("other.onnx"))
    os.mkfifo(path.with_name("fifo.onnx"))
    with pytest.raises(UserError, match="is a FIFO"):
        read_graph(path.with_name("fifo.onnx"))


def test_a_file_cut_off(path):
    content = _written(detector(), path).read_bytes()
    for share in (0.2, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(UserError) as caught:
            read_graph(path)
        assert "\n" not in str(caught.value)


def test_a_file_of_two_gigabytes(path):
    path.touch()
    os.truncate(path, 2 << 30)  # sparse
    with pytest.raises(UserError, match=r"has 2\.1 GB, more than any detector"):
        read_graph(path)


def test_an_unknown_operator_is_named_with_its_node(path):
    model = detector()
    node_of(model, "Concat").op_type = "Einsum"
    fails(model, path, r"node Einsum Concat\.\d+: operator unknown")
    model = detector()
    node_of(model, "Concat").domain = "com.microsoft"
    fails(model, path, r"operator com\.microsoft\.Concat \(node Concat\.\d+\) is unknown")


def test_control_flow_is_not_followed(path):
    model = detector()
    body = helper.make_graph([], "body", [], [])
    loop = helper.make_node("Loop", ["", "", "x"], ["looped"], name="loop", body=body)
    model.graph.node.insert(0, loop)
    model.graph.node[1].input[0] = "looped"
    fails(model, path, "node Loop loop: operator unknown")


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear", "ConvInteger", "QLinearConv"])
def test_quantised_files(op, path):
    model = detector()
    node_of(model, "Conv").op_type = op
    fails(model, path, f"is quantised \\(node {op} Conv.2\\)")


def test_cyclic_and_empty_graphs(path):
    model = detector()
    model.graph.node[1].input[0] = model.graph.node[-1].output[0]
    fails(model, path, r"reads Sigmoid\.\d+, which no node before it makes")
    model = detector()
    del model.graph.node[:]
    fails(model, path, "its graph is empty")
    model = Writer().model("x")
    model.graph.node.append(helper.make_node("Identity", ["x"], ["y"]))
    model.graph.output[0].name = "y"
    fails(model, path, "no node makes the output y from the image")


def output(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([("Relu.1", "n", 1, "h", "w"), ("Relu.2", "n", 1, "h", "w")], r"Relu\.1, Relu\.2"),
        ([], "none"),
        ([("y", "n", 37)], "one output"),
        ([("y", "n", 4, "h", "w")], "one output"),
    ],
    ids=["two", "none", "a classifier's", "four channels"],
)
def test_other_outputs(outputs, message, path):
    model = detector()
    del model.graph.output[:]
    model.graph.output.extend(output(*one) for one in outputs)
    fails(model, path, message)


def test_other_inputs(path):
    model = detector()
    model.graph.input.append(output("scale", "n", 2))
    fails(model, path, "one input .*: x, scale")
    model = detector()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    fails(model, path, "one input")


def test_a_resize_to_a_fixed_size(path):
    model = detector()
    sizes = numpy_helper.from_array(np.array([1, 8, 160, 160]), "sizes")
    model.graph.initializer.append(sizes)
    resize = node_of(model, "Resize")
    resize.input[:] = [resize.input[0], "", "", "sizes"]
    fails(model, path, "takes images of one size; export it with a dynamic height and width")


def test_a_fixed_size_of_the_input_alone_is_no_hindrance(path):
    model = detector()
    for axis, size in ((2, 640), (3, 640)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    assert read_graph(_written(model, path))[0].input == "x"


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        ("Resize", dict(mode="cubic"), "resizes by cubic"),
        ("Resize", dict(nearest_mode="ceil"), "chooses nearest pixels by asymmetric, ceil"),
        ("ConvTranspose", dict(auto_pad="SAME_UPPER"), "automatic pads"),
        ("ConvTranspose", dict(pads=[0, 0, 1, 1]), "uneven pads"),
        ("Pad", dict(mode="reflect"), "something else than a constant"),
        ("MaxPool", dict(pads=[0, 0, 1, 1], ceil_mode=1), "rounds sizes up"),
        ("Conv", dict(strides=[2]), "not two dimensions"),
    ],
)
def test_settings_that_pytorch_lacks(op, attributes, message, path):
    model = detector()
    node = node_of(model, op)
    kept = [item for item in node.attribute if item.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in attributes.items())])
    fails(model, path, f"node {op} .*{message}")


def test_weights_that_are_none(path):
    model = detector()
    node_of(model, "Conv").input[1] = "x"
    fails(model, path, "its input x is computed from the image, not constant")
    model = detector()
    model.graph.initializer[0].dims[:] = [1, 2, 3]
    fails(model, path, "damaged")


# --- Data in files beside it ---


def external(tmp_path, location="weights.bin"):
    model = detector()
    onnx.external_data_helper.convert_model_to_external_data(
        model, location="weights.bin", size_threshold=0
    )
    onnx.save(model, str(tmp_path / "det.onnx"))
    model = onnx.load(str(tmp_path / "det.onnx"), load_external_data=False)
    for tensor in model.graph.initializer:
        for item in tensor.external_data:
            if item.key == "location":
                item.value = location
    (tmp_path / "det.onnx").write_bytes(model.SerializeToString())
    return tmp_path / "det.onnx"


def test_external_data_in_the_folder(tmp_path, path):
    _, state = read_graph(external(tmp_path))
    _, expected = read_graph(_written(detector(), tmp_path / "whole.onnx"))
    assert state.keys() == expected.keys()
    assert all(np.array_equal(state[key], expected[key]) for key in state)


def test_external_data_missing_cut_off_or_elsewhere(tmp_path):
    path = external(tmp_path)
    os.truncate(tmp_path / "weights.bin", 100)
    with pytest.raises(UserError, match="damaged"):
        read_graph(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"weights\.bin, which is missing"):
        read_graph(path)
    for place in ("../weights.bin", "/etc/passwd"):
        with pytest.raises(UserError, match="lie outside its folder"):
            read_graph(external(tmp_path, place))
    inner = tmp_path / "inner"
    inner.mkdir()
    path = external(inner, "link.bin")
    (inner / "link.bin").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="lie outside its folder"):
        read_graph(path)


def test_without_the_package(path, monkeypatch):
    write(detector(), path)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'dbnet\[onnx\]'"):
        read_graph(path)
