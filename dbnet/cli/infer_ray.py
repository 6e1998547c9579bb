"""`dbnet infer --ray`: the images shared among the actors of a Ray cluster, by Ray Data."""

import argparse
import contextlib
import json
import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dbnet.cli.infer import make_inferencer
from dbnet.errors import UserError, line_of
from dbnet.evaluation.result_parts import row_of

BLOCKS_PER_ACTOR = 4


class Finder:
    """An actor of Ray, which holds the model."""

    def __init__(self, args: argparse.Namespace, folder: str) -> None:
        with contextlib.suppress(OSError):  # this machine may not have what paths start from
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
    images: Sequence[str], most: int, args: argparse.Namespace
) -> Iterator[list[dict[str, Any]]]:
    """Find the texts on a cluster; yield the rows of `most` images at a time, in any order.

    What a process that died had under way is done again by another; Ray hands over the rows of
    each block once.
    """
    ray = connect(args.ray)
    share, actors = share_out(ray.cluster_resources(), args)
    # Fewer at a time where there are few, so that all actors have work to the end.
    count = min(most, math.ceil(len(images) / (BLOCKS_PER_ACTOR * actors)))
    blocks = [json.dumps(images[i : i + count]) for i in range(0, len(images), max(count, 1))]
    if not blocks:
        return
    found = ray.data.from_items(
        [{"images": block} for block in blocks], override_num_blocks=len(blocks)
    ).map_batches(
        Finder,
        fn_constructor_args=(args, os.getcwd()),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=min(actors, len(blocks))),
        num_cpus=1,
        num_gpus=share,
    )
    try:
        for row in found.iter_rows():
            yield json.loads(row["rows"])
    except ray.exceptions.RayError as error:
        raise UserError(f"--ray {args.ray}: {line_of(error, -1)}") from None


def share_out(resources: Mapping[str, float], args: argparse.Namespace) -> tuple[float, int]:
    """Decide on the GPUs of an actor and the number of actors.

    >>> share_out({"CPU": 8.0, "GPU": 2.0}, argparse.Namespace(gpus_per_actor=0.5, actors=None))
    (0.5, 4)
    >>> share_out({"CPU": 8.0}, argparse.Namespace(gpus_per_actor=None, actors=None))
    (0.0, 8)
    """
    gpus = resources.get("GPU", 0.0)
    share = args.gpus_per_actor or float(gpus > 0)
    room = gpus / share if share else resources.get("CPU", 1.0)
    return share, args.actors or max(int(room), 1)


def connect(address: str) -> Any:
    """Join a cluster; with "auto" the one that runs on this machine, or a new one."""
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError("--ray needs a package: pip install 'dbnet[ray]'") from None
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    quiet = dict(logging_level=logging.ERROR, log_to_driver=False, ignore_reinit_error=True)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        if address != "auto":
            raise UserError(f"--ray {address}: {line_of(error, -1)}") from None
        ray.init(include_dashboard=False, **quiet)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
