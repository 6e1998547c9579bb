"""Packages that exporting and running need, and the versions from which on they work.

Each entry was tried, or found in the release that brought it; see docs/deployment.md.
"""

import importlib
import importlib.metadata
import re
from typing import Any

from dbnet.errors import UserError

# Extra that brings a package; those without one are named alone.
EXTRAS = dict(onnxruntime="onnx", onnx="onnx", onnxscript="onnx", openvino="openvino")
LEAST: dict[str, tuple[int, ...]] = dict(onnxruntime=(1, 18), openvino=(2025, 0))
# Deformable convolutions: translated from onnxscript 0.7.1 on, which torch before 2.12 was not
# tried with; computed on a CPU from ONNX Runtime 1.25 on.
DEFORMABLE: dict[str, tuple[int, ...]] = dict(
    torch=(2, 12), onnxscript=(0, 7, 1), onnxruntime=(1, 25)
)
DEFORMABLE_OPSET = 19


def needs(package: str, why: str, least: tuple[int, ...] = ()) -> Any:
    """Import a package, whose distribution has its name.

    `why` is such as "to run .onnx files"; `least` is the oldest version, that of `LEAST` if none.
    """
    least = least or LEAST.get(package, ())
    try:
        module = importlib.import_module(package)
        version = getattr(module, "__version__", None) or importlib.metadata.version(package)
    except ImportError as error:
        reason = "is missing" if error.name == package else f"cannot be imported ({error})"
        raise UserError(f"{package} {reason}, {why}: {how_to_install(package, least)}") from None
    if numbers(version) < least:
        raise UserError(f"{package} {version} is too old {why}: {how_to_install(package, least)}")
    return module


def how_to_install(package: str, least: tuple[int, ...] = ()) -> str:
    """Write the line that installs a package."""
    if package in EXTRAS and not least:
        return f'pip install "dbnet[{EXTRAS[package]}]"'
    version = f">={'.'.join(map(str, least))}" if least else ""
    newer = package == "onnxruntime" and least == (1, 25)
    return f'pip install "{package}{version}"' + ", whose wheels need Python 3.11" * newer


def numbers(version: str) -> tuple[int, ...]:
    """Parse the numbers that a version begins with.

    >>> numbers("2.14.1+cpu"), numbers("2026.4.1-21345-abc")
    ((2, 14, 1), (2026, 4, 1))
    """
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def explain(error: Exception, runtime: str) -> str:
    """Say in a line why a runtime does not load a file, and which version does."""
    text = " ".join(str(error).split())
    if "DeformConv" in text and runtime.startswith("ONNX Runtime"):
        newer = how_to_install("onnxruntime", DEFORMABLE["onnxruntime"])
        return f"{runtime} cannot compute its deformable convolutions: {newer}"
    if found := re.search(r"Unsupported model IR version: (\d+)", text):
        newer = how_to_install("onnxruntime", LEAST["onnxruntime"])
        return f"{runtime} is too old for IR version {found[1]}: {newer}"
    reason = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : |^Exception from \S+ ", "", text)
    return f"{runtime} cannot load it ({reason[:160]}); damaged, or for a newer version"
