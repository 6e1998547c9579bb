"""A model as one folder, on a disk or on Hugging Face's hub: its config, weights and card."""

import os
from pathlib import Path

from dbnet.errors import UserError

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
HUB = "hf://"


def is_model_folder(source: object) -> bool:
    """Check whether something is the address of a model on the hub, or a local folder of one."""
    if not isinstance(source, str | Path):
        return False
    folder = Path(source)
    return str(source).startswith(HUB) or all((folder / f).is_file() for f in (CONFIG, WEIGHTS))


def file_of(source: str, name: str) -> Path:
    """Return a file of a model's folder; from the hub it is downloaded once.

    Args:
        source: A local folder, "hf://OWNER/NAME" or "hf://OWNER/NAME@REVISION".
        name: Of the file.

    Raises:
        UserError: The hub does not give it, or the package for it is not installed.
    """
    if not source.startswith(HUB):
        return Path(source) / name
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
    except (errors.HFValidationError, errors.HfHubHTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
    raise UserError(f"{source}: {reason}")
