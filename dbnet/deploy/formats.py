"""Which files can be written, and with which arguments; nothing here is slow to import."""

import difflib
from pathlib import Path
from typing import NamedTuple

from dbnet.errors import UserError

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
LAYOUTS = ("nchw", "opencv")
# Lower opsets lack operators, higher ones were not tried; PyTorch's old exporter writes up to 17.
OPSETS = range(11, 24)
OLD_EXPORTER = 17


class Format(NamedTuple):
    """A kind of file."""

    name: str
    precisions: tuple[str, ...]
    arguments: tuple[str, ...] = ()  # of the command, besides those that all take


FORMATS = {
    ".onnx": Format("ONNX", ("fp32", "fp16", "int8"), ("--layout", "--size", "--opset")),
    ".xml": Format("OpenVINO", PRECISIONS),
    ".pt2": Format("torch.export", ("fp32", "fp16", "bf16")),
}


class Request(NamedTuple):
    """What to export; see `dbnet export --help`."""

    out: Path
    precision: str = "fp32"
    calibrate: Path | None = None
    layout: str = "nchw"
    size: tuple[int, int] | None = None
    opset: int | None = None


def check_request(request: Request) -> None:
    """Check that the arguments go together and nothing is overwritten."""
    out, suffix = request.out, request.out.suffix.lower()
    if suffix not in FORMATS:
        near = difflib.get_close_matches(suffix, FORMATS, 1, 0.4)
        hint = f"; did you mean {out.with_suffix(near[0]).name}?" if near else ""
        raise UserError(f"--out {out}: the suffix says what to write, {' '.join(FORMATS)}{hint}")
    kind = FORMATS[suffix]
    if request.precision not in kind.precisions:
        raise UserError(
            f"--precision {request.precision}: {kind.name} has {', '.join(kind.precisions)}"
            + ("; --out model.xml has bf16" if request.precision == "bf16" else "")
        )
    for name in ("layout", "size", "opset"):
        is_given = getattr(request, name) != Request._field_defaults[name]
        if is_given and f"--{name}" not in kind.arguments:
            raise UserError(f"--{name}: does not go with {kind.name}, leave it out")
    _check_opencv(request)
    if request.precision == "int8" and request.calibrate is None:
        raise UserError("--precision int8: needs --calibrate DIR, a folder of training images")
    if request.precision != "int8" and request.calibrate is not None:
        raise UserError("--calibrate: goes with --precision int8")
    if request.opset is not None and request.opset not in OPSETS:
        raise UserError(f"--opset {request.opset}: must be {OPSETS[0]} to {OPSETS[-1]}")
    for path in files_of(out):
        if path.exists():
            raise UserError(f"--out {out}: {path.name} is there already, choose another name")


def files_of(out: Path) -> list[Path]:
    """List the files that a format writes."""
    return [out, out.with_suffix(".bin")] if out.suffix.lower() == ".xml" else [out]


def _check_opencv(request: Request) -> None:
    if request.layout == "nchw":
        if request.size is not None:
            raise UserError("--size: goes with --layout opencv; otherwise every size fits")
        return
    if request.precision != "fp32":
        raise UserError("--layout opencv: has fp32 only")
    if request.opset is not None and request.opset > OLD_EXPORTER:
        raise UserError(
            f"--opset {request.opset}: OpenCV 4.14 and 5.0 crash on newer opsets than "
            f"{OLD_EXPORTER} or compute something else, leave it out"
        )
    if request.size is not None and any(side % 32 for side in request.size):
        width, height = (max(round(side / 32) * 32, 32) for side in request.size)
        raise UserError(f"--size: must be multiples of 32, such as {width},{height}")
