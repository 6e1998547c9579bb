"""Files of public datasets: find downloads, unpack them, and pair images with ground truth."""

import shutil
import zipfile
from collections.abc import Iterator, Sequence, Set
from pathlib import Path, PurePosixPath, PureWindowsPath

from dbnet.errors import UserError
from dbnet.images import SUFFIXES
from dbnet.labels.entries import Request
from dbnet.labels.faults import note_doubt, note_fault
from dbnet.labels.members import enter, is_archive
from dbnet.utils.files import is_visible, opened_zip, partial_name
from dbnet.utils.text import natural_key

AGAIN = ", download it again"
LOOP = "a link leads to a folder that was read already; it is passed over"


def find_downloads(raw: Path, wanted: Sequence[Sequence[str]], origin: str) -> list[Path]:
    """Find every download in the folder `raw`: a folder, a zip or a JSON file.

    `wanted` has the names that each download may have, the preferred one first; without `.zip`, but
    with `.json`. `origin`, where they come from, is for messages.
    """
    if not raw.is_dir():
        raise UserError(f"--raw {raw} is not a folder; put the downloads into one, from {origin}")
    found = [_find(raw, names) for names in wanted]
    missing = [" or ".join(names) for names, path in zip(wanted, found) if path is None]
    if missing:
        raise UserError(
            f"{raw} lacks {', '.join(missing)} (looked for folders and .zip files); "
            f"download from {origin}"
        )
    return [path for path in found if path is not None]


def to_folder(download: Path, request: Request) -> Path:
    """Return the folder of a download's files.

    A zip is unpacked to `out`/its name, or read where it lies if `in_place` is set. A folder stays
    where it is unless `copy` is set and it is not below `out` already. Running again finds what an
    earlier run made.
    """
    out, copy = request.out, request.copy
    if request.in_place and is_archive(download):
        return innermost_folder(enter(download))
    if download.is_dir() and (not copy or download.resolve().is_relative_to(out.resolve())):
        return innermost_folder(download)
    target = out / download.name.removesuffix(".zip")
    listing = _list_files(download)
    if target.exists():
        if not target.is_dir() or _list_files(target) != listing:
            raise UserError(
                f"{target} is there already and differs from {download}: remove it, or choose "
                "another --out"
            )
        return innermost_folder(target)

    # Renamed when complete, so that an interrupted run leaves no folder that looks complete.
    partial = partial_name(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if download.is_dir():
        # Contents alone: copied permissions may forbid the next run to remove what it made.
        for path in listing:
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(download / path, partial / path)
    else:
        _unpack(download, partial)
    partial.rename(target)
    return innermost_folder(target)


def find_archive(
    request: Request, names: Sequence[str], contents: Sequence[str], origin: str
) -> Path:
    """Return the folder of a dataset that is a single zip, of which `raw` may be the content.

    Its folder is recognised by `contents`, names in it; see `find_downloads` for the others.
    """
    raw = request.raw
    if raw.is_dir() and all((raw / name).exists() for name in contents):
        return to_folder(raw.resolve(), request)  # resolved, as "." has no name
    layout = f"{origin}, or pass the folder that contains {' and '.join(contents)} as --raw"
    (download,) = find_downloads(raw, [names], layout)
    folder = to_folder(download, request)
    missing = [name for name in contents if not (folder / name).exists()]
    if missing:
        raise UserError(f"{folder} lacks {', '.join(missing)}; download it again from {origin}")
    return folder


def find_folder(folder: Path, name: str, origin: str) -> Path:
    """Return the folder `name`, in upper or lower case, inside a folder of a download."""
    for path in sorted(folder.iterdir()):
        if path.name.lower() == name.lower() and path.is_dir():
            return path
    raise UserError(f"{folder} lacks the folder {name}; download it again from {origin}")


def innermost_folder(folder: Path) -> Path:
    """Descend while a folder has nothing but one folder in it, as in some zips."""
    while True:
        inside = [path for path in folder.iterdir() if is_visible(path.relative_to(folder))]
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        folder = inside[0]


def _find(raw: Path, names: Sequence[str]) -> Path | None:
    for name in names:
        if (raw / name).is_dir() or (name.endswith(".json") and (raw / name).is_file()):
            return raw / name
        if (raw / f"{name}.zip").is_file():
            return raw / f"{name}.zip"
    return None


def _list_files(download: Path) -> dict[PurePosixPath, int]:
    """Return the size in bytes of every file in a zip or folder."""
    if download.is_dir():
        paths = list(walk(download))
        sizes = {PurePosixPath(p.relative_to(download).as_posix()): p.stat().st_size for p in paths}
        return {path: size for path, size in sizes.items() if is_visible(path)}
    with opened_zip(download, AGAIN) as archive:
        return {path: member.file_size for path, member in _zip_members(archive)}


def _zip_members(archive: zipfile.ZipFile) -> list[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """List the files of a zip with their paths, all of which stay inside the folder."""
    members = []
    for info in archive.infolist():
        path = PureWindowsPath(info.filename)  # knows both slashes and drives, on any system
        if path.anchor or ".." in path.parts:
            raise UserError(
                f"{archive.filename}: the entry {info.filename!r} leaves the folder; this is not "
                "the official file, download it again"
            )
        if not info.filename.endswith(("/", "\\")) and is_visible(path):
            members.append((PurePosixPath(path.as_posix()), info))
    return members


def _unpack(download: Path, folder: Path) -> None:
    with opened_zip(download, AGAIN) as archive:
        for path, info in _zip_members(archive):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, (folder / path).open("wb") as target:
                shutil.copyfileobj(source, target)


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, also behind links to folders, each folder once.

    A folder that is met again, as in a loop of links, is passed over with a doubt.
    """
    seen = {folder.resolve()}
    links: list[Path] = []
    waiting = [folder]
    while waiting or links:  # links last, so that paths without them are preferred
        for path in sorted((waiting or links).pop(0).iterdir()):
            if not path.is_dir():
                if path.is_file():
                    yield path
            elif path.resolve() in seen:
                note_doubt(path, LOOP)
            else:
                seen.add(path.resolve())
                (links if path.is_symlink() else waiting).append(path)


def list_files(folder: Path, suffixes: Sequence[str], prefix: str = "") -> list[Path]:
    """List a folder's visible files, in natural order of their names; not those of its folders.

    Names begin with `prefix` and end in one of `suffixes`, in lower case, which a file need not be.
    """
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes
        and path.name.startswith(prefix)
        and is_visible(Path(path.name))
        and path.is_file()
    ]
    return sorted(sorted(paths), key=lambda path: natural_key(path.stem))  # img_1 and img_01 tie


def pair_files(
    image_folders: Sequence[Path], truth_folder: Path, prefix: str = "gt_", suffix: str = ".txt"
) -> list[tuple[Path, Path]]:
    """Pair every image with its ground truth, in natural order of the images' names.

    The ground truth, which may lie beside the images, of `img_7.jpg` is `gt_img_7.txt` if `prefix`
    is `gt_`; `suffix` is in lower case. Faults are files that have no partner, or are named alike.
    A `UserError` if there are no images.
    """
    image_home = " or ".join(map(str, image_folders))
    image_of, doubles = _by_name([p for f in image_folders for p in list_files(f, SUFFIXES)], "")
    truth_of, double_truths = _by_name(list_files(truth_folder, [suffix], prefix), prefix)
    doubles |= double_truths
    _note_alone(image_of, truth_of.keys() | doubles, f"{truth_folder} lacks {prefix}", suffix)
    _note_alone(truth_of, image_of.keys() | doubles, f"{image_home} lacks ", ".jpg")
    if not image_of:
        raise UserError(f"{image_home} has no *.jpg; check what was unpacked there")
    common = sorted(image_of.keys() & truth_of.keys())
    return [(image_of[name], truth_of[name]) for name in sorted(common, key=natural_key)]


def _by_name(paths: Sequence[Path], prefix: str) -> tuple[dict[str, Path], set[str]]:
    """Index files by their names; names that several have are faults, and returned apart."""
    by_name: dict[str, Path] = {}
    doubles = set[str]()
    for path in paths:
        name = _without_image_suffix(path.stem.removeprefix(prefix))
        if name in by_name:
            text = f"{by_name[name]} and {path} are named alike, remove one of them"
            note_fault(UserError(text))
            doubles.add(name)
        by_name.setdefault(name, path)
    return {name: path for name, path in by_name.items() if name not in doubles}, doubles


def _without_image_suffix(name: str) -> str:
    """Return `img_7` for the `img_7.jpg` of `img_7.jpg.txt`."""
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name


def _note_alone(files: dict[str, Path], partners: Set[str], lack: str, suffix: str) -> None:
    """Note the files that have no partner as faults."""
    for name in sorted(files.keys() - partners, key=natural_key):
        partner = f"{lack}{name}{suffix}"
        text = f"{partner}, the partner of {files[name]}; complete or remove the pair"
        note_fault(UserError(text))
