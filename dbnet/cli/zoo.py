import argparse
import difflib
import filecmp
import shutil
from pathlib import Path

from dbnet.checkpoints.download import cache_path
from dbnet.checkpoints.index import ReleasedModel, find_by_hash, find_model, read_models
from dbnet.checkpoints.read import fetch_checkpoint
from dbnet.cli.console import command
from dbnet.config.load import load_config
from dbnet.errors import UserError
from dbnet.utils.files import replace_when_complete
from dbnet.utils.text import format_table

METRICS = ("precision", "recall", "hmean-iou")
PUBLISHED = (
    "Figures are published by MMOCR: test set, the best of the score thresholds 0.3 to 0.9.",
    "None was measured with this code.",
)
FINETUNE_EPOCHS = 100
FINETUNE_WARMUP = 5  # epochs, where the config has a warm-up


@command("zoo")
def main(args: argparse.Namespace) -> int:
    """Show or download released models; return the exit status."""
    if args.command == "list":
        print("\n".join(list_models()))
    elif args.command == "info":
        print("\n".join(describe(known_model(args.name))))
    else:
        print(download_model(known_model(args.name), args.out))
    return 0


def known_model(name: str) -> ReleasedModel:
    """Find a model by its name, an alias or the first digits of its file's SHA-256."""
    model = find_model(name) or find_by_hash(name.lower())
    if model is None:
        names = [known for m in read_models() for known in (m.name, *m.aliases)]
        nearest = ", ".join(difflib.get_close_matches(name, names, n=3, cutoff=0))
        raise UserError(f"{name}: no released model of this name; nearest: {nearest}")
    return model


def list_models() -> list[str]:
    """Lines of a table of all models."""
    rows: list[tuple[str, ...]] = [("model", "config", "test size", *METRICS, "downloaded")]
    for model in read_models():
        config = "of that name" if model.config.stem == model.name else model.config.stem
        size = model.metadata.get("Test Size", "-")
        rows.append((model.name, config, size, *_published(model), _size_on_disk(model)))
    return [
        *format_table(rows),
        "",
        *PUBLISHED,
        "dbnet zoo info NAME: where from, and how to use it",
    ]


def describe(model: ReleasedModel) -> list[str]:
    """Lines on one model: facts, published figures, and the commands that use it."""
    facts = {
        "model": model.name,
        "also called": ", ".join(model.aliases) or "-",
        "config": str(model.config),
        **{title.lower(): value for title, value in model.metadata.items()},
    }
    if model.weights is None:
        facts["weights"] = "none released"
    else:
        path = cache_path(model.weights)
        facts["weights"] = model.weights
        facts["sha-256"] = f"begins with {model.sha256}"
        facts["file"] = f"{path} ({_size_on_disk(model)})" if path.exists() else "not downloaded"
    if model.metrics:
        figures = " ".join(f"{key} {value}" for key, value in zip(METRICS, _published(model)))
        facts["published"] = f"{model.test_set} test set: {figures}"
    width = max(map(len, facts))
    lines = [f"{title:{width}}  {value}" for title, value in facts.items()]
    return [*lines, *(PUBLISHED if model.metrics else ()), "", *usage(model)]


def usage(model: ReleasedModel) -> list[str]:
    """Lines with the commands that test and fine-tune a model; that train it, if it has no file."""
    if model.weights is None:
        return ["train:", f"  dbnet train {model.config.stem}"]
    lines = []
    tested = load_config(str(model.config))
    if tested.get("test_dataloader") is not None:
        root = tested.test_dataloader.dataset.data_root
        lines += ["test:", f"  dbnet test {model.config.stem} {model.weights} --data-root {root}"]
    return [*lines, "fine-tune:", "  " + " \\\n      ".join(finetune_command(model))]


def finetune_command(model: ReleasedModel) -> list[str]:
    """Parts of a command that fine-tunes a model.

    A recipe, whose `load_from` is to be filled in, needs no more; another config is run for fewer
    epochs, at a tenth of its learning rate.
    """
    config = load_config(str(model.finetune_config))
    start = f"dbnet train {model.finetune_config.stem} --data-root MY_DATA --work-dir MY_RUN"
    load = f"--cfg-options load_from={model.weights}"
    if config.get("load_from"):
        return [start, load]
    options = [
        f"train_cfg.max_epochs={FINETUNE_EPOCHS}",
        f"optim_wrapper.optimizer.lr={config.optim_wrapper.optimizer.lr / 10:g}",
    ]
    if len(config.param_scheduler) > 1:  # a warm-up first
        options.append(f"param_scheduler.0.end={FINETUNE_WARMUP}")
        options.append(f"param_scheduler.1.begin={FINETUNE_WARMUP}")
    return [start, load, " ".join(options)]


def download_model(model: ReleasedModel, out: Path | None) -> Path:
    """Download a model's file into the cache, unless it is there, and copy it to a folder.

    Returns:
        The copy, or the file in the cache without `out`.
    """
    if model.weights is None:
        raise UserError(f"{model.name}: no weights were released; its config can be trained")
    cached = fetch_checkpoint(model.weights)
    if out is None:
        return cached
    copy = out / cached.name
    try:
        if copy.exists():
            if not filecmp.cmp(cached, copy, shallow=False):
                raise UserError(f"{copy} is there already and differs; choose another --out")
            return copy
        out.mkdir(parents=True, exist_ok=True)
        with replace_when_complete(copy) as partial:
            shutil.copyfile(cached, partial)
        return copy
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}") from error


def _published(model: ReleasedModel) -> tuple[str, ...]:
    return tuple(f"{model.metrics[key]:.4f}" if model.metrics else "-" for key in METRICS)


def _size_on_disk(model: ReleasedModel) -> str:
    if model.weights is None:
        return "no file"
    path = cache_path(model.weights)
    return f"{path.stat().st_size / 1e6:.1f} MB" if path.exists() else "-"
