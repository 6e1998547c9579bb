"""Loading of weights, never of code.

`torch.load` with `weights_only=True` refuses everything that is not allow-listed. Importing this
module allows what mmengine's checkpoints hold beside tensors: log histories and numpy scalars.
"""

import importlib
import pickle
from collections.abc import Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import CheckpointLoader
from torch import nn

from dbnet.errors import UserError

READ_ERRORS = (OSError, EOFError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError)


def history_method(owner: type, name: str) -> Callable:
    """Stand in for `getattr`, by which a `HistoryBuffer` refers to its own methods."""
    if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
        raise pickle.UnpicklingError(f"Unsupported attribute {name} of {owner}")
    return getattr(owner, name)


def allow_mmengine_classes() -> None:
    """Allow `weights_only` loading of the classes in mmengine's checkpoints, under all names."""
    name = "numpy._core.multiarray" if hasattr(np, "_core") else "numpy.core.multiarray"
    multiarray = importlib.import_module(name)
    dtypes = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")]
    allowed: list = [HistoryBuffer, np.ndarray, np.dtype, *dtypes]
    allowed.append((history_method, "builtins.getattr"))
    for package in ("numpy.core", "numpy._core"):  # before and since numpy 2
        allowed.append((multiarray._reconstruct, f"{package}.multiarray._reconstruct"))
        allowed.append((multiarray.scalar, f"{package}.multiarray.scalar"))
    torch.serialization.add_safe_globals(allowed)


allow_mmengine_classes()


def read_checkpoint(path: str) -> dict:
    """Load a checkpoint file or URL onto the CPU.

    Raises:
        UserError: It cannot be had or read, or holds code.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(path, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise UserError(
            f"checkpoint {path}: refused, it is damaged or holds more than weights "
            f"({_reason(error)})"
        ) from None
    except READ_ERRORS as error:
        raise UserError(f"checkpoint {path}: {_reason(error)}") from None
    if not isinstance(checkpoint, dict):
        raise UserError(f"checkpoint {path}: holds a {type(checkpoint).__name__}, no state dict")
    return checkpoint


def load_weights(model: nn.Module, path: str, strict: bool = True) -> None:
    """Load the weights of a detector from a file of this project, MMOCR 1.x or MMOCR 0.x.

    Args:
        model: The detector.
        path: File or URL.
        strict: Whether every parameter must be there and no other. Otherwise differences are
            logged, and at least one parameter must fit.

    Raises:
        UserError: The file cannot be read or does not fit.
    """
    checkpoint = read_checkpoint(path)
    state = checkpoint.get("state_dict", checkpoint)
    state = {rename_key(key): value for key, value in state.items()}
    try:
        result = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes differ, or the values are no tensors
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"checkpoint {path} does not fit the config: {reason}") from None
    missing, unexpected = result.missing_keys, result.unexpected_keys
    if not missing and not unexpected:
        return
    summary = (
        f"checkpoint {path}: {len(missing)} keys of the model are missing in it, "
        f"{len(unexpected)} of its keys are unknown (first: {(missing + unexpected)[0]})"
    )
    if strict or len(unexpected) == len(state):
        raise UserError(f"{summary}; it is for another config")
    print_log(summary, logger="current", level=30)


def rename_key(key: str) -> str:
    """Name of a parameter in MMOCR 1.x, given that of MMOCR 0.x, 1.x or a DDP-wrapped model."""
    key = key.removeprefix("module.")
    return "det_head." + key.removeprefix("bbox_head.") if key.startswith("bbox_head.") else key


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    telling = [line.strip() for line in lines if "Unsupported" in line]  # torch's refusal is long
    return (telling or lines or [type(error).__name__])[0].split(" Please use ")[0]
