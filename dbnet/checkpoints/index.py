"""The models that were released for this project's configs: `configs/textdet/model-index.yml`."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import dbnet


@dataclass(frozen=True)
class ReleasedModel:
    """An entry of the index."""

    name: str  # as `dbnet zoo` lists it
    aliases: tuple[str, ...]  # other names, such as that of its config in MMOCR
    config: Path  # the config that has the conventions of its weights
    finetune_config: Path  # the config to train it further with
    weights: str | None  # URL of the file; None where only the config is known
    sha256: str  # first digits of the file's SHA-256; empty without a file
    metrics: dict[str, float]  # published figures, by their names; empty if there are none
    test_set: str  # what the figures are of; empty if there are none
    metadata: dict[str, str]  # facts by title, in the order of the index


def config_folder() -> Path:
    """Locate the project's configs: package data, or beside the package in a source checkout."""
    package = Path(dbnet.__file__).parent
    folders = [package / "configs", package.parent / "configs"]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def read_models() -> tuple[ReleasedModel, ...]:
    """Read the index of `config_folder()`, in its order; nothing if the folder has none."""
    return _read(config_folder())


def find_model(name: str) -> ReleasedModel | None:
    """Find the model of a name or alias; None if there is none."""
    return next((m for m in read_models() if name in (m.name, *m.aliases)), None)


def find_by_hash(digest: str) -> ReleasedModel | None:
    """Find the model of a SHA-256, whole or as far as the index has it; None if there is none."""
    return next((m for m in read_models() if m.sha256 and digest.startswith(m.sha256)), None)


@functools.cache
def _read(folder: Path) -> tuple[ReleasedModel, ...]:
    path = folder / "textdet" / "model-index.yml"
    if not path.is_file():
        return ()
    index = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(_parse(entry, folder) for entry in index["Models"])


def _parse(entry: dict[str, Any], folder: Path) -> ReleasedModel:
    metadata = {title: str(value) for title, value in entry["Metadata"].items()}
    sha256 = metadata.pop("SHA256", "")
    finetune_config = metadata.pop("Fine-tune Config", entry["Config"])
    result: dict[str, Any] = next(iter(entry.get("Results", [])), {})
    return ReleasedModel(
        name=entry["Name"],
        aliases=tuple(entry["Alias"]),
        config=folder / entry["Config"],
        finetune_config=folder / finetune_config,
        weights=entry.get("Weights"),
        sha256=sha256,
        metrics=result.get("Metrics", {}),
        test_set=result.get("Dataset", ""),
        metadata=metadata,
    )
