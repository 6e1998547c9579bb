import argparse
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dbnet.apis.doubt import measure_doubt, write_ranking
from dbnet.apis.inferencer import PREDICTED, TextDetInferencer
from dbnet.cli.console import INTERRUPTED, command
from dbnet.cli.options.data import PART_FORMATS
from dbnet.cli.progress import CLEAR, progress_text, with_progress
from dbnet.datasets.image_paths import free_stem
from dbnet.deploy.runtimes import is_exported
from dbnet.errors import UserError, lack_of_memory
from dbnet.evaluation.results import check_writable, entry_of, write_results
from dbnet.images import find_images, read_displayed, write_image
from dbnet.visualization.crops import crop_text
from dbnet.visualization.draw import draw_polygons, resize_to_fit

JPEG_SIDE = 65_500  # pixels, libjpeg's limit


@command("infer")
def main(args: argparse.Namespace) -> int:
    """Write results and drawings; return the exit status, 1 if an image could not be read."""
    images = list(dict.fromkeys(find_images(args.images)))
    if args.rank:
        return rank(images, args)
    if args.ray and args.format == "json":
        args.format = "jsonl"
    if args.format in PART_FORMATS:
        from dbnet.cli.infer_parts import infer_parts

        return infer_parts(images, args)
    check_parts_alone(args)
    kind: Any = Drawings
    if args.format != "json":  # the formats of labels are imported for them alone
        kind = importlib.import_module("dbnet.cli.label_output").LabelOutput
    output = kind(args, images)
    if args.crops:
        check_crops(args.crops)
    inferencer = make_inferencer(args)

    run = Run(len(images), output, args.crops)
    try:
        with sigterm_exits(), lack_of_memory_reported():
            names = name_drawings(args.out, images)
            for job in zip(images, names, inferencer.stream(images, args.batch_size)):
                run.keep(*job)
        status = 1 if run.num_failed else 0
    except (KeyboardInterrupt, SystemExit) as stop:
        report(f"interrupted after {run.num_done} of {run.num_images} images")
        status = int(stop.code or 0) if isinstance(stop, SystemExit) else INTERRUPTED
    except UserError as error:
        report(f"error: {error}")
        status = 1
    finally:  # also after an unforeseen error, so that no drawing lies there without its results
        report()
        if run.num_done:
            output.finish()
    print(f"{run.summary()}: {args.out}")
    return status


def check_parts_alone(args: argparse.Namespace) -> None:
    """Refuse what only results in parts can do."""
    for option in ("ray", "resume", "actors", "gpus_per_actor"):
        if getattr(args, option):
            name = option.replace("_", "-")
            raise UserError(
                f"--{name}: not with --format {args.format}, only with jsonl or parquet"
            )


def make_inferencer(args: argparse.Namespace) -> TextDetInferencer:
    """Build what finds the texts; without config and checkpoint, the model of the package."""
    if is_exported(args.checkpoint):  # without torch or mmengine
        from dbnet.deploy.exported_network import ExportedNetwork

        settings = (args.test_size, args.cfg_options, args.amp)
        network = ExportedNetwork(args.checkpoint, args.device or "cpu", *settings)
        if args.config:
            raise UserError(f"--config: {args.checkpoint} holds its own settings, leave it out")
        return TextDetInferencer.of(network)
    importlib.import_module("dbnet.cli.lean_mmengine")  # before mmengine itself
    from mmengine.device import get_device

    from dbnet.apis.detector import USED
    from dbnet.checkpoints.choose import choose_model
    from dbnet.config.load import load_config

    name, checkpoint = choose_model(args.config, args.checkpoint)
    config = load_config(str(name), args.cfg_options, test_size=args.test_size, parts=USED)
    return TextDetInferencer(config, checkpoint, args.device or get_device(), args.amp)


def name_drawings(folder: Path, images: Sequence[str]) -> list[Path]:
    """Name a JPEG per image after its stem, with a number behind it if another has it already."""
    taken: dict[str, str] = {}
    return [folder / f"{free_stem(image, taken)}.jpg" for image in images]


def check_out(folder: Path, drawings: Sequence[Path]) -> None:
    """Make the folder of the results, and check that nothing in it would be overwritten."""
    results = folder / "results.json"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: is a file, not a folder")
    taken = next((path for path in (results, *drawings) if os.path.lexists(path)), None)
    if taken is not None:
        raise UserError(
            f"--out {folder}: {taken.name} is there already and will not be overwritten; choose "
            "another folder"
        )
    check_writable(results)


def check_crops(folder: Path) -> None:
    """Make the folder of the crops."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"--crops {folder}: is not empty; choose a new folder")
    except OSError as error:
        raise UserError(f"--crops {folder}: {error.strerror}; choose a new folder") from error


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Let SIGTERM, by which clusters end a job, raise `SystemExit`, with the shell's status."""
    former = signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextmanager
def lack_of_memory_reported() -> Iterator[None]:
    """Report lack of memory, of an accelerator or the machine, in a line."""
    try:
        yield
    except Exception as error:
        reason = lack_of_memory(error)
        if reason is None:
            raise
        raise UserError(f"{reason}; lower --batch-size or --test-size") from error


class Drawings:
    """`results.json` and a drawing for each image."""

    def __init__(self, args: argparse.Namespace, images: Sequence[str]) -> None:
        check_out(args.out, name_drawings(args.out, images))
        self.results = args.out / "results.json"
        self.entries: list[dict] = []

    def add(self, path: str, drawing: Path, result: dict) -> None:
        """Draw the texts of an image, and keep them."""
        self.entries.append(entry_of(path, result))
        draw(read_displayed(path), result, drawing)

    def finish(self) -> None:
        """Write what was kept."""
        write_results(self.results, {}, self.entries)


@dataclass
class Run:
    """What a run has done so far, and with what: `crops` is a folder for the texts, cut out."""

    num_images: int
    output: Any
    crops: Path | None = None
    num_read: int = 0
    num_texts: int = 0
    num_failed: int = 0
    start: float = field(default_factory=time.perf_counter)

    @property
    def num_done(self) -> int:
        return self.num_read + self.num_failed

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.start

    def keep(self, path: str, drawing: Path, result: dict | UserError) -> None:
        """Keep the texts of an image, or report why there are none."""
        if isinstance(result, UserError):
            self.num_failed += 1
            report(f"error: {result}")
        else:
            self.num_texts += len(result["scores"])
            self.num_read += 1
            self.output.add(path, drawing, result)
            if self.crops:
                image = read_displayed(path)
                for index, polygon in enumerate(result["polygons"]):
                    target = self.crops / f"{drawing.stem}_{index}.png"
                    write_image(target, crop_text(image, polygon))
        if sys.stderr.isatty():
            line = progress_text(self.num_done, self.num_images, self.seconds)
            print(CLEAR + line, end="", file=sys.stderr, flush=True)

    def summary(self) -> str:
        failed = f", {self.num_failed} not readable" if self.num_failed else ""
        return (
            f"{self.num_read} images{failed}, {self.num_texts} texts, "
            f"{self.seconds / max(self.num_done, 1):.2f} s per image"
        )


def rank(images: Sequence[str], args: argparse.Namespace) -> int:
    """Write the table of doubts; return the exit status, 1 if an image could not be read."""
    table = args.out / "rank.csv"
    check_writable(table)
    if os.path.lexists(table):
        raise UserError(f"--out {table} is there already and will not be overwritten")
    inferencer = make_inferencer(args)
    start, doubts, failed = time.perf_counter(), [], 0
    try:
        with sigterm_exits(), lack_of_memory_reported():
            for image in with_progress(images, len(images), log=str(table)):
                try:
                    doubts.append(measure_doubt(inferencer, image))
                except UserError as error:
                    failed += 1
                    report(f"error: {error}")
    finally:  # also of an interrupted run
        if doubts:
            write_ranking(table, doubts)
    seconds = (time.perf_counter() - start) / max(len(images), 1)
    unread = f", {failed} not readable" if failed else ""
    print(f"{len(doubts)} images{unread}, {seconds:.2f} s per image: {table}")
    return 1 if failed else 0


def report(line: str = "") -> None:
    """Print a line in place of that of the progress, or only remove it."""
    if sys.stderr.isatty():
        print(CLEAR, end="", file=sys.stderr, flush=True)
    if line:
        print(line, file=sys.stderr)


def draw(image: np.ndarray, result: dict, target: Path) -> None:
    """Write an image with the outlines of its texts as a JPEG, smaller if it is too large."""
    drawn = draw_polygons(image, result["polygons"], PREDICTED)
    if max(drawn.shape[:2]) > JPEG_SIDE:
        drawn, _ = resize_to_fit(drawn, (JPEG_SIDE, JPEG_SIDE))
    write_image(target, drawn)
