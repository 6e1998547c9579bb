"""Results of any number of images as a folder of parts, each whole or not there.

A part is a file of JSON lines or a Parquet file with a row per image: `img_path`, `polygons` (flat
lists, pixels), `scores` and `error`, null or why the image could not be read. `parts.json` beside
them says how they were found.
"""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dbnet.errors import UserError
from dbnet.evaluation.results import check_writable, entry_of
from dbnet.remote.paths import shown
from dbnet.utils.files import locked, replace_when_complete

SETTINGS = "parts.json"


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder and hold it for one command, where the file system has locks.

    A `UserError` if another command has it, or it cannot be written to.
    """
    check_writable(folder / SETTINGS)
    try:
        with locked(folder, wait=False):
            yield
    except BlockingIOError:
        raise UserError(
            f"--out {folder}: another command writes there; wait for it, or choose another folder"
        ) from None


class ResultParts:
    """The parts in a folder, which is made, of earlier runs too.

    `format` is "jsonl" or "parquet"; `settings` are what the results depend on, as JSON has it. A
    `UserError` if the folder holds parts and `resume` was not asked for, or parts of other
    settings; if it cannot be written to; or if Parquet's package is missing.
    """

    def __init__(
        self, folder: Path, format: str, settings: Mapping[str, Any], resume: bool
    ) -> None:
        self.folder, self.format = folder, format
        settings = {**settings, "format": format}
        self.arrow = arrow() if format == "parquet" else None
        recorded = folder / SETTINGS
        self.paths = [p for p in sorted(folder.glob("part-*")) if p.stem[5:].isdecimal()]
        if self.paths and not resume:
            raise UserError(
                f"--out {folder}: holds results; continue with --resume, or choose another"
            )
        if self.paths or recorded.exists():
            check_same(recorded, settings if self.paths else {})
        with replace_when_complete(recorded) as partial:
            partial.write_text(json.dumps(settings, indent=1))

    def done(self) -> dict[str, str | None]:
        """Name the images that the parts hold, each with its error."""
        return {name: error for path in self.paths for name, error in self._names(path)}

    def add(self, rows: Sequence[dict]) -> Path:
        """Write one more part."""
        number = max((int(path.stem[5:]) for path in self.paths), default=-1) + 1
        path = self.folder / f"part-{number:06d}.{self.format}"
        try:
            with replace_when_complete(path) as partial:
                self._write(partial, rows)
        except OSError as error:
            raise UserError(f"--out {path}: {error.strerror}") from error
        self.paths.append(path)
        return path

    def _write(self, path: Path, rows: Sequence[dict]) -> None:
        if self.arrow is None:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            table = self.arrow.Table.from_pylist(list(rows), schema(self.arrow))
            importlib.import_module("pyarrow.parquet").write_table(table, path)

    def _names(self, path: Path) -> list[tuple[str, str | None]]:
        try:
            if self.arrow is None:
                rows = [json.loads(line) for line in path.read_text().splitlines()]
            else:
                parquet = importlib.import_module("pyarrow.parquet")
                rows = parquet.read_table(path, columns=["img_path", "error"]).to_pylist()
            return [(row["img_path"], row["error"]) for row in rows]
        except (OSError, ValueError, LookupError, TypeError) as error:  # pyarrow's are of these
            raise UserError(f"{path}: damaged ({error}); remove it, and it is done again") from None


def arrow() -> Any:
    """Import pyarrow; a `UserError` if it is not installed."""
    try:
        return importlib.import_module("pyarrow")
    except ImportError:
        raise UserError("--format parquet needs a package: pip install 'dbnet[ray]'") from None


def schema(arrow: Any) -> Any:
    """Make Parquet's schema, the same for all parts."""
    numbers = arrow.list_(arrow.float32())
    polygons, text = arrow.list_(numbers), arrow.string()
    return arrow.schema(dict(img_path=text, polygons=polygons, scores=numbers, error=text))


def check_same(path: Path, settings: Mapping[str, Any]) -> None:
    """Check that the parts beside a file of settings were found with these."""
    try:
        before = json.loads(path.read_text())
        missing = before.keys() ^ settings.keys() if settings else set()
    except (OSError, ValueError, AttributeError):
        missing = {"all"}
    if missing:
        raise UserError(f"{path}: is not of these parts; choose another --out")
    now = json.loads(json.dumps(dict(settings)))
    for key in now:
        if before[key] != now[key]:
            raise UserError(
                f"--resume: the parts in {path.parent} are of {key} {before[key]}, not {now[key]}; "
                "give the same, or choose another --out"
            )


def row_of(path: str, result: Mapping[str, Any] | UserError) -> dict[str, Any]:
    """Make the row of an image."""
    if isinstance(result, UserError):
        return dict(img_path=shown(path), polygons=[], scores=[], error=str(result))
    return dict(entry_of(path, result), error=None)
