import argparse
import difflib
import shlex
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path

from dbnet.checkpoints.index import config_folder
from dbnet.cli.console import command
from dbnet.cli.progress import with_progress
from dbnet.errors import UserError
from dbnet.labels import OWN_DATA, PREPARERS, Preparer, describe
from dbnet.labels.entries import Entries, Request, annotation_writer, sample_indices
from dbnet.labels.faults import Gathered, gathering, write_faults
from dbnet.labels.members import enter, is_archive

FAULTY = "faulty.csv"  # in the folder of the annotation files
NUM_SHOWN = 20  # faults in the terminal


@command("prepare")
def main(args: argparse.Namespace) -> int:
    """Turn a dataset's downloads into annotation files; return the exit status."""
    if args.list:
        for name, preparer in PREPARERS.items():
            print(f"{name}: {describe(preparer)}")
        return 0
    preparer = find_preparer(args.name)
    _enter_archives(args)
    _check_folders(args)
    if args.val_fraction is not None and not 0 < args.val_fraction < 1:
        raise UserError(f"--val-fraction must lie between 0 and 1, got {args.val_fraction}")
    try:
        _prepare(preparer, args)
    except OSError as error:  # no space, no permission, ...
        raise UserError(f"{error.filename or args.out}: {error.strerror or error}") from error
    print(f"next: {_next_step(args.name, args.out)}")
    return 0


def find_preparer(name: str) -> Preparer:
    if name not in PREPARERS:
        nearest = difflib.get_close_matches(name.lower(), PREPARERS, n=1, cutoff=0)[0]
        raise UserError(f"unknown dataset {name!r}, did you mean {nearest!r}? --list shows all")
    return PREPARERS[name]


def _enter_archives(args: argparse.Namespace) -> None:
    """Let archives that the user names as folders be some, if they are not to be unpacked."""
    if args.copy and args.in_place:
        raise UserError("--copy and --in-place exclude each other; leave one out")
    for option in ("raw", "images", "labels"):
        path = getattr(args, option)
        if path is not None and is_archive(path):
            if not args.in_place:
                raise UserError(f"--{option} {path} is an archive; add --in-place, or unpack it")
            setattr(args, option, enter(path))


def _check_folders(args: argparse.Namespace) -> None:
    for option, names in (("--keep", args.keep), ("--ignore", args.ignore)):
        if names and args.name not in OWN_DATA:
            raise UserError(f"{option}: is for data of your own; leave it out")
    for option, folder in (("--images", args.images), ("--labels", args.labels)):
        if folder is not None and args.name not in OWN_DATA:
            raise UserError(f"{option} and its like are for data of your own; give --raw alone")
        if folder is not None and not folder.is_dir():
            raise UserError(f"{option} {folder}: no such folder; check the path")
    if args.copy and (args.images or args.labels):
        raise UserError("--copy copies --raw alone; leave it out, or --images and --labels")


def _prepare(preparer: Preparer, args: argparse.Namespace) -> None:
    """Write one annotation file per part of the dataset and print its counts."""
    names = [field.name for field in fields(Request)]
    request = Request(**{name: getattr(args, name) for name in names})
    with faults_told(request) as gathered, ExitStack() as stack:
        parts = preparer(request)
        check_classes(request, gathered.classes)
        if gathered.faults and not args.skip_faulty:
            for entries in parts.values():
                deque(entries, maxlen=0)  # for the faults of those that are made on demand
            raise UserError(gathered.faults.pop())
        lines = _write(parts, args, stack)
        if gathered.faults and not args.skip_faulty:
            raise UserError(gathered.faults.pop())
    if args.skip_faulty:
        listed = args.out / FAULTY
        write_faults(listed, gathered.faults)
        lines.append(f"{listed}: {len(gathered.faults)} faults, whose texts or images are left out")
    print(*lines, sep="\n")


def check_classes(request: Request, met: Set[str]) -> None:
    """Check that each class of --keep and --ignore is some text's; as a rule it is misspelt."""
    for option, names in (("--keep", request.keep), ("--ignore", request.ignore)):
        unknown = [name for name in names if name not in met]
        if unknown:
            known = ", ".join(sorted(filter(None, met))) or "none: this format has no classes"
            raise UserError(f"{option} {unknown[0]}: no label is called so; there are {known}")


@contextmanager
def faults_told(request: Request) -> Iterator[Gathered]:
    """Gather faults while labels are read; print the first ones if an error ends the block."""
    with gathering(partial(with_progress, log=str(request.raw))) as gathered:
        try:
            yield gathered
        except UserError as error:
            everything = [*gathered.faults, str(error)]
            if len(everything) == 1:
                raise
            for fault in everything[:NUM_SHOWN]:
                print(f"error: {fault}", file=sys.stderr)
            shown = f", the first {NUM_SHOWN} above" if len(everything) > NUM_SHOWN else ""
            raise UserError(
                f"{len(everything)} faults{shown}; nothing is written: fix them, or leave out what "
                f"they concern with --skip-faulty, which lists all in {FAULTY}"
            ) from error
    for doubt in gathered.describe_doubts():
        print(f"warning: {doubt}", file=sys.stderr)


def _write(parts: Mapping[str, Entries], args: argparse.Namespace, stack: ExitStack) -> list[str]:
    """Write the files of all parts, which appear when `stack` ends; return a line for each."""
    if args.val_fraction is not None:
        _check_divisible(parts, args.name)
    for part, entries in parts.items():
        if not len(entries):
            raise UserError(f"--raw {args.raw}: no image of the part {part!r} is in the labels")
    lines = []
    for part, entries in parts.items():
        sampled = None
        if args.val_fraction is not None and part == "train":
            sampled = sample_indices(len(entries), args.val_fraction, args.seed)
        lines += _write_part(args.out, part, entries, sampled, stack)
    return lines


def _check_divisible(parts: Mapping[str, Entries], name: str) -> None:
    """Refuse to sample images for validation if there are some, or no training images."""
    if "train" not in parts:
        raise UserError(f"--val-fraction: {name} has no part to train on")
    if "val" in parts:
        raise UserError(f"--val-fraction: {name} has a part for validation already")


def _write_part(
    out: Path, part: str, entries: Entries, sampled: set[int] | None, stack: ExitStack
) -> list[str]:
    """Write a part's annotation file, and the two of its division if some entries are sampled."""
    names = [part] if sampled is None else [part, "trainpart", "val"]
    path_of = {name: out / f"textdet_{name}.json" for name in names}
    writer_of = {n: stack.enter_context(annotation_writer(p)) for n, p in path_of.items()}
    for index, entry in enumerate(with_progress(entries, len(entries), log=str(path_of[part]))):
        writer_of[part].add(entry)
        if sampled is not None:
            writer_of["val" if index in sampled else "trainpart"].add(entry)
    if writer_of[part].are_fractions:
        raise UserError(
            f"all coordinates of the part {part!r} lie between 0 and 1: they are fractions of the "
            "image, as YOLO has them; multiply x by the width and y by the height"
        )
    counts = {path_of[name]: writer.counts for name, writer in writer_of.items()}
    return [
        f"{path}: {images} images, {words} words, {valid} words that count"
        for path, (images, words, valid) in counts.items()
    ]


def _next_step(name: str, out: Path) -> str:
    """Describe how to train on a dataset: with a config, or with a file to make one from."""
    folder = config_folder()
    names = sorted(path.stem for path in folder.rglob(f"dbnet_*_{name}.py"))
    usual = f"dbnet_r18_fpnc_1200e_{name}"  # trains on the machines that most have
    config = usual if usual in names else names[0] if names else "YOUR_CONFIG"
    command = f"dbnet train {config} --data-root {shlex.quote(str(out))}"
    base = folder / "_base_" / "datasets" / f"{name}.py"
    if names or not base.is_file():
        return command
    return f"{command}, with a config of yours that has {base} in its _base_"
