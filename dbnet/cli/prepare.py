import argparse
import difflib
import shlex
from pathlib import Path

from dbnet.cli.errors import one_line_errors
from dbnet.datasets.preparers import PREPARERS, Preparer
from dbnet.datasets.preparers.annotation import count_words, split_entries, write_annotation
from dbnet.errors import UserError


@one_line_errors
def main(argv: list[str] | None = None) -> int:
    """Turn a data set's downloads into annotation files; give the exit status."""
    args = _parse_args(argv)
    if args.list:
        for name, preparer in PREPARERS.items():
            print(f"{name}: {(preparer.__doc__ or '').splitlines()[0]}")
        return 0
    preparer = _find_preparer(args.name)
    if args.val_fraction is not None and not 0 < args.val_fraction < 1:
        raise UserError(f"--val-fraction must lie between 0 and 1, got {args.val_fraction}")
    try:
        _prepare(preparer, args)
    except OSError as error:  # no space, no permission, ...
        raise UserError(f"{error.filename or args.out}: {error.strerror or error}") from error
    config = f"dbnet_r18_fpnc_1200e_{args.name}"
    print(f"next: dbnet train {config} --data-root {shlex.quote(str(args.out))}")
    return 0


def _parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="dbnet prepare", description="Make annotation files from a data set's files."
    )
    parser.add_argument("name", nargs="?", help="data set, see --list")
    parser.add_argument("--raw", type=Path, help="folder with the downloads, zips or folders")
    parser.add_argument("--out", type=Path, help="folder for the annotation files")
    parser.add_argument(
        "--val-fraction",
        type=float,
        help="share of the training images that textdet_val.json gets; the others go to "
        "textdet_trainpart.json",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of that draw (default 0)")
    parser.add_argument("--copy", action="store_true", help="copy folders below --out too")
    parser.add_argument("--list", action="store_true", help="print the data sets and stop")
    args = parser.parse_args(argv)
    if not args.list and None in (args.name, args.raw, args.out):
        parser.error("NAME, --raw and --out are needed (or --list alone)")
    return args


def _find_preparer(name: str) -> Preparer:
    if name not in PREPARERS:
        nearest = difflib.get_close_matches(name.lower(), PREPARERS, n=1, cutoff=0)[0]
        raise UserError(f"unknown data set {name!r}, did you mean {nearest!r}? --list shows all")
    return PREPARERS[name]


def _prepare(preparer: Preparer, args: argparse.Namespace) -> None:
    """Write one annotation file per part of the data set and print what it holds."""
    parts = preparer(args.raw, args.out, args.copy)
    if args.val_fraction is not None:
        train, val = split_entries(parts["train"], args.val_fraction, args.seed)
        parts |= {"trainpart": train, "val": val}
    for part, entries in parts.items():
        path = args.out / f"textdet_{part}.json"
        write_annotation(path, entries)
        images, words, valid = count_words(entries)
        print(f"{path}: {images} images, {words} words, {valid} words that count")
