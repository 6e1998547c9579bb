"""`results.json`: metrics and predictions, written by `dbnet test` and `dbnet infer`."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dbnet.errors import UserError
from dbnet.remote.paths import shown
from dbnet.utils.files import refuse_special, replace_when_complete


def write_results(path: Path, metrics: Mapping[str, float], images: Sequence[dict]) -> None:
    """Write a `results.json` atomically; a `UserError` if it cannot be written.

    `metrics` are empty where nothing was evaluated; each image has `img_path`, `polygons` (flat
    lists) and `scores`.
    """
    try:
        with replace_when_complete(path) as partial:
            partial.write_text(json.dumps(dict(metrics=metrics, images=list(images))))
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}") from error


def entry_of(path: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """Make an image's entry of `images`; secrets of a URL are left out of its name."""
    polygons = [polygon.flatten().tolist() for polygon in result["polygons"]]
    return dict(img_path=shown(path), polygons=polygons, scores=result["scores"].tolist())


def check_writable(path: Path) -> None:
    """Make the folder of a file and check, before hours of work, that the file can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {path}: {error.strerror}") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"--out {path}: cannot be written")


def check_results_path(path: Path) -> None:
    """Check that a `results.json` can be written, and replaces no file but an earlier one."""
    check_writable(path)
    if os.path.lexists(path) and not holds_results(path):
        raise UserError(f"--out {path} is there already and no results.json, choose another name")


def holds_results(path: Path) -> bool:
    """Check whether a file is of `write_results`, or is empty."""
    try:
        refuse_special(path)
        content = json.loads(path.read_bytes() or b'{"metrics": {}, "images": []}')
    except (OSError, ValueError, RecursionError):  # no JSON or no UTF-8
        return False
    return isinstance(content, dict) and {"metrics", "images"} <= content.keys()


def read_images(path: Path) -> list[dict[str, Any]]:
    """Read the predictions of a `results.json`, a dict per image, unchecked."""
    try:
        refuse_special(path)
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # no JSON or no UTF-8
        raise UserError(f"{path}: not a JSON file: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise UserError(f'{path}: no "images"; expected a file of test.py --out')
    return content["images"]


def read_metrics(path: Path) -> dict[str, float]:
    """Read the metrics of a `results.json`; a `UserError` if it is none."""
    try:
        refuse_special(path)
        metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        return {str(key): float(value) for key, value in metrics.items()}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f'{path}: no "metrics"; give the results.json of dbnet test') from None
