import argparse
import os
import pprint
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

from dbnet.apis.detector import scope_of
from dbnet.apis.evaluation import evaluation_runner
from dbnet.cli.console import command
from dbnet.cli.progress import with_progress
from dbnet.cli.test import make_config
from dbnet.config.find import find_config
from dbnet.config.load import load_config
from dbnet.datasets.image_paths import image_paths
from dbnet.engine.start import config_mistakes_reported
from dbnet.errors import UserError
from dbnet.models.postprocessors import DBPostprocessor
from dbnet.registry import DATASETS
from dbnet.tuning.maps import MapKeeper
from dbnet.tuning.search import (
    BOX_THRESHOLDS,
    Candidate,
    Search,
    Size,
    count_maps,
    make_grid,
    used_settings,
)
from dbnet.utils.files import replace_when_complete
from dbnet.utils.parallel import num_threads

GIGABYTE = 10**9


@command("tune")
def main(args: argparse.Namespace) -> int:
    """Search the postprocessor's settings and write a config; return the exit status."""
    out = args.out or Path(f"{find_config(args.config).stem}_tuned.py")
    if os.path.lexists(out):
        raise UserError(f"--out {out} is there already, choose another name")
    config = make_config(args)
    take_images(config, args)
    own = own_postprocessor(config)
    box_thresholds = sorted({*BOX_THRESHOLDS, own.box_thresh})
    fixed = dict(max_candidates=own.max_candidates, min_text_width=own.min_text_width)
    grid = make_grid(used_settings(own))
    counts: dict[Size, np.ndarray] = {}
    for size in args.test_sizes or [None]:
        with tempfile.TemporaryDirectory(prefix="dbnet_tune_") as folder:
            keeper = MapKeeper(Path(folder), round(args.max_gigabytes * GIGABYTE))
            compute_maps(config, args, size, keeper)
            print(f"{describe_size(size)}: {len(grid) * len(box_thresholds)} settings", flush=True)
            found = count_maps(keeper.paths, grid, box_thresholds, fixed, num_threads())
            shown = with_progress(found, len(keeper.paths), "searched")
            counts[size] = np.stack(list(shown))
    search = Search(grid, box_thresholds, own.box_thresh, counts, args.by)
    print(*describe(search), sep="\n")
    write_config(out, args.config, search.best)
    print(
        f"wrote {out}: dbnet test {out} {args.checkpoint} ... on images that were not searched on"
    )
    return 0


def take_images(config: Config, args: argparse.Namespace) -> None:
    """Put the images to tune on, by default the validation set, in the test set's place.

    A `UserError` if some are of the test set, or there are none.
    """
    scope = DefaultScope.overwrite_default_scope(scope_of(config))
    with config_mistakes_reported(args.config), scope:
        tested = images_of(config.test_dataloader.dataset)
        if args.ann_file:
            config.test_dataloader.dataset.ann_file = args.ann_file
        elif config.get("val_dataloader"):
            config.test_dataloader.dataset = deepcopy(config.val_dataloader.dataset)
        chosen = images_of(config.test_dataloader.dataset)
    if not chosen:
        raise UserError("no images to tune on; name their annotations, --ann-file textdet_val.json")
    if (shared := len(tested & chosen)) and not args.on_test_set:
        raise UserError(
            f"{shared} of the {len(chosen)} images to tune on are of the config's test set, whose "
            "figures would mean nothing then: name others, --ann-file textdet_val.json (made by "
            "`dbnet prepare ... --val-fraction 0.1`), or go on with --on-test-set"
        )


def images_of(dataset: dict) -> set[str]:
    return {os.path.realpath(path) for path in image_paths(DATASETS.build(deepcopy(dataset)))}


def own_postprocessor(config: Config) -> DBPostprocessor:
    """Build the config's postprocessor, whose settings are the first that are tried."""
    settings = dict(config.model.postprocessor)
    if settings.pop("type", None) not in ("DBPostprocessor", "dbnet.DBPostprocessor"):
        raise UserError("model.postprocessor: only a DBPostprocessor can be tuned")
    return DBPostprocessor(**settings)


def compute_maps(config: Config, args: argparse.Namespace, size: Size, keeper: MapKeeper) -> None:
    """Run the network on all images, resized to `size`."""
    config = deepcopy(config)
    if size is not None:
        resized = load_config(args.config, args.cfg_options, args.data_root, size)
        for path in ("test_dataloader", "val_dataloader"):
            if resized.get(path):
                config[path].dataset.pipeline = resized[path].dataset.pipeline
    runner = evaluation_runner(config, args.checkpoint, args.config)
    runner.model.postprocessor = keeper
    runner.test_evaluator.metrics = []
    runner.test()


def describe(search: Search) -> Iterator[str]:
    """Write the best, what it gains, and its plateau."""
    best, own = search.best, search.own
    low, high = search.interval()
    yield f"{search.metric} {best.value:.4f}, 95 % interval {low:.4f} to {high:.4f}, by"
    yield f"  {describe_settings(best)}"
    if best is own:
        yield "the config's own settings: nothing is better"
    else:
        gain = search.gain(own)
        yield (
            f"the config's own {own.value:.4f}: {gain.change:+.4f}, 95 % interval {gain.low:+.4f} "
            f"to {gain.high:+.4f}, higher in {gain.share:.1%} of the resamples"
        )
    yield "around it, one setting changed; in brackets what these images cannot tell from the best:"
    for name, near in search.plateau():
        yield f"  {name:15} " + "  ".join(describe_near(search, name, one) for one in near)
    yield "chosen on these images, so that it looks better on them than on others"


def describe_near(search: Search, name: str, one: Candidate) -> str:
    value = describe_size(one.size) if name == "size" else one.settings[name]
    text = f"{value} {one.value:.4f}"
    if (one.settings, one.size) == (search.best.settings, search.best.size):
        return f"*{text}"
    return f"({text})" if search.gain(one).low <= 0 else text


def describe_settings(one: Candidate) -> str:
    return f"{describe_size(one.size)}: " + ", ".join(f"{k}={v}" for k, v in one.settings.items())


def describe_size(size: Size) -> str:
    return "config's size" if size is None else "{},{}".format(*size)


def write_config(out: Path, name: str, best: Candidate) -> None:
    """Write a config that inherits `name` and has the best settings."""
    base = os.path.abspath(path) if (path := Path(name)).is_file() else str(find_config(name))
    settings = ", ".join(f"{name}={value!r}" for name, value in best.settings.items())
    lines = [
        f"# {describe_settings(best)}: by `dbnet tune`",
        f"_base_ = [{base!r}]",
        f"model = dict(postprocessor=dict({settings}))",
    ]
    if best.size is not None:
        lines += ["", f"# --test-size {describe_size(best.size)}"]
        sized = load_config(name, test_size=best.size)
        for loader in ("val_dataloader", "test_dataloader"):
            if sized.get(loader):
                pipeline = pprint.pformat(sized[loader].dataset.to_dict()["pipeline"], width=96)
                lines.append(f"{loader} = dict(dataset=dict(pipeline={pipeline}))")
    with replace_when_complete(out) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
