import argparse
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from mmengine.config import DictAction
from mmengine.device import get_device

from dbnet.apis.inferencer import PREDICTED, TextDetInferencer
from dbnet.cli.arguments import positive
from dbnet.cli.errors import INTERRUPTED, lack_of_memory, one_line_errors
from dbnet.cli.progress import progress_line
from dbnet.cli.test import check_writable, write_results
from dbnet.config.load import load_config, parse_size
from dbnet.errors import UserError
from dbnet.images import find_images, read_displayed, write_image
from dbnet.visualization.draw import draw_polygons, resize_to_fit
from dbnet.weights import shipped_model

JPEG_SIDE = 65_500  # pixels, libjpeg's limit


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dbnet infer", description="Find the texts in images.")
    parser.add_argument(
        "images", nargs="+", metavar="IMAGES", help="files, folders or quoted patterns"
    )
    parser.add_argument(
        "--config", help="config file, or its name; without it the model of the package is used"
    )
    parser.add_argument("--checkpoint", help="file or URL, of this project, MMOCR or MhLiao/DB")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for results.json and a drawing per image"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; an accelerator if there is one")
    parser.add_argument(
        "--batch-size", type=positive, default=1, metavar="N", help="images at once (default 1)"
    )
    parser.add_argument(
        "--test-size", type=parse_size, metavar="W,H", help="long and short side at most, in pixels"
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE")
    return parser.parse_args(argv)


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Write results and drawings; give the exit status, 1 if an image could not be read."""
    args = parse_args(argv)
    images = list(dict.fromkeys(find_images(args.images)))
    drawings = name_drawings(args.out, images)
    check_out(args.out, drawings)
    inferencer = make_inferencer(args)

    run = Run(len(images))
    try:
        with sigterm_exits():
            status = run.go(images, drawings, inferencer.stream(images, args.batch_size))
    finally:  # also after an unforeseen error, so that no drawing lies there without its results
        run.clear()
        if run.num_done:
            write_results(args.out / "results.json", {}, run.entries)
    print(f"{run.summary()}: {args.out}")
    return status


def make_inferencer(args: argparse.Namespace) -> TextDetInferencer:
    """Build what finds the texts; without config and checkpoint, the model of the package."""
    name, checkpoint = args.config, args.checkpoint
    if name is None and checkpoint is None:
        name, checkpoint = shipped_model()
    config = name and load_config(name, args.cfg_options, test_size=args.test_size)
    return TextDetInferencer(config, checkpoint, args.device or get_device())


def name_drawings(folder: Path, images: Sequence[str]) -> list[Path]:
    """Name a JPEG per image after its stem, with a number behind it if another has it already."""
    names: set[str] = set()
    drawings = []
    for image in images:
        stem = name = Path(image).stem
        number = 1
        while name.lower() in names:  # some file systems ignore the case
            number += 1
            name = f"{stem}_{number}"
        names.add(name.lower())
        drawings.append(folder / f"{name}.jpg")
    return drawings


def check_out(folder: Path, drawings: Sequence[Path]) -> None:
    """Make the folder of the results, and see that nothing in it would be overwritten.

    Raises:
        UserError: Something would, or nothing can be written there.
    """
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


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Let SIGTERM, by which clusters end a job, raise `SystemExit`, with the shell's status."""
    former = signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


@contextmanager
def lack_of_memory_told() -> Iterator[None]:
    """Turn lack of memory, of an accelerator or the machine, into a line."""
    try:
        yield
    except (MemoryError, RuntimeError, cv2.error) as error:
        reason = lack_of_memory(error)
        if reason is None:
            raise
        raise UserError(f"{reason}; lower --batch-size or --test-size") from error


@dataclass
class Run:
    """What a run has done so far; on a terminal, a line says so and estimates the rest.

    Attributes:
        num_images: All of them.
        entries: Those of `results.json`.
        num_failed: Images that could not be read.
    """

    num_images: int
    entries: list[dict] = field(default_factory=list)
    num_failed: int = 0
    start: float = field(default_factory=time.perf_counter)

    @property
    def num_done(self) -> int:
        return len(self.entries) + self.num_failed

    def go(
        self,
        images: Sequence[str],
        drawings: Sequence[Path],
        results: Iterable[dict | UserError],
    ) -> int:
        """Take all images, or those until a mistake or a signal; give the exit status."""
        try:
            with lack_of_memory_told():
                for path, drawing, result in zip(images, drawings, results):
                    self.take(path, drawing, result)
        except (KeyboardInterrupt, SystemExit) as stop:
            self.say(f"interrupted after {self.num_done} of {self.num_images} images")
            return int(stop.code or 0) if isinstance(stop, SystemExit) else INTERRUPTED
        except UserError as error:
            self.say(f"error: {error}")
            return 1
        return 1 if self.num_failed else 0

    def take(self, path: str, drawing: Path, result: dict | UserError) -> None:
        """Keep the texts of an image and draw them, or say why there are none."""
        if isinstance(result, UserError):
            self.num_failed += 1
            self.say(f"error: {result}")
        else:
            polygons = [polygon.flatten().tolist() for polygon in result["polygons"]]
            scores = result["scores"].tolist()
            self.entries.append(dict(img_path=path, polygons=polygons, scores=scores))
            draw(path, result, drawing)
        self.show()

    def summary(self) -> str:
        num_texts = sum(len(entry["scores"]) for entry in self.entries)
        failed = f", {self.num_failed} not readable" if self.num_failed else ""
        return (
            f"{len(self.entries)} images{failed}, {num_texts} texts, "
            f"{self._seconds_per_image():.2f} s per image"
        )

    def show(self) -> None:
        if sys.stderr.isatty():
            seconds = time.perf_counter() - self.start
            line = progress_line(self.num_done, self.num_images, seconds)
            print(line, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line, so that something else can be printed there."""
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        self.clear()
        print(line, file=sys.stderr)

    def _seconds_per_image(self) -> float:
        return (time.perf_counter() - self.start) / max(self.num_done, 1)


def draw(path: str, result: dict, target: Path) -> None:
    """Write an image with the outlines of its texts as a JPEG, smaller if it is too large."""
    drawn = draw_polygons(read_displayed(path), result["polygons"], PREDICTED)
    if max(drawn.shape[:2]) > JPEG_SIDE:
        drawn, _ = resize_to_fit(drawn, (JPEG_SIDE, JPEG_SIDE))
    write_image(target, drawn)
