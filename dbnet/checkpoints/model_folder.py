"""A model as one folder, on a disk or on Hugging Face's hub: its config, weights and card."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dbnet.errors import UserError, line_of

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
HUB = "hf://"
NAMING = ("type", "constructor", "_scope_", "default_scope")  # keys by which code is looked up


def is_model_folder(source: object) -> bool:
    """Check whether something is the address of a model on the hub, or a local folder of one."""
    if not isinstance(source, str | Path):
        return False
    folder = Path(source)
    return str(source).startswith(HUB) or any((folder / f).is_file() for f in (CONFIG, WEIGHTS))


def file_of(source: str, name: str) -> Path:
    """Return a file of a model's folder; from the hub it is downloaded once.

    The folder is a local one, "hf://OWNER/NAME" or "hf://OWNER/NAME@REVISION".
    """
    if not source.startswith(HUB):
        if not (path := Path(source) / name).is_file():
            raise UserError(f"{source}: holds no {name}; get the model's folder again")
        return path
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise UserError(f"{source}: needs a package: pip install 'dbnet[hub]'") from None
    repository, _, revision = source.removeprefix(HUB).partition("@")
    endpoint = os.environ.get("HF_ENDPOINT")  # of another hub
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                repository, name, revision=revision or None, endpoint=endpoint
            )
        )
    except errors.RepositoryNotFoundError:
        reason = "no such model, or it is private: log in by `hf auth login`"
    except errors.RevisionNotFoundError:
        reason = f"has no revision {revision}"
    except errors.LocalEntryNotFoundError:
        reason = "the hub cannot be reached, and no copy of it is here"
    except errors.EntryNotFoundError:
        reason = f"has no {name}: it was not written by `dbnet publish --hub`"
    except Exception as error:  # of the name, of HTTP, or of HF_ENDPOINT
        reason = line_of(error)
    raise UserError(f"{source}: {reason}")


def read_data(path: Path) -> dict[str, Any]:
    """Read a config that is data."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); get the model's folder again") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("model"), dict):
        raise UserError(f"{path}: holds no config of a model; get the model's folder again")
    if code := next(code_in(tree), None):
        raise UserError(
            f"{path}: {code} would run code; if you trust it, give a .py config of your own and "
            "the folder as its checkpoint"
        )
    return tree


def code_in(node: Any) -> Iterator[str]:
    """Find what in a config imports modules, or names code by more than a registered name."""
    if isinstance(node, dict):
        for key, value in node.items():
            scope = key in ("_scope_", "default_scope") and value not in ("dbnet", "mmengine")
            dotted = key in NAMING and (not isinstance(value, str) or "." in value)
            if dotted or scope or (key == "custom_imports" and value):
                yield f"{key}={value!r}"
        node = list(node.values())
    for value in node if isinstance(node, list | tuple) else ():
        yield from code_in(value)
