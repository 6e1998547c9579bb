import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbnet.cli.console import command
from dbnet.cli.prepare import check_classes, faults_told, find_preparer
from dbnet.cli.progress import with_progress
from dbnet.errors import UserError
from dbnet.labels import OWN_DATA, recognise
from dbnet.labels.entries import Entries, Request
from dbnet.labels.label_files import check_label_files, pages_of, write_label_files
from dbnet.labels.writers import WRITERS


@command("convert-labels")
def main(args: argparse.Namespace) -> int:
    """Write labels of one tool in the format of another; return the exit status."""
    if not args.src.is_dir():
        raise UserError(f"{args.src} is not a folder; pass that of the labels and images")
    name = args.name or recognise(args.src)
    if name not in OWN_DATA:
        find_preparer(name)
        raise UserError(f"--from {name}: only {', '.join(OWN_DATA)} can be converted")
    request = Request(
        raw=args.src,
        out=args.dst,
        images=args.images,
        orientation=args.orientation,
        keep=args.keep,
        ignore=args.ignore,
    )
    with faults_told(request) as gathered:
        parts = OWN_DATA[name](request)
        check_classes(request, gathered.classes)
        if gathered.faults and not args.skip_faulty:
            raise UserError(gathered.faults.pop())
    for line in gathered.faults:
        print(f"left out: {line}", file=sys.stderr)
    _write(parts, args)
    return 0


def _write(parts: Mapping[str, Entries], args: argparse.Namespace) -> None:
    """Write each part, in a folder of its own if there are several."""
    writer = WRITERS[args.to]
    folders: Sequence[Path] = [args.dst / part if len(parts) > 1 else args.dst for part in parts]
    pages = [
        pages_of(with_progress(entries, len(entries)), args.dst, writer.view)
        for entries in parts.values()
    ]
    for folder, part in zip(folders, pages):
        check_label_files(part, folder, writer)
    for folder, part in zip(folders, pages):
        count = write_label_files(part, folder, writer)
        words = sum(len(page.instances) for page in part)
        files = "1 file" if count == 1 else f"{count} files"
        print(f"{folder}: {files} for {writer.about}, {len(part)} images, {words} words")
