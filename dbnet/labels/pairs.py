"""Images and their ground truth in files of corresponding names, found and paired."""

from collections.abc import Sequence
from pathlib import Path

from dbnet.errors import UserError
from dbnet.utils.text import natural_key

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif")  # in lower case, which a file need not be


def list_files(folder: Path, suffixes: Sequence[str], prefix: str = "") -> list[Path]:
    """List a folder's visible files, in natural order of their names; not those of its folders.

    Args:
        folder: The folder.
        suffixes: What the names end in, in lower case; the files' own case does not matter.
        prefix: What the names begin with.
    """
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes
        and path.name.startswith(prefix)
        and not path.name.startswith(".")
    ]
    return sorted(sorted(paths), key=lambda path: natural_key(path.stem))  # img_1 and img_01 tie


def pair_files(
    image_folders: Sequence[Path],
    truth_folder: Path,
    prefix: str = "gt_",
    truth_suffix: str = ".txt",
    image_suffixes: Sequence[str] = IMAGE_SUFFIXES,
) -> list[tuple[Path, Path]]:
    """Give every image with its ground truth, in natural order of the images' names.

    `img_7.jpg` belongs to `gt_img_7.txt`, if `gt_` is the prefix.

    Args:
        image_folders: The folders of the images, all files of which are read.
        truth_folder: The folder of the ground truth, which may be one of those.
        prefix: What the names of the ground truth begin with.
        truth_suffix: What they end in, in lower case.
        image_suffixes: What the names of the images end in, in lower case.

    Raises:
        UserError: A file has no partner, two have the same name, or there are no images.
    """
    images = [path for folder in image_folders for path in list_files(folder, image_suffixes)]
    image_of = _by_name(images, "")
    truth_of = _by_name(list_files(truth_folder, [truth_suffix], prefix), prefix)
    image_home = " or ".join(map(str, image_folders))
    truth_partner = (str(truth_folder), prefix, truth_suffix)
    _check_partners({n: image_of[n] for n in image_of.keys() - truth_of.keys()}, *truth_partner)
    image_partner = (image_home, "", image_suffixes[0])
    _check_partners({n: truth_of[n] for n in truth_of.keys() - image_of.keys()}, *image_partner)
    if not image_of:
        raise UserError(f"{image_home} holds no *{image_suffixes[0]}; look what was unpacked there")
    return [(image_of[name], truth_of[name]) for name in sorted(sorted(image_of), key=natural_key)]


def _by_name(paths: Sequence[Path], prefix: str) -> dict[str, Path]:
    by_name: dict[str, Path] = {}
    for path in paths:
        name = path.stem.removeprefix(prefix)
        if name in by_name:
            raise UserError(f"{by_name[name]} and {path} are named alike, remove one of them")
        by_name[name] = path
    return by_name


def _check_partners(alone: dict[str, Path], home: str, prefix: str, suffix: str) -> None:
    """Complain about the first of the files that have no partner in `home`."""
    if not alone:
        return
    name = min(alone, key=natural_key)
    raise UserError(
        f"{home} lacks {prefix}{name}{suffix}, the partner of {alone[name]} "
        f"({len(alone)} missing in total); complete or remove the pair"
    )
