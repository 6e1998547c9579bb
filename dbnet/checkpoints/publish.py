"""A checkpoint made ready for others: weights alone, named by their hash, with a model card."""

import copy
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from dbnet.checkpoints.foreign import place_graph
from dbnet.checkpoints.model_folder import CARD, CONFIG, WEIGHTS, code_in
from dbnet.checkpoints.read import (
    match,
    read_checkpoint,
    safetensors_package,
    state_dict_of,
    to_bytes,
)
from dbnet.errors import UserError
from dbnet.registry import MODELS
from dbnet.utils.files import replace_when_complete
from dbnet.version import __version__

UNITS = {"epoch": "epochs", "iter": "steps"}  # of a checkpoint's meta data
PRIVATE = ("work_dir", "load_from", "resume")  # keys that are about one's own disk
HASH_DIGITS = 8  # in the file's name, as PyTorch's own downloads have


FRONT_MATTER = """\
---
library_name: dbnet
pipeline_tag: object-detection
tags: [text-detection, scene-text-detection, ocr]
{license}---

"""  # what the hub reads of a card


def publish(
    checkpoint: str,
    config: Config,
    name: str,
    folder: Path,
    half: bool = False,
    metrics: Mapping[str, float] | None = None,
    data: str | None = None,
    license: str | None = None,
    hub: bool = False,
    average: tuple[str, float] | None = None,
) -> list[Path]:
    """Write the weights of a checkpoint as `folder`/`name`-HASH.pth, and a card beside them.

    Where the run kept an average of the weights (EMA), it is the average that a checkpoint holds as
    its weights, and that is written.

    With `half` it is float16, of which loading makes float32 again; a tensor with a number above
    65504, float16's largest, stays as it is. `metrics`, those of `results.json`, `data` (None for
    what the config names) and `license`, an SPDX identifier, are for the card. With `hub` a model's
    folder, `folder`/`name`, is written instead, see `model_folder`. `average` is another checkpoint
    and its share, in [0, 1], of the weights that are written.

    Returns:
        The files, none of which was there: weights, card and, in a model's folder, config.
    """
    content = read_checkpoint(checkpoint)
    state = weights_of(content, checkpoint)
    described = [_as_json(config, name)] if hub else []
    check_fits(state, config, name, checkpoint)
    if average is not None:
        state = averaged(state, *average, checkpoint)
    weights = {key: _rounded(value, half).contiguous() for key, value in state.items()}
    # Nothing in it depends on the moment, so that the same weights give the same hash.
    if hub:
        written = safetensors_package().save(weights)
    else:
        written = to_bytes({"state_dict": weights, "meta": {"config": config.pretty_text}})
    digest = hashlib.sha256(written).hexdigest()
    stem = f"{name}-{digest[:HASH_DIGITS]}"
    paths = [folder / f"{stem}.pth", folder / f"{stem}.md"]
    if hub:
        paths = [folder / name / file for file in (WEIGHTS, CARD, CONFIG)]
    num_weights = sum(value.numel() for key, value in state.items() if _is_weight(key))
    facts = {
        "config": f"`{name}`",
        "weights": f"`{paths[0].name}`, {len(written) / 1e6:.2f} MB, "
        + ("float16" if half else "float32"),
        "SHA-256": f"`{digest}`",
        "parameters": f"{num_weights / 1e6:.2f} M",
        "trained for": _progress(content),
        "averaged (EMA)": "yes" if "ema_state_dict" in content else "no",
        **(
            {"averaged with": f"`{Path(average[0]).name}`, {average[1]:g} of it"} if average else {}
        ),
        "trained on": data or describe_data(config),
        **({"licence": license} if license else {}),
        "written by": f"dbnet {__version__}",
    }
    source = f"hf://OWNER/{name}" if hub else f"{stem}.pth"
    use = source if hub else f"{source} --config {name}"
    card = make_card(name if hub else stem, name, facts, metrics, use, source)
    if hub:
        card = FRONT_MATTER.format(license=f"license: {license}\n" if license else "") + card
    _write(dict(zip(paths, (written, card.encode(), *described))))
    return paths


def _write(files: Mapping[Path, bytes]) -> None:
    """Write files that are not there yet."""
    for path in files:
        if path.exists():
            raise UserError(f"{path} is there already; remove it, or choose another folder")
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_when_complete(path) as partial:
            partial.write_bytes(content)


def _as_json(config: Config, name: str) -> bytes:
    """Write a config as data, which nothing is executed of where it is loaded."""
    tree = {k: v for k, v in config.to_dict().items() if k not in PRIVATE}
    if code := next(code_in(tree), None):
        raise UserError(f"config {name}: {code} is code, which no model's folder has; omit --hub")
    return (json.dumps(tree, indent=1) + "\n").encode()


def weights_of(content: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """Take the weights out of a checkpoint's content."""
    state = {k: v for k, v in state_dict_of(dict(content), source).items() if isinstance(v, Tensor)}
    if not state:
        raise UserError(f"checkpoint {source}: holds no weights")
    return state


def averaged(
    state: Mapping[str, Tensor], other: str, share: float, source: str
) -> dict[str, Tensor]:
    """Average weights with those that they were trained from, which keeps what both can do.

    Wortsman et al., "Robust fine-tuning of zero-shot models" (CVPR 2022): on the line between the
    two a network is often better than at its ends.

    `share` is that of the other checkpoint, in [0, 1]; `source` names the first in the message.
    """
    others = weights_of(read_checkpoint(other), other)
    shapes, wanted = ({k: v.shape for k, v in s.items()} for s in (others, state))
    if shapes != wanted:
        raise UserError(
            f"--average {other}: has other weights than {source}; give one it came from"
        )
    return {
        key: (1 - share) * value.float() + share * others[key].float()
        if value.is_floating_point()
        else value
        for key, value in state.items()
    }


def check_fits(state: Mapping[str, Tensor], config: Config, name: str, source: str) -> None:
    """Check that a checkpoint's state has all weights of a config's detector."""
    config = copy.deepcopy(config)
    place_graph(config, source)
    with DefaultScope.overwrite_default_scope(config.get("default_scope") or "dbnet"):
        fit = match(state, MODELS.build(config.model).state_dict())
    wrong = [*fit.missing, *fit.wrong_shape]
    if wrong:
        raise UserError(
            f"checkpoint {source} does not fit the config {name}: {len(wrong)} weights are missing "
            f"or have another shape (first: {wrong[0]}); give the config that it was trained with"
        )


def describe_data(config: Config) -> str:
    """Name the annotation files that a config trains on."""
    dataset: Any = (config.get("train_dataloader") or {}).get("dataset") or {}
    parts = dataset.get("datasets") or [dataset]
    named = [str(part.get("ann_file") or part.get("type") or "unknown") for part in parts]
    roots = [str(part.get("data_root") or "") for part in parts]
    return ", ".join(f"`{Path(root) / ann_file}`" for root, ann_file in zip(roots, named))


def make_card(
    title: str,
    name: str,
    facts: Mapping[str, str],
    metrics: Mapping[str, float] | None,
    use: str,
    source: str,
) -> str:
    """Write a model card in Markdown: a table of facts, one of metrics, if there are any.

    `use` is what `dbnet infer --checkpoint` is given, `source` what training further starts from.
    """
    lines = [f"# {title}", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in facts.items()]
    lines += ["", "## Metrics", ""]
    if metrics:
        lines += ["| | |", "|---|---|"]
        lines += [f"| `{key}` | {value:.4f} |" for key, value in metrics.items()]
    else:
        lines += ["None were given (`--results results.json` of `dbnet test --out`)."]
    lines += [
        *("", "## Use", "", "```"),
        f"dbnet infer photo.jpg --checkpoint {use} --out found",
        f"dbnet train {name} --cfg-options load_from={source}",
        *("```", ""),
    ]
    return "\n".join(lines)


def _rounded(value: Tensor, half: bool) -> Tensor:
    """Round to float16 on request, unless something, such as a variance, is too large for it."""
    if not half or not value.is_floating_point():
        return value
    rounded = value.half()
    return rounded if torch.equal(rounded.isfinite(), value.isfinite()) else value


def _is_weight(key: str) -> bool:
    return not key.endswith(("graph_bytes", "running_mean", "running_var", "num_batches_tracked"))


def _progress(content: Mapping[str, Any]) -> str:
    meta = content.get("meta") or {}
    counts = [
        f"{meta[key]} {unit}"
        for key, unit in UNITS.items()
        if isinstance(meta.get(key), int) and meta[key] > 0
    ]
    return ", ".join(counts) or "unknown"
