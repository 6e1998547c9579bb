"""Write labels or predictions as the files of a labelling tool; nothing is overwritten."""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dbnet.errors import UserError
from dbnet.images import read_orientation, read_shape
from dbnet.labels.entries import Entry, Instance
from dbnet.labels.user_entries import to_stored
from dbnet.remote.paths import file_name, is_url
from dbnet.utils.files import replace_when_complete

MIRRORED_BACK = {6: 8, 8: 6}  # EXIF orientations that undo others; the other ones undo themselves


class Page(NamedTuple):
    """An image and its texts, as a writer takes them."""

    image: Path | str  # the image's file, absolute, or its URL
    name: str  # its path from the folder that all images are in, with forward slashes
    folder: str  # the name of that folder
    shape: tuple[int, int]  # (H, W) of the picture in the writer's view
    instances: Sequence[Instance]  # the texts, in pixels of that picture
    scores: Sequence[float] | None = None  # of predictions; None for labels


class Writer(NamedTuple):
    """A format that can be written."""

    about: str  # what opens its files
    view: str  # which view of a photo with an EXIF orientation coordinates mean
    # Yields names, relative to the output folder, and contents. The names depend on the images
    # alone. Takes the pages, the output folder and the name of the model.
    render: Callable[[Sequence[Page], Path, str], Iterator[tuple[str, str]]]


def make_pages(images: Sequence[str | Path]) -> list[Page]:
    """Return a page without texts for each image, none of which is opened."""
    names = [os.fspath(image) for image in images]
    parents = [os.path.dirname(os.path.abspath(name)) for name in names if not is_url(name)]
    root = Path(os.path.commonpath(parents)) if parents else Path()
    return [_make_page(name, root) for name in names]


def _make_page(image: str, root: Path) -> Page:
    if is_url(image):
        return Page(image, file_name(image), "pictures", (1, 1), ())
    path = Path(os.path.abspath(image))
    return Page(path, path.relative_to(root).as_posix(), root.name, (1, 1), ())


def fill(
    page: Page,
    view: str,
    instances: Sequence[Instance],
    own_view: str,
    scores: Sequence[float] | None = None,
) -> Page:
    """Put texts on a page, turned to the view of a writer; predictions end at the picture's edges.

    `own_view` is that of the texts' coordinates: "stored" or "displayed". `scores` are those of
    predictions.
    """
    shape, orientation = read_shape(page.image), read_orientation(page.image)
    displayed = shape[::-1] if orientation >= 5 else shape
    if orientation != 1 and view != own_view:
        if view == "stored":
            turned = [to_stored(word.polygon, orientation, shape) for word in instances]
        else:
            back = MIRRORED_BACK.get(orientation, orientation)
            turned = [to_stored(word.polygon, back, displayed) for word in instances]
        instances = [word._replace(polygon=polygon) for word, polygon in zip(instances, turned)]
    shape = displayed if view == "displayed" else shape
    if scores is not None:  # of which some reach beyond the picture, where tools have no pixels
        last = np.array(shape[::-1]) - 1.0
        instances = [word._replace(polygon=np.clip(word.polygon, 0, last)) for word in instances]
    return page._replace(shape=shape, instances=instances, scores=scores)


def pages_of(entries: Iterable[Entry], folder: Path, view: str) -> list[Page]:
    """Turn the entries of an annotation file in `folder` into pages of a view."""
    listed = list(entries)
    pages = make_pages([os.path.normpath(folder / entry["img_path"]) for entry in listed])
    return [
        fill(
            page,
            view,
            [
                Instance(np.reshape(word["polygon"], (-1, 2)), word["text"], word["ignore"])
                for word in entry["instances"]
            ],
            "stored",
        )
        for page, entry in zip(pages, listed)
    ]


def check_label_files(pages: Sequence[Page], out: Path, writer: Writer) -> None:
    """Check that no file would be overwritten, another's or one of an image named alike."""
    image_of: dict[str, str] = {}
    bare = [page._replace(instances=(), scores=None) for page in pages]
    for name, _ in writer.render(bare, out, ""):
        # Some file systems know neither case nor Unicode form.
        plain = unicodedata.normalize("NFC", name).casefold()
        if plain in image_of:
            raise UserError(
                f"{out / name}: {image_of[plain]} would be the same file; rename one of the images"
            )
        image_of[plain] = name
        if os.path.lexists(out / name):
            raise UserError(
                f"{out / name} is there already and will not be overwritten; choose another folder"
            )


def write_label_files(pages: Sequence[Page], out: Path, writer: Writer, model: str = "") -> int:
    """Write pages, in the writer's view, as a format's files; return how many.

    `model` made the predictions. A `UserError` if a file is there already, or cannot be written.
    """
    check_label_files(pages, out, writer)
    count = 0
    for name, content in writer.render(pages, out, model):
        path = out / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_when_complete(path) as partial:
                partial.write_bytes(content.encode("utf-8", errors="surrogatepass"))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from error
        count += 1
    return count
