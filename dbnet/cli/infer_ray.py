"""`dbnet infer --ray`: the images shared among the actors of a Ray cluster, by Ray Data."""

import argparse
import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dbnet.cli.infer import make_inferencer
from dbnet.errors import UserError
from dbnet.evaluation.result_parts import row_of


class Finder:
    """An actor of Ray, which holds the model.

    Args:
        args: Of `dbnet infer`.
        folder: That relative paths start from, where this machine has it.
    """

    def __init__(self, args: argparse.Namespace, folder: str) -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        self.inferencer = make_inferencer(args)
        self.batch_size = args.batch_size

    def __call__(self, blocks: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
        """Find the texts in blocks of images; the rows of each are one string of JSON."""
        return {"rows": [json.dumps(self.find(json.loads(text))) for text in blocks["images"]]}

    def find(self, images: Sequence[str]) -> list[dict[str, Any]]:
        """Make the rows of some images."""
        return list(map(row_of, images, self.inferencer.stream(images, self.batch_size)))


def find_by_ray(
    images: Sequence[str], count: int, args: argparse.Namespace
) -> Iterator[list[dict[str, Any]]]:
    """Find the texts on a cluster; yield the rows of `count` images at a time, in any order.

    What a process that died had under way is done again by another; Ray hands over the rows of
    each block once.

    Raises:
        UserError: Ray is not installed or not reached, or the model cannot be opened there.
    """
    ray = connect(args.ray)
    blocks = [json.dumps(images[i : i + count]) for i in range(0, len(images), count)]
    if not blocks:
        return
    gpus = ray.cluster_resources().get("GPU", 0.0)
    share = args.gpus_per_actor if args.gpus_per_actor is not None else float(gpus > 0)
    most = gpus / share if share else ray.cluster_resources().get("CPU", 1.0)
    actors = min(args.actors or max(int(most), 1), len(blocks))
    found = ray.data.from_items(
        [{"images": block} for block in blocks], override_num_blocks=len(blocks)
    ).map_batches(
        Finder,
        fn_constructor_args=(args, os.getcwd()),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
        num_gpus=share,
    )
    try:
        for row in found.iter_rows():
            yield json.loads(row["rows"])
    except ray.exceptions.RayError as error:
        raise UserError(f"--ray {args.ray}: {last_line(error)}") from None


def connect(address: str) -> Any:
    """Join a cluster; with "auto" the one that runs on this machine, or a new one.

    Raises:
        UserError: Ray is not installed, or there is no cluster.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--ray needs a package: pip install 'dbnet[ray]'") from None
    quiet = dict(logging_level=logging.ERROR, log_to_driver=False, ignore_reinit_error=True)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address != "auto":
            raise UserError(f"--ray {address}: {last_line(error)}") from None
        ray.init(include_dashboard=False, **quiet)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def last_line(error: Exception) -> str:
    """Shorten Ray's message, which holds the traceback of another process, to its end."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
