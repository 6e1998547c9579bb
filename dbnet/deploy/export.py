"""`dbnet export`: write a detector for another runtime, load it there, compare, and keep it."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch import nn

from dbnet.deploy import graphs, quantization
from dbnet.deploy.agreement import Agreement, Run, compare
from dbnet.deploy.formats import OLD_EXPORTER, Request, files_of
from dbnet.deploy.metadata import Metadata
from dbnet.deploy.requirements import DEFORMABLE_OPSET
from dbnet.deploy.runtimes import open_runtime
from dbnet.errors import UserError
from dbnet.images import read_displayed
from dbnet.models.data_preprocessor import TextDetDataPreprocessor
from dbnet.models.onnx_operators import GraphModule
from dbnet.postprocessing import DBPostprocessor
from dbnet.synthetic import draw_scene
from dbnet.version import __version__

NUM_IMAGES = 5  # whose texts are compared
DRAWN_SIZE = (640, 480)  # (W, H) of images drawn where none are given


class Exported(NamedTuple):
    """What `export` has written."""

    files: list[Path]  # their final paths
    runtime: str  # what they were compared in, with its version
    agreement: Agreement  # with PyTorch


def export(
    detector: nn.Module, metadata: Metadata, request: Request, images: Sequence[np.ndarray]
) -> Exported:
    """Write an exported model; what does not agree with PyTorch is removed.

    The detector is in evaluation mode on the CPU; images are (H, W, 3) uint8 BGR.

    Raises:
        UserError: Something is missing, too old, or the file does not agree.
    """
    graphs.check_requirements(detector, request)
    graph: nn.Module = graphs.DetectorGraph(detector)
    if metadata.layout == "opencv":
        graph = graphs.OpenCVGraph(graph, metadata)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=request.out.parent, prefix=".export_") as folder:
        path = Path(folder) / request.out.name
        write(graph, path, metadata, request)
        run, name = open_for_comparison(path, metadata)
        try:
            agreement = compare(run, lambda x: graphs.run_graph(graph, x), images, metadata)
            problem = agreement.problem(metadata.precision)
        except UserError as error:
            problem = str(error)
        if problem:
            raise UserError(f"--out {request.out}: {name} and PyTorch disagree, {problem}; removed")
        files = files_of(request.out)
        for written, final in zip(files_of(path), files):
            os.replace(written, final)
    return Exported(files, name, agreement)


def write(graph: nn.Module, path: Path, metadata: Metadata, request: Request) -> None:
    """Write the files of a format."""
    if path.suffix.lower() == ".pt2":
        graphs.write_program(graph, path, metadata)
    elif path.suffix.lower() == ".xml":
        model = graphs.to_openvino(graph)
        if request.calibrate is not None:
            model = quantization.quantize_openvino(model, graph, request.calibrate, metadata)
        graphs.save_openvino(model, path, metadata)
    else:
        opset = request.opset or default_opset(graph, metadata)
        graphs.write_onnx(graph, path, opset, metadata.size)
        if metadata.precision == "fp16":
            graphs.to_half_onnx(path)
        if request.calibrate is not None:
            quantization.quantize_onnx(path, graph, request.calibrate, metadata)
        graphs.finish_onnx(path, metadata)


def default_opset(graph: nn.Module, metadata: Metadata) -> int:
    """Choose the oldest opset that the graph, and its reader, do well with."""
    if metadata.layout == "opencv":
        return OLD_EXPORTER
    if any(has_gelu(module) for module in graph.modules()):
        return graphs.GELU_OPSET
    return DEFORMABLE_OPSET if graphs.is_deformable(graph) else graphs.DEFAULT_OPSET


def has_gelu(module: nn.Module) -> bool:
    """Check whether a module computes GELU itself, not in a part of its own."""
    nodes = module.graph.nodes if isinstance(module, GraphModule) else ()
    return isinstance(module, nn.GELU) or any(node.op == "Gelu" for node in nodes)


def open_for_comparison(path: Path, metadata: Metadata) -> tuple[Run, str]:
    """Load a file as its users will; return what runs it, and its name."""
    if metadata.layout == "nchw":
        runtime = open_runtime(path)
        return runtime, runtime.name
    network = cv2.dnn.readNet(str(path))

    def run(x: np.ndarray) -> np.ndarray:
        network.setInput(x)
        return np.array(network.forward())

    return run, f"OpenCV {cv2.__version__}"


def describe(
    detector: Any,
    config: str,
    checkpoint: tuple[str, str],
    pipeline: Sequence[Mapping],
    request: Request,
) -> Metadata:
    """Collect the settings of a detector, whose data preprocessor and postprocessor are ours.

    `checkpoint` is the name and SHA-256 of its file, `pipeline` without the step that loads.
    """
    preprocessor, postprocessor = detector.data_preprocessor, detector.postprocessor
    for part, kind in ((preprocessor, TextDetDataPreprocessor), (postprocessor, DBPostprocessor)):
        if type(part) is not kind:
            raise UserError(
                f"config {config}: has the {type(part).__name__}; a file cannot hold but a "
                f"{kind.__name__}"
            )
    resize = resize_rule(pipeline, config)
    size = request.size or fixed_size(resize) if request.layout == "opencv" else None
    return Metadata(
        config=config,
        checkpoint=checkpoint[0],
        checkpoint_sha256=checkpoint[1],
        version=__version__,
        precision=request.precision,
        layout=request.layout,
        size=size,
        mean=preprocessor.mean.flatten().tolist(),
        std=preprocessor.std.flatten().tolist(),
        channel_order="rgb" if preprocessor.bgr_to_rgb else "bgr",
        divisor=preprocessor.pad_size_divisor,
        resize=resize,
        postprocessor=dict(vars(postprocessor)),
    )


def resize_rule(pipeline: Sequence[Mapping], config: str) -> dict[str, Any]:
    """Find the arguments of `fitted_size` in a test pipeline that does no more than resize."""
    steps = [(str(step["type"]).split(".")[-1], step) for step in pipeline]
    others = [name for name, _ in steps if name not in ("Resize", "LimitedResize")]
    known = {"type", "scale", "keep_ratio", "max_scale"}
    rules = [step for _, step in steps if step.keys() <= known and "scale" in step]
    if others != ["PackTextDetInputs"] or len(rules) != 1 or len(steps) != 2:
        raise UserError(
            f"config {config}: the test pipeline must be LoadImage, Resize or LimitedResize with "
            "scale and keep_ratio, PackTextDetInputs; a file can hold nothing else"
        )
    [rule] = rules
    keep_ratio = "max_scale" in rule or bool(rule.get("keep_ratio", False))
    return dict(scale=list(rule["scale"]), keep_ratio=keep_ratio, max_scale=rule.get("max_scale"))


def fixed_size(resize: Mapping[str, Any]) -> tuple[int, int]:
    """Choose multiples of 32 for photos of 16:9 at the test size, (W, H).

    >>> fixed_size(dict(scale=[1333, 736])), fixed_size(dict(scale=[4068, 1024]))
    ((1312, 736), (1824, 1024))
    """
    short, long = sorted(resize["scale"])
    width = min(long // 32, -(-short * 16 // (9 * 32))) * 32
    return max(width, 32), max(short // 32 * 32, 32)


def comparison_images(paths: Sequence[str]) -> tuple[list[np.ndarray], str]:
    """Read some of the images, or draw some where there are none; say which they are."""
    if paths:
        chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, NUM_IMAGES).astype(int)]
        chosen = list(dict.fromkeys(chosen))
        return [read_displayed(path) for path in chosen], f"{len(chosen)} images"
    drawn = [
        draw_scene(np.random.default_rng(seed), DRAWN_SIZE, (6, 10)).image
        for seed in range(NUM_IMAGES)
    ]
    return drawn, f"{NUM_IMAGES} drawn images"
