"""Run the networks of exported files: ONNX Runtime, OpenVINO, and PyTorch for .pt2 files.

Each runtime is called with x, (N, 3, H, W) float32, and gives the probability map, (N, 1, H, W)
float32, or (H, W) in the layout "opencv". Calls may come from several threads.
"""

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dbnet.deploy.metadata import KEY, Metadata, parse_metadata
from dbnet.deploy.requirements import explain, needs
from dbnet.errors import UserError
from dbnet.utils.files import refuse_special
from dbnet.utils.memory import FreedMemory

SLACK = 150 << 20  # bytes
TAIL = 1 << 20  # bytes at an ONNX file's end, in which its metadata are looked for
STRIDE = 32  # of the networks' smallest maps


class Runtime(Protocol):
    """What runs an exported network."""

    # Calls at once, on shares of the processor, that pay on two threads already; 0 where there is
    # only one at a time.
    least_streams: int
    name: str  # with its version
    metadata: Metadata  # of the file

    def __call__(self, x: np.ndarray) -> np.ndarray: ...


def is_exported(path: object) -> bool:
    """Check for a file of an exported model, by its name; an ONNX file is one with settings in it.

    Without them it is another project's, see `dbnet.checkpoints.foreign`.
    """
    if not isinstance(path, str | os.PathLike) or Path(path).suffix.lower() not in RUNTIMES:
        return False
    return Path(path).suffix.lower() != ".onnx" or _has_settings(Path(path))


def _has_settings(path: Path) -> bool:
    """Look for `KEY` among the metadata of an ONNX file, which follow its network."""
    try:
        refuse_special(path)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return bytes([10, len(KEY), *KEY.encode(), 18]) in file.read()  # protobuf's fields
    except OSError:
        return False


def open_runtime(
    path: str | os.PathLike[str], device: str = "cpu", threads: int = 0, streams: int = 1
) -> Runtime:
    """Load an exported model.

    Args:
        path: A file of `dbnet export`.
        device: "cpu", or for ONNX Runtime "cuda", "cuda:1", ...
        threads: In all; 0 for `OMP_NUM_THREADS`, or as many as the runtime likes.
        streams: Calls at once, which share the threads.
    """
    path = Path(path)
    try:
        refuse_special(path)
        with path.open("rb"):
            pass
    except OSError as error:
        raise UserError(f"model {path}: {error.strerror}") from None
    wanted = threads or int(os.environ.get("OMP_NUM_THREADS") or 0)
    return RUNTIMES[path.suffix.lower()](path, device, wanted, streams)


class OnnxRuntime:
    """ONNX Runtime, on a CPU or CUDA.

    Its arena keeps freed memory for the next image, which saves a quarter of the time in page
    faults. Images of 900 sizes would leave more than a gigabyte in it, so that it is given back
    after a call for which the process has grown by `SLACK`.
    """

    least_streams = 2  # is a sixth faster than one after the other

    def __init__(self, path: Path, device: str, threads: int, streams: int) -> None:
        ort = needs("onnxruntime", "to run .onnx files")
        self.name = f"ONNX Runtime {ort.__version__}"
        options = ort.SessionOptions()
        options.enable_mem_pattern = False  # one for each size would stay
        options.intra_op_num_threads = threads // streams  # of one call
        options.log_severity_level = 4  # what goes wrong is raised as well
        try:
            providers = onnx_providers(device, ort.get_available_providers())
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except UserError:
            raise
        except Exception as error:  # the runtime's own classes, from RuntimeError down
            raise UserError(f"model {path}: {explain(error, self.name)}") from None
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        self.metadata = parse_metadata(text, f"model {path}")
        self._input = self._session.get_inputs()[0].name
        self._giving_back = ort.RunOptions()
        self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._freed = FreedMemory(SLACK)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if not self._freed.is_much():
            return self._session.run(None, {self._input: x})[0]
        prob_map = self._session.run(None, {self._input: x}, self._giving_back)[0]
        self._freed.note_given_back()
        return prob_map


def onnx_providers(device: str, available: list[str]) -> list[Any]:
    """Choose ONNX Runtime's provider for a device, "cpu" or "cuda:N"."""
    if device == "cpu":
        return ["CPUExecutionProvider"]
    kind, _, index = device.partition(":")
    if kind != "cuda" or "CUDAExecutionProvider" not in available:
        raise UserError(
            f"device {device}: this ONNX Runtime computes on "
            f"{', '.join(name.removesuffix('ExecutionProvider') for name in available)}; "
            "pip install onnxruntime-gpu for CUDA, or try cpu"
        )
    # Heuristics instead of trials: each size of image would be tried out otherwise.
    settings = {"device_id": int(index or 0), "cudnn_conv_algo_search": "HEURISTIC"}
    return [("CUDAExecutionProvider", settings), "CPUExecutionProvider"]


@functools.cache
def openvino_core() -> Any:
    """Make OpenVINO's core, one for the life of the process.

    Its CPU plugin gives the thread that loads it a stack for signal handlers. If another thread
    drops the core, that memory goes and stays in use: the next signal kills the process.
    """
    return needs("openvino", "to run .xml files").Core()


class OpenVino:
    """OpenVINO on a CPU, in bfloat16 where the file asks for it and the CPU has it."""

    least_streams = 1  # two would take it from 0.6 GB to 1.1, with images of 900 sizes

    def __init__(self, path: Path, device: str, threads: int, streams: int) -> None:
        ov = needs("openvino", "to run .xml files")
        self.name = f"OpenVINO {ov.__version__.split('-')[0]}"
        if device != "cpu":
            raise UserError(f"device {device}: .xml files run on cpu here")
        if not path.with_suffix(".bin").exists():
            raise UserError(f"model {path}: {path.with_suffix('.bin').name} must lie beside it")
        core = openvino_core()
        try:
            model = core.read_model(path)
            text = model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None
            self.metadata = parse_metadata(text, f"model {path}")
            # What int8 leaves in floating point is bfloat16 too.
            half = self.metadata.precision in ("bf16", "int8")
            half &= "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
            precision = "bf16" if half else "f32"
            settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision}
            settings["NUM_STREAMS"] = streams
            if threads:
                settings["INFERENCE_NUM_THREADS"] = threads
            # Kernels of so many shapes stay; 5000 of OpenVINO's default are gigabytes.
            settings["CPU_RUNTIME_CACHE_CAPACITY"] = 256
            self._compiled = core.compile_model(model, "CPU", settings)
        except UserError:
            raise
        except Exception as error:  # RuntimeError of any kind
            raise UserError(f"model {path}: {explain(error, self.name)}") from None
        self._threads = threading.local()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if not hasattr(self._threads, "request"):
            self._threads.request = self._compiled.create_infer_request()
        # A copy: the request reuses its own memory.
        return np.array(self._threads.request.infer({0: x})[0])


class TorchProgram:
    """PyTorch, for a program of `torch.export`, on any of its devices."""

    least_streams = 0  # its threads are those of the process

    def __init__(self, path: Path, device: str, threads: int, streams: int) -> None:
        torch = needs("torch", "to run .pt2 files")
        self.name, self._torch, self._device = f"PyTorch {torch.__version__}", torch, device
        files = {KEY: ""}
        try:
            program = torch.export.load(path, extra_files=files)
        except Exception as error:  # a damaged file can raise anything
            raise UserError(f"model {path}: {explain(error, self.name)}") from None
        self.metadata = parse_metadata(files[KEY], f"model {path}")
        self._module = program.module().to(device)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        height, width = x.shape[2:]
        # Programs hold for more than one pixel at stride 32.
        missing = max(2 * STRIDE - height, 0), max(2 * STRIDE - width, 0)
        x = np.pad(x, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])))
        with self._torch.inference_mode():
            prob_map = self._module(self._torch.from_numpy(x).to(self._device))
        return prob_map[..., :height, :width].cpu().numpy()


RUNTIMES: dict[str, Callable[[Path, str, int, int], Runtime]] = {
    ".onnx": OnnxRuntime,
    ".xml": OpenVino,
    ".pt2": TorchProgram,
}
