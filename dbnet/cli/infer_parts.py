"""`dbnet infer --format jsonl|parquet`: for more images than one file of results should hold."""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dbnet.checkpoints.model_folder import CONFIG, WEIGHTS, file_of, is_model_folder
from dbnet.cli.console import INTERRUPTED
from dbnet.cli.infer import lack_of_memory_reported, make_inferencer, report, sigterm_exits
from dbnet.cli.progress import with_progress
from dbnet.errors import UserError
from dbnet.evaluation.result_parts import ResultParts, alone_in, row_of
from dbnet.remote.paths import shown
from dbnet.utils.files import sha256
from dbnet.version import __version__

PART = 100  # images; as many are done again where a process dies


def infer_parts(images: Sequence[str], args: argparse.Namespace) -> int:
    """Write parts; return the exit status, 1 if an image could not be read."""
    if args.crops:
        raise UserError(f"--crops: not with --format {args.format}")
    if not args.ray and (args.actors or args.gpus_per_actor):
        raise UserError("--actors, --gpus-per-actor: are of --ray; add it, or leave them out")
    if len(set(map(shown, images))) < len(images):
        raise UserError(f"--format {args.format}: some URLs differ in their queries alone")
    with alone_in(args.out):
        return _infer(images, args)


def _infer(images: Sequence[str], args: argparse.Namespace) -> int:
    parts = ResultParts(args.out, args.format, settings_of(args), args.resume)
    done = parts.done()
    todo = [image for image in images if shown(image) not in done]
    lost = sum(done.get(shown(image)) is not None for image in images)
    if done:
        unread = f", {lost} of them not readable" if lost else ""
        print(f"{len(images) - len(todo)} of {len(images)} images are done already{unread}")
    status, read, failed, texts = 0, 0, 0, 0
    try:
        with sigterm_exits(), lack_of_memory_reported():
            for row in with_progress(written(todo, parts, args), len(todo), log=str(args.out)):
                if row["error"]:
                    failed += 1
                    report(f"error: {row['error']}")
                else:
                    read += 1
                    texts += len(row["scores"])
        status = 1 if failed or lost else 0
    except (KeyboardInterrupt, SystemExit) as stop:
        report(f"interrupted after {read + failed} of {len(todo)} images: continue with --resume")
        status = int(stop.code or 0) if isinstance(stop, SystemExit) else INTERRUPTED
    unread = f", {failed} not readable" if failed else ""
    print(f"{read} images{unread}, {texts} texts: {args.out}")
    return status


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Describe what the results depend on."""
    names = ("config", "checkpoint", "test_size", "cfg_options", "amp")
    settings = {name: getattr(args, name) for name in names}
    for name in ("config", "checkpoint"):
        if settings[name]:
            digests = "".join(f" {sha256(file)[:8]}" for file in files_of(settings[name]))
            settings[name] += digests
    return dict(settings, dbnet=__version__)


def files_of(source: str) -> list[Path]:
    """Find the files of a model or config whose content may change under the same name."""
    if is_model_folder(source):
        return [file_of(source, CONFIG), file_of(source, WEIGHTS)]
    path = Path(source)
    weights = [path.with_suffix(".bin")] if path.suffix == ".xml" else []  # OpenVINO's
    return [file for file in (path, *weights) if file.is_file()]


def written(
    images: Sequence[str], parts: ResultParts, args: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yield the row of each image once the part that holds it is written."""
    if not images:
        return
    if args.ray:
        from dbnet.cli.infer_ray import find_by_ray

        found = find_by_ray(images, PART, args)
    else:
        rows = map(row_of, images, make_inferencer(args).stream(images, args.batch_size))
        found = iter(lambda: list(itertools.islice(rows, PART)), [])
    for part in found:
        parts.add(part)
        yield from part
