import argparse
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import init_default_scope

from dbnet.cli.console import command
from dbnet.config.load import load_config
from dbnet.datasets.samplers import SampleKey
from dbnet.engine.start import config_mistakes_reported, default_work_dir
from dbnet.errors import UserError
from dbnet.images import write_image
from dbnet.registry import DATA_SAMPLERS, DATASETS
from dbnet.remote.paths import file_name
from dbnet.visualization.samples import draw_sample, draw_small_sample
from dbnet.visualization.sheet import contact_sheet, shorten

PACKER = "PackTextDetInputs"
MAX_TILES = 100  # in the sheet


@command("browse")
def main(args: argparse.Namespace) -> int:
    """Write a picture per sample and a sheet of all; return the exit status."""
    config = load_config(args.config, args.cfg_options, args.data_root)
    loader = config.get(f"{args.split}_dataloader")
    if loader is None:
        raise UserError(f"config {args.config}: no {args.split}_dataloader")
    folder = args.out or Path(default_work_dir(args.config)) / f"browse_{args.split}"
    seed = config.get("randomness", {}).get("seed") if args.seed is None else args.seed
    init_default_scope(config.default_scope)
    with config_mistakes_reported(args.config):
        dataset = DATASETS.build(without_packing(loader.dataset))
        keys = list(sample_keys(loader, dataset, seed or 0, args.epoch, args.number))
    write_samples(folder, dataset, keys)
    print(f"{folder}: {len(keys)} of {len(dataset)} samples, sheet.jpg")
    return 0


def without_packing(node: dict) -> dict:
    """Copy a dataset's config, without the transform that turns samples into tensors.

    The datasets that it concatenates are treated alike.
    """
    copy = dict(node)
    if "datasets" in node:
        copy["datasets"] = [without_packing(joined) for joined in node["datasets"]]
    if "pipeline" in node:
        copy["pipeline"] = [step for step in node["pipeline"] if step.get("type") != PACKER]
    return copy


def sample_keys(
    loader: Config, dataset: BaseDataset, seed: int, epoch: int, number: int
) -> Iterator[int | SampleKey]:
    """Yield the keys of the first samples that a run in one process loads in an epoch, from 0.

    They are at most `number`; a finite sampler ends with the epoch.
    """
    sampler = DATA_SAMPLERS.build(loader.sampler, default_args=dict(dataset=dataset, seed=seed))
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
    elif hasattr(sampler, "start"):  # an endless one
        sampler.start = epoch * len(dataset)
    return itertools.islice(sampler, number)


def write_samples(folder: Path, dataset: BaseDataset, keys: Iterable[int | SampleKey]) -> None:
    """Draw samples into `NUMBER_NAME.jpg` each, and the first of them into `sheet.jpg`."""
    tiles = []
    for number, key in enumerate(keys):
        sample = dataset[key]
        if not {"img", "polygons", "ignored"} <= set(sample):
            raise UserError(
                f"pipeline: its samples lack img, polygons or ignored before {PACKER}, which "
                "must be the last transform"
            )
        path = Path(file_name(sample.get("img_path", "")))
        title = f"{shorten(path.name, 32)}  {describe(key)}"
        write_image(folder / f"{number:03d}_{path.stem}.jpg", draw_sample(sample, title))
        if number < MAX_TILES:
            tiles.append(draw_small_sample(sample, f"{number:03d} {shorten(path.name, 24)}"))
    if tiles:
        write_image(folder / "sheet.jpg", contact_sheet(tiles))


def describe(key: int | SampleKey) -> str:
    """Name what a sample depends on."""
    if isinstance(key, SampleKey):
        return f"seed {key.seed}, epoch {key.epoch}, item {key.item}"
    return f"item {key}"
