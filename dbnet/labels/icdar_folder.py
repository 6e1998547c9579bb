"""A folder of images and a folder of text files, in ICDAR's manner."""

from pathlib import Path

from dbnet.errors import UserError
from dbnet.labels.entries import Entry
from dbnet.labels.faults import note_fault, readable
from dbnet.labels.files import list_files, pair_files
from dbnet.labels.icdar_lines import parser_of
from dbnet.labels.layouts import Layout, find_layouts
from dbnet.labels.request import Request
from dbnet.labels.text_lines import split_lines, to_utf8
from dbnet.labels.user_entries import make_user_entry

PREFIX = "gt_"


def prepare_icdar_folder(request: Request) -> dict[str, list[Entry]]:
    """Prepare your data in ICDAR's manner: img_7.jpg with gt_img_7.txt or img_7.txt.

    Where images and texts lie is found by what the folders hold, see `find_layouts`.
    """
    layouts = find_layouts(request, [".txt"])
    return {part: _read_part(part, layout, request) for part, layout in layouts.items()}


def _read_part(part: str, layout: Layout, request: Request) -> list[Entry]:
    prefix = PREFIX if list_files(layout.labels, [".txt"], PREFIX) else ""
    pairs = pair_files([layout.images], layout.labels, prefix)
    pairs = _listed(pairs, layout.images.parent / f"{part}_list.txt")

    def load(pair: tuple[Path, Path]) -> tuple[Path, bytes, str]:
        image, text = pair
        return image, to_utf8(text.read_bytes(), str(text)), str(text)

    files = list(readable(load, pairs))
    parse = parser_of((content, source) for _, content, source in files)

    def read(file: tuple[Path, bytes, str]) -> Entry:
        image, content, source = file
        return make_user_entry(image, request, parse(content, source))

    return list(readable(read, files))


def _listed(pairs: list[tuple[Path, Path]], listing: Path) -> list[tuple[Path, Path]]:
    """Keep the pairs whose images MhLiao/DB's `train_list.txt` names, if there is one."""
    if not listing.is_file():
        return pairs
    lines = split_lines(listing.read_bytes(), str(listing))
    names = {Path(line.decode("utf-8", errors="replace").strip()).name for line in lines}
    for name in sorted(names - {image.name for image, _ in pairs} - {""}):
        note_fault(UserError(f"{listing}: {name} is not there with its text; complete the pair"))
    return [pair for pair in pairs if pair[0].name in names]
