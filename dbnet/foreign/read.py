"""Open an ONNX file without trusting it: bounded memory, nothing run, one line per mistake."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dbnet.errors import UserError
from dbnet.utils.files import refuse_special

MAX_BYTES = 1 << 30  # of a file and its external data; PP-OCR's largest detector has 84 MB
QUANTISED = ("Quantize", "Dequantize", "Integer", "QLinear")


@dataclass
class RawNode:
    """A node as it stands in the file; `""` among the inputs is one that is left out."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    name: str

    def __str__(self) -> str:
        return f"{self.op} {self.name or self.outputs[0]}"


@dataclass
class RawGraph:
    """A file's graph."""

    nodes: list[RawNode]  # in the file's order, in which every tensor is made before it is read
    constants: dict[str, np.ndarray]  # arrays by name; floats are float32
    input: str  # the name of the image
    output: str  # the name of the map


def read_onnx(path: Path) -> RawGraph:
    """Read the graph of a detector.

    Raises:
        UserError: The file is no ONNX file, damaged, incomplete, too large, quantised, has not one
            image as its input and one map as its output, or the package onnx is not installed.
    """
    model = load_model(path)
    graph = model.graph
    if not graph.node:
        raise UserError(f"{path}: its graph is empty")
    quantised = next((n for n in graph.node if any(w in n.op_type for w in QUANTISED)), None)
    if quantised is not None:
        raise UserError(
            f"{path}: is quantised (node {quantised.op_type} {quantised.name}), which cannot be "
            "trained; give the file in floating point that it was made from"
        )
    constants = _constants(model, path)
    inputs = [item for item in graph.input if item.name not in constants]
    _check_signature(inputs, list(graph.output), path)
    return RawGraph(_nodes(graph, path), constants, inputs[0].name, graph.output[0].name)


def load_model(path: Path) -> Any:
    """Parse an ONNX file, its external data included if they lie in its folder."""
    onnx = onnx_package()
    try:
        refuse_special(path)
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(
                f"{path}: has {size / 1e9:.1f} GB, more than any detector; "
                f"{MAX_BYTES / 1e9:.1f} GB are read at most"
            )
        model = onnx.load(str(path), load_external_data=False)
        _load_external_data(onnx, model, path)
    except (MemoryError, UserError):
        raise
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged or foreign file can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: damaged or no ONNX file ({reason})") from None
    return model


def onnx_package() -> Any:
    """Import `onnx`, which only ONNX files need."""
    try:
        import onnx
        import onnx.external_data_helper
        import onnx.numpy_helper
        import onnx.reference
    except ImportError:
        raise UserError(
            "ONNX files are read with the package onnx: pip install 'dbnet[onnx]'"
        ) from None
    return onnx


def _load_external_data(onnx: Any, model: Any, path: Path) -> None:
    """Read the tensors that lie in files beside the model, and in no other folder."""
    folder, total = path.resolve().parent, 0
    for tensor in model.graph.initializer:
        if not onnx.external_data_helper.uses_external_data(tensor):
            continue
        facts = {item.key: item.value for item in tensor.external_data}
        data = (folder / facts.get("location", "")).resolve()
        if not data.is_relative_to(folder):
            raise UserError(f"{path}: the weights of {tensor.name} lie outside its folder, {data}")
        if not data.is_file():
            raise UserError(
                f"{path}: the weights of {tensor.name} lie in {data}, which is missing; put the "
                "file there"
            )
        start = int(facts.get("offset", 0))
        total += (length := int(facts.get("length", data.stat().st_size - start)))
        if total > MAX_BYTES:
            raise UserError(f"{path}: its external data have more than {MAX_BYTES / 1e9:.1f} GB")
        with data.open("rb") as stream:
            stream.seek(start)
            tensor.raw_data = stream.read(length)
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def _constants(model: Any, path: Path) -> dict[str, np.ndarray]:
    if model.graph.sparse_initializer:
        raise UserError(f"{path}: has sparse weights, which are not read")
    try:
        arrays = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
        odd = next((name for name, array in arrays.items() if array.dtype.kind not in "fiub"), None)
        if odd is not None:
            raise ValueError(f"{odd} holds no numbers")
        return arrays
    except Exception as error:  # dimensions that the data do not have, for one
        raise UserError(f"{path}: damaged ({' '.join(str(error).split())})") from None


def to_array(tensor: Any) -> np.ndarray:
    """Read a tensor of a file; floats of any precision become float32."""
    array = onnx_package().numpy_helper.to_array(tensor)
    is_float = array.dtype.kind == "f" or array.dtype.name in ("bfloat16", "float16")
    return array.astype(np.float32) if is_float else array


def _nodes(graph: Any, path: Path) -> list[RawNode]:
    onnx = onnx_package()
    nodes = []
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise UserError(
                f"{path}: operator {node.domain}.{node.op_type} (node {node.name}) is unknown"
            )
        values = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        values = {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}
        nodes.append(RawNode(node.op_type, list(node.input), list(node.output), values, node.name))
        if not node.output:
            raise UserError(f"{path}: node {node.op_type} {node.name} makes nothing; damaged")
    return nodes


def _check_signature(inputs: list[Any], outputs: list[Any], path: Path) -> None:
    """Check that a network goes from an image (N, 3, H, W) to one map (N, 1, H, W)."""
    shapes = [_shape(item) for item in (*inputs[:1], *outputs[:1])]
    if len(inputs) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (3, -1):
        named = ", ".join(f"{item.name}" for item in inputs) or "none"
        raise UserError(
            f"{path}: a detector has one input (N, 3, H, W); this network's inputs are: {named}"
        )
    known = shapes[1] if outputs else []
    if len(outputs) != 1 or (known and (len(known) != 4 or known[1] not in (1, -1))):
        named = ", ".join(item.name for item in outputs) or "none"
        raise UserError(
            f"{path}: a detector has one output, the map (N, 1, H, W); this network's are: {named}"
        )


def _shape(item: Any) -> list[int]:
    """Return the sizes of an input or output; -1 stands for one that is free."""
    sizes = item.type.tensor_type.shape.dim
    return [size.dim_value if size.HasField("dim_value") else -1 for size in sizes]
