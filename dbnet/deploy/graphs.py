"""From a detector in PyTorch to the files of other runtimes."""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dbnet.deploy.formats import OLD_EXPORTER, Request
from dbnet.deploy.metadata import KEY, Metadata
from dbnet.deploy.requirements import DEFORMABLE, DEFORMABLE_OPSET, needs
from dbnet.errors import UserError
from dbnet.models.backbones.resnet import ModulatedDeformConv2d
from dbnet.models.batch_norm_folding import fold_batch_norms

DEFAULT_OPSET = 18  # the oldest of PyTorch's new exporter
GELU_OPSET = 20  # has GELU as one operator; as five it costs a sixth of ONNX Runtime's time
EXAMPLE = (2, 3, 96, 128)  # N, C, H, W; all different, so that none is taken for another
HALF = dict(fp16=torch.float16, bf16=torch.bfloat16)


class DetectorGraph(nn.Module):
    """What is exported: normalised images (N, 3, H, W) to probability maps (N, 1, H, W).

    Batch norms are folded into the convolutions, and there is no threshold branch.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = fold_batch_norms(detector)  # a copy of the tree of modules
        for part, name in ((self.detector, "loss_module"), (self.detector.det_head, "threshold")):
            if hasattr(part, name):
                delattr(part, name)
        self.eval()  # the old exporter puts a training module's children back into training

    def forward(self, x: Tensor) -> Tensor:
        return self.detector(x, mode="tensor").unsqueeze(1)


class OpenCVGraph(nn.Module):
    """The layout of `cv2.dnn.TextDetectionModel_DB`: BGR pixels (1, 3, H, W) to a map (H, W).

    OpenCV's models know no standard deviation per channel, so that a convolution normalises.
    """

    def __init__(self, graph: nn.Module, metadata: Metadata) -> None:
        super().__init__()
        self.normalise = nn.Conv2d(3, 3, 1)
        std, mean = torch.tensor(metadata.std), torch.tensor(metadata.mean)
        order = torch.eye(3) if metadata.channel_order == "bgr" else torch.eye(3).flip(0)
        with torch.no_grad():
            self.normalise.weight.copy_((order / std[:, None])[:, :, None, None])
            assert self.normalise.bias is not None
            self.normalise.bias.copy_(-mean / std)
        self.network = graph
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(self.normalise(x))[0, 0]


class HalfGraph(nn.Module):
    """A graph in half precision that takes and gives float32."""

    def __init__(self, graph: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        # Not named `graph`, which a program's module has itself.
        self.network, self.dtype = copy.deepcopy(graph).to(dtype), dtype
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.to(self.dtype)).float()


def is_deformable(model: nn.Module) -> bool:
    """Check for deformable convolutions, which take newer versions of everything."""
    return any(isinstance(module, ModulatedDeformConv2d) for module in model.modules())


def check_requirements(model: nn.Module, request: Request) -> None:
    """Check, before the work, that everything is installed."""
    suffix, deformable = request.out.suffix.lower(), is_deformable(model)
    if suffix == ".onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            needs(package, "to write .onnx files")
        if deformable:
            for package, least in DEFORMABLE.items():
                needs(package, "for deformable convolutions", least)
            if request.layout == "opencv":
                raise UserError("--layout opencv: OpenCV's dnn has no deformable convolutions")
            if request.opset is not None and request.opset < DEFORMABLE_OPSET:
                raise UserError(
                    f"--opset {request.opset}: deformable convolutions are in ONNX from "
                    f"{DEFORMABLE_OPSET} on, leave it out"
                )
    if suffix == ".xml":
        needs("openvino", "to write .xml files")
        if request.precision == "int8":
            needs("nncf", "to write int8 for OpenVINO")
    if suffix == ".pt2" and deformable and request.precision != "fp32":
        raise UserError(f"--precision {request.precision}: deformable convolutions are fp32 here")


def write_onnx(graph: nn.Module, path: Path, opset: int, size: tuple[int, int] | None) -> None:
    """Write an ONNX file with input `x` and output `prob_map`.

    PyTorch's old exporter writes opsets up to 17, the new one 18 whatever is asked. `size` is the
    (W, H) of one image; None leaves N, H and W free.
    """
    example = torch.rand((1, 3, *size[::-1]) if size else EXAMPLE)
    names: dict[str, Any] = dict(input_names=["x"], output_names=["prob_map"])
    with quiet():
        if opset > OLD_EXPORTER:
            shapes = None if size else free_shapes()
            program = torch.onnx.export(
                graph, (example,), dynamo=True, opset_version=opset, dynamic_shapes=shapes, **names
            )
            assert program is not None
            program.save(path, external_data=False)
        else:
            axes = {0: "N", 2: "H", 3: "W"}
            names["dynamic_axes"] = None if size else {"x": axes, "prob_map": axes}
            torch.onnx.export(
                graph, (example,), str(path), dynamo=False, opset_version=opset, **names
            )


def free_shapes() -> tuple[dict[int, Any], ...]:
    """Say which axes of x are free; that H and W are multiples of 32 helps torch to compare them.

    Otherwise it cannot prove that poolings of oCLIP's backbone give equal shapes.
    """
    n, h, w = (torch.export.Dim(name) for name in ("N", "h", "w"))
    return ({0: n, 2: 32 * h, 3: 32 * w},)


def finish_onnx(path: Path, metadata: Metadata) -> None:
    """Name the free axes, and put the settings into a file."""
    import onnx

    model = onnx.load(path)
    if metadata.size is None:
        for value in (model.graph.input[0], model.graph.output[0]):
            for axis, name in ((0, "N"), (2, "H"), (3, "W")):
                value.type.tensor_type.shape.dim[axis].dim_param = name
        del model.graph.value_info[:]  # shapes in other names
    model.producer_name, model.producer_version = "dbnet", metadata.version
    onnx.helper.set_model_props(model, {KEY: metadata.to_json()})
    onnx.save(model, path)


def to_half_onnx(path: Path) -> None:
    """Round an ONNX file's weights to float16; input and output stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    blocked = [*DEFAULT_OP_BLOCK_LIST, "DeformConv"]  # CPUs have no such kernel
    model = convert_float_to_float16(
        onnx.load(path), keep_io_types=True, op_block_list=blocked, disable_shape_infer=True
    )
    onnx.save(model, path)


def to_openvino(graph: nn.Module) -> Any:
    """Convert to OpenVINO's model; from PyTorch, as its ONNX reader lacks `DeformConv`."""
    openvino = needs("openvino", "to write .xml files")
    with quiet():
        model = openvino.convert_model(graph, example_input=torch.rand(EXAMPLE))
    model.reshape([-1, 3, -1, -1])
    model.inputs[0].set_names({"x"})
    model.outputs[0].set_names({"prob_map"})
    return model


def save_openvino(model: Any, path: Path, metadata: Metadata) -> None:
    """Write the .xml and the .bin of an OpenVINO model, its settings in it."""
    openvino = needs("openvino", "to write .xml files")
    model.set_rt_info(metadata.to_json(), KEY)
    openvino.save_model(model, path, compress_to_fp16=metadata.precision == "fp16")


def write_program(graph: nn.Module, path: Path, metadata: Metadata) -> None:
    """Write a program of `torch.export`."""
    if metadata.precision in HALF:
        graph = HalfGraph(graph, HALF[metadata.precision])
    with quiet():
        example = (torch.rand(EXAMPLE),)
        program = torch.export.export(graph, example, dynamic_shapes=free_shapes())
        torch.export.save(program, path, extra_files={KEY: metadata.to_json()})


def run_graph(graph: nn.Module, x: np.ndarray) -> np.ndarray:
    """Run a graph in PyTorch."""
    with torch.inference_mode():
        return graph(torch.from_numpy(x)).numpy()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' remarks on their own insides from the user."""
    output = contextlib.redirect_stdout(io.StringIO())
    with quiet_logging(), warnings.catch_warnings(), output:
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def quiet_logging() -> Iterator[None]:
    """Keep what is logged from the user, up to warnings."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
