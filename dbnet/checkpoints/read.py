"""Loading of weights, never of code.

`torch.load` with `weights_only=True` refuses everything that is not allow-listed. Importing this
module allows what mmengine's checkpoints hold beside tensors: log histories and numpy scalars.
"""

import importlib
import io
import logging
import pickle
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from dbnet.checkpoints.conventions import find_mismatch
from dbnet.checkpoints.download import fetch
from dbnet.checkpoints.mhliao import from_mhliao, is_mhliao
from dbnet.checkpoints.names import rename_key, rename_keys
from dbnet.errors import UserError, line_of
from dbnet.utils.files import sha256
from dbnet.utils.log import log


def history_method(owner: type, name: str) -> Callable:
    """Replace `getattr`, by which a `HistoryBuffer` refers to its own methods."""
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


def fetch_checkpoint(source: str) -> Path:
    """Return the local file of a path or URL, see `fetch`; a UserError says if there is none."""
    try:
        return fetch(source)
    except (UserError, OSError) as error:
        raise UserError(f"checkpoint {error}") from None


def read_checkpoint(source: str) -> dict:
    """Load a checkpoint, a path or URL as for `fetch`, onto the CPU."""
    return _read(fetch_checkpoint(source), source)


def load_weights(model: nn.Module, source: str, strict: bool = True) -> None:
    """Load the weights of a detector from a file of this project, MMOCR or MhLiao/DB.

    What fits and what does not is logged as a table. A part of the detector (backbone, neck,
    det_head) of which the file has less than half is an error.

    Args:
        model: The detector, wrapped for several processes or not.
        source: Path or URL, see `fetch`.
        strict: Whether every other difference is an error too, and so is a released file that
            needs another config. Otherwise what fits is taken.

    Raises:
        UserError: The file cannot be read or does not fit; the model is as it was.
    """
    detector: Any = model.module if is_model_wrapper(model) else model
    path = fetch_checkpoint(source)
    state: Mapping[str, Any] = state_dict_of(_read(path, source), source)
    from_paper = is_mhliao(state)
    if from_paper:
        state = from_mhliao(state)
    own = detector.state_dict()
    fit = match(state, own)
    log(f"checkpoint {source}\n{fit.table()}")
    _check_fit(fit, own, source, strict)
    mismatch = find_mismatch(detector, sha256(path), from_paper)
    if mismatch and strict:
        raise UserError(f"checkpoint {source}: {mismatch}")
    if mismatch:
        log(f"checkpoint {source}: {mismatch}", level=logging.WARNING)
    detector.load_state_dict(fit.loaded, strict=False)


@dataclass(frozen=True)
class Fit:
    """How a checkpoint and a model fit, by names of parameters."""

    loaded: dict[str, Tensor]  # what both have, by the model's names
    renamed: dict[str, str]  # the model's name for each that the checkpoint calls otherwise
    missing: list[str]  # what the model alone has
    unexpected: list[str]  # what the checkpoint alone has
    wrong_shape: list[str]  # what both have, in different shapes

    def table(self) -> str:
        """Count every outcome by the parts of the detector and name the first of each."""
        rows = {
            "loaded": list(self.loaded),
            "renamed": list(self.renamed.values()),
            "missing": self.missing,
            "unexpected": self.unexpected,
            "wrong shape": self.wrong_shape,
        }
        parts = list(dict.fromkeys(map(part_of, [*self.loaded, *self.missing, *self.wrong_shape])))
        lines = ["".join(f"{title:>12}" for title in ("", "all", *parts, "other")) + "  first"]
        for title, names in rows.items():
            counts = Counter(map(part_of, names))
            by_part = [counts[part] for part in parts]
            cells = (title, len(names), *by_part, len(names) - sum(by_part))
            lines.append("".join(f"{cell:>12}" for cell in cells) + f"  {next(iter(names), '')}")
        return "\n".join(lines)


def match(state: Mapping[str, object], own: Mapping[str, Tensor]) -> Fit:
    """Compare a checkpoint's entries, by our names, MMOCR 1.x's or 0.x's, with those of a model."""
    renamed = {key: rename_key(key) for key in state if rename_key(key) != key}
    known = rename_keys(state)
    shared = {key: value for key, value in known.items() if key in own}
    loaded = {
        key: value
        for key, value in shared.items()
        if isinstance(value, Tensor) and value.shape == own[key].shape
    }
    # Files older than PyTorch 0.4.1 lack the counters, which only cumulative averages read.
    absent = [k for k in own if k not in known and not k.endswith(".num_batches_tracked")]
    return Fit(
        loaded=loaded,
        renamed={old: new for old, new in renamed.items() if new in own},
        missing=absent,
        unexpected=[key for key in known if key not in own],
        wrong_shape=[key for key in shared if key not in loaded],
    )


def part_of(key: str) -> str:
    """Name the part of a detector that a parameter belongs to."""
    return key.partition(".")[0]


def _check_fit(fit: Fit, own: Iterable[str], source: str, strict: bool) -> None:
    wanted, filled = Counter(map(part_of, own)), Counter(map(part_of, fit.loaded))
    # PP-OCR's file has half of a head, and a ResNet-18 a quarter of a ResNet-50.
    poor = [part for part in wanted if 2 * filled[part] < wanted[part]]
    if poor:
        counts = ", ".join(f"{filled[part]} of {wanted[part]} in {part}" for part in poor)
        raise UserError(
            f"checkpoint {source}: too little of it fits the model, {counts}; it is for another "
            "config"
        )
    problems = [
        f"{len(names)} {what} (first: {names[0]})"
        for names, what in (
            (fit.missing, "keys of the model are missing in it"),
            (fit.unexpected, "of its keys are unknown"),
            (fit.wrong_shape, "have another shape"),
        )
        if names
    ]
    if problems and strict:
        raise UserError(
            f"checkpoint {source} does not fit the config: {', '.join(problems)}; it is for "
            "another config"
        )
    if fit.missing or fit.wrong_shape:
        log(
            f"checkpoint {source}: {', '.join(problems)}; what the model does not get from it "
            "starts afresh",
            level=logging.WARNING,
        )


def state_dict_of(checkpoint: dict, source: str) -> dict[str, object]:
    """Take the weights out of a checkpoint, which may be nothing but weights."""
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise UserError(f"checkpoint {source}: its state_dict is none")
    return state


def to_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    """Return the bytes of a checkpoint's file, the same for the same content under any name."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


def safetensors_package() -> Any:
    """Import `safetensors.torch`, which is needed for its own files alone."""
    try:
        import safetensors.torch
    except ImportError:
        raise UserError("safetensors files need a package: pip install safetensors") from None
    return safetensors.torch


def _read(path: Path, source: str) -> dict:
    try:
        if path.suffix == ".safetensors":
            return safetensors_package().load_file(str(path))
        if path.suffix == ".onnx":
            raise UserError(
                f"checkpoint {source}: is an ONNX file, which holds a network of its own; give it "
                "as model.backbone.file"
            )
        with warnings.catch_warnings():  # of code that it refuses, which the error names anyway
            warnings.simplefilter("ignore")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(f"checkpoint {source}: refused, {_refusal(str(error))}") from None
    except Exception as error:  # a damaged file can raise anything
        reason = line_of(error)
        cause = reason.split(". ")[0]  # torch continues with how to report it
        raise UserError(f"checkpoint {source}: damaged or no checkpoint ({cause})") from None
    if not isinstance(checkpoint, dict):
        raise UserError(f"checkpoint {source}: holds a {type(checkpoint).__name__}, no state dict")
    return checkpoint


def _refusal(message: str) -> str:
    """Shorten torch's message to what it has refused."""
    if found := re.search(r"GLOBAL (\S+)", message):
        return f"it holds {found[1]}, which no weights need and which might run code"
    lines = message.strip().splitlines()
    telling = next((line for line in lines if "nsupported" in line), lines[0])
    return f"it is damaged or holds more than weights ({telling.strip()})"
