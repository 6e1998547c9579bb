"""Checkpoint files: atomic writes, and finding the newest one that can be resumed.

A work directory holds `epoch_N.pth` or `iter_N.pth`, `interrupted.pth` after a signal, and
`last_checkpoint`, a text file with the path of the newest. A hidden name ending in `.partial`
is a file being written, or what a kill left of it.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from dbnet.checkpoints.read import read_checkpoint
from dbnet.errors import UserError
from dbnet.utils.files import partial_name, replace_when_complete
from dbnet.utils.log import log

INTERRUPTED = "interrupted.pth"
POINTER = "last_checkpoint"


def point_to(checkpoint: Path, work_dir: Path) -> None:
    """Write the path of the newest checkpoint into `last_checkpoint`."""
    with replace_when_complete(work_dir / POINTER) as partial:
        partial.write_text(str(checkpoint))


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed run did not finish writing."""
    for path in (*folder.glob(partial_name(Path("*.pth")).name), partial_name(folder / POINTER)):
        path.unlink(missing_ok=True)


def holds_checkpoints(work_dir: Path) -> bool:
    """Check whether a run has saved anything in a work directory."""
    return (work_dir / POINTER).exists() or any(work_dir.glob("*.pth"))


def find_resumable(work_dir: Path) -> tuple[str, dict] | None:
    """Find the newest whole checkpoint of a work directory, and read it onto the CPU.

    Every damaged one is named in a warning. None stands for a work directory without any; one that
    has some, but none to resume, is an error.
    """
    for path in _newest_first(work_dir):
        try:
            return str(path), read_state(str(path))
        except UserError as error:
            log(f"skipped: {error}", level=30)
    if holds_checkpoints(work_dir):
        raise UserError(
            f"{work_dir}: none of its checkpoints can be resumed; start again with another "
            "--work-dir"
        )
    return None


def read_state(path: str) -> dict:
    """Read a checkpoint onto the CPU; it must hold a training state, not weights alone."""
    checkpoint = read_checkpoint(path)
    if zipfile.is_zipfile(path) and (part := zipfile.ZipFile(path).testzip()):
        # torch does not look at the check sums that it writes
        raise UserError(f"checkpoint {path}: damaged, {part} does not match its check sum")
    if checkpoint.get("meta", {}).get("seed") is None or "message_hub" not in checkpoint:
        raise UserError(f"checkpoint {path}: no training state to resume; use load_from")
    return checkpoint


def _newest_first(work_dir: Path) -> Iterator[Path]:
    """Yield the checkpoint that `last_checkpoint` names, then all others, the last saved first."""
    named = _pointed(work_dir)
    folders = {work_dir, named.parent if named else work_dir}  # checkpoints may lie elsewhere
    saved = [path for folder in folders for path in folder.glob("*.pth") if _number(path) >= 0]
    interrupted = work_dir / INTERRUPTED  # is removed once the run has been resumed
    others = [interrupted] if interrupted.exists() else []
    others += sorted(saved, key=_number, reverse=True)
    yield from dict.fromkeys([named, *others] if named else others)


def _pointed(work_dir: Path) -> Path | None:
    pointer = work_dir / POINTER
    text = pointer.read_text(errors="replace").strip("\0 \n") if pointer.is_file() else ""
    if not text:
        return None
    moved = work_dir / Path(text).name  # the work directory may have got another name
    return moved if moved.exists() else Path(text)


def _number(path: Path) -> int:
    match = re.fullmatch(r"(?:epoch|iter)_(\d+)\.pth", path.name)
    return int(match.group(1)) if match else -1
