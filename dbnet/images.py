"""Image files, or what `dbnet.remote` reads: find, read as (H, W, 3) uint8 BGR, probe, write.

`read_image` returns the pixels as stored, which training and tests use; `read_displayed` turns them
upright by EXIF's orientation, as a viewer does. Otherwise both see the same: transparent parts on a
ground that contrasts with the others, 16 bits scaled to 8, the first of several frames.
"""

import glob
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from dbnet import remote
from dbnet.errors import ImageError, SetupError, UserError
from dbnet.remote.paths import file_name, is_url, shown
from dbnet.utils.files import is_visible, refuse_special
from dbnet.utils.text import natural_key

# Pillow's own limit. While it is read, a JPEG takes 6 bytes per pixel and a PNG with transparency,
# the worst, 16: 1.1 and 2.9 GB at most (measured on 12000 x 12000 pixels).
MAX_PIXELS = 178_956_970
TOO_LARGE = f"more than {MAX_PIXELS} pixels, the limit; scale it down or cut it into pieces"
NO_IMAGE = "not an image, or damaged"

# Suffixes of images in a folder, in lower case.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jfif", ".jp2", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".avif", ".pbm", ".pgm", ".ppm"),
)
# Colours at full resolution, since lines of a pixel or two turn grey otherwise.
JPEG_SETTINGS = [
    *(cv2.IMWRITE_JPEG_QUALITY, 92),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]
# Modes of Pillow, without transparency, that OpenCV decodes to the same pixels, but faster.
PLAIN_MODES = ("1", "L", "P", "RGB")
MARK_WITHIN = 256  # bytes from a file's start


class Probe(NamedTuple):
    """Facts about an image file."""

    shape: tuple[int, int] | None  # (H, W) as stored, None if Pillow cannot open it
    orientation: int  # EXIF's, 1 to 8; 1 is upright, from 5 on the displayed image is (W, H)
    damage: str | None  # why its content cannot be decoded, None if it can


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Replace folders, archives and glob patterns by the images in them, in natural order.

    Folders are not searched below their first level, archives are; hidden files are skipped. A path
    that does not exist and is no pattern of existing files is kept for its reader to report. A
    `UserError` if a folder or archive cannot be read, or has no image.
    """
    return [file for path in paths for file in _expand(os.fspath(path))]


def _expand(path: str) -> list[str]:
    if os.path.isdir(path):
        return _list_folder(path)
    if (is_url(path) or os.path.isfile(path)) and remote.holds_many(path):
        return _images_of(remote.list_inside(path), shown(path))
    if is_url(path) or os.path.lexists(path):
        return [path]
    matches = glob.glob(path, recursive=True)
    return sorted((m for m in matches if os.path.isfile(m)), key=natural_key) or [path]


def is_collection(path: str) -> bool:
    """Return whether `find_images` looks for images inside of a path."""
    return os.path.isdir(path) or remote.holds_many(path)


def _list_folder(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise UserError(f"folder {folder}: {error.strerror}") from None
    return _images_of([os.path.join(folder, name) for name in names], f"folder {folder}")


def _images_of(paths: Iterable[str], place: str) -> list[str]:
    files = [
        path
        for path in sorted(paths, key=natural_key)
        if is_visible(name := Path(file_name(path))) and name.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise UserError(f"{place}: no images in it ({' '.join(SUFFIXES)})")
    return files


def read_content(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of an image, wherever it lies; an `ImageError` if it cannot be read."""
    with _errors_named(os.fspath(path)):
        return _content(path)


def _content(path: str | os.PathLike[str]) -> bytes:
    if is_url(name := os.fspath(path)):
        return remote.read(name)
    refuse_special(path)
    return Path(path).read_bytes()


def _source(path: str | os.PathLike[str]) -> Path | io.BytesIO:
    """Return what Pillow can open: a file, of which it need not read all, or an image's bytes."""
    if is_url(os.fspath(path)):
        return io.BytesIO(_content(path))
    refuse_special(path)
    return Path(path)


def read_image(path: str | os.PathLike[str], upright: bool = False) -> np.ndarray:
    """Decode an image file to (H, W, 3) uint8 BGR, as stored or, `upright`, as a viewer shows it.

    An `ImageError` if it is missing, damaged, no image, or has too many pixels.
    """
    with _errors_named(os.fspath(path)):
        data = _content(path)
        return _decode_displayed(data) if upright else _decode_stored(data)


def read_displayed(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode an image file to (H, W, 3) uint8 BGR as a viewer shows it, see `read_image`."""
    return read_image(path, upright=True)


def decode(data: bytes, upright: bool = True) -> np.ndarray:
    """Decode the content of an image file as `read_displayed` does, or as stored."""
    with _errors_named():
        return _decode_displayed(data) if upright else _decode_stored(data)


def shape_of(data: bytes) -> tuple[int, int]:
    """Read (H, W) of the stored pixels from the content of an image file; or an `ImageError`."""
    with _errors_named(), _opened(io.BytesIO(data)) as image:
        return image.height, image.width


def read_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Read (H, W) of the stored pixels from the header of an image file; or an `ImageError`."""
    with _errors_named(os.fspath(path)), Image.open(_source(path)) as image:
        return image.height, image.width


def read_orientation(path: str | os.PathLike[str]) -> int:
    """Read EXIF's orientation, 1 to 8, from the header of an image file; 1 is upright."""
    with _errors_named(os.fspath(path)), _opened(_source(path)) as image:
        return _orientation_of(image)


def probe(image: str | os.PathLike[str] | bytes) -> Probe:
    """Read size and orientation of an image file, or of its content; check that it is complete.

    Some versions of OpenCV silently fill up a truncated file. So a file that does not end as a
    JPEG is decoded by Pillow, which complains; a JPEG that ends so need not be, which saves most
    of the time.
    """
    shape, orientation = None, 1
    try:
        source = io.BytesIO(image) if isinstance(image, bytes) else _source(image)
        with _opened(source) as opened:
            shape, orientation = (opened.height, opened.width), _orientation_of(opened)
            if not _is_whole_jpeg(opened, _tail(source)):
                opened.load()
            return Probe(shape, orientation, None)
    except SetupError:
        raise
    except Exception as error:  # a damaged file can raise anything
        return Probe(shape, orientation, _reason(error))


@contextmanager
def _opened(source: Path | io.BytesIO) -> Iterator[Image.Image]:
    """Open an image; what Pillow only warns of is harmless: odd metadata, many pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(source) as image:
            yield image


def _tail(source: Path | io.BytesIO) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()[-2:]
    with source.open("rb") as file:
        file.seek(-2, os.SEEK_END)
        return file.read()


def _orientation_of(image: Image.Image) -> int:
    """Read EXIF's orientation; unreadable EXIF or an undefined value counts as 1."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata, which can raise anything, are no reason to refuse
        return 1
    return value if value in range(1, 9) else 1


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _is_whole_jpeg(image: Image.Image, data: bytes) -> bool:
    """Return whether an image is a JPEG whose last bytes are its end marker."""
    return image.format in ("JPEG", "MPO") and data.endswith(b"\xff\xd9")


@contextmanager
def _errors_named(name: str = "") -> Iterator[None]:
    """Turn all that opening and decoding an image can raise into an `ImageError`."""
    try:
        yield
        return
    except (MemoryError, SetupError):
        raise
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise
        problem = f"too large, or damaged ({error.err})"
    except UnidentifiedImageError:
        problem = NO_IMAGE
    except Image.DecompressionBombError:
        problem = TOO_LARGE
    except UserError as error:
        problem = str(error)
    except Exception as error:  # a damaged file can raise anything
        system = error.strerror if isinstance(error, OSError) else None
        problem = system or f"damaged, or of an unknown kind ({_reason(error)})"
    name = shown(name)
    # A name with a null character or half a surrogate pair is no path.
    place = f"image {name if name.isprintable() else repr(name)}: " if name else ""
    raise ImageError(place + problem) from None


def from_array(array: np.ndarray) -> np.ndarray:
    """Turn an array into (H, W, 3) uint8 BGR; one that is so already is returned itself.

    It is grey (H, W) or (H, W, 1), BGR (H, W, 3) or BGRA (H, W, 4), uint8 or uint16; else a
    `TypeError` or, of its shape, a `ValueError`.
    """
    got = f"got shape {array.shape} and dtype {array.dtype}"
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise TypeError(f"an image array must be uint8 or uint16, {got}")
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or array.size == 0:
        raise ValueError(f"an image array must be (H, W), or (H, W, 3) BGR or (H, W, 4), {got}")
    if array.dtype.itemsize == 2:
        array = (array >> 8).astype(np.uint8)
    if channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_GRAY2BGR)
    if channels == 4:
        pixels = cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_BGRA2RGBA)
        return to_bgr(Image.fromarray(pixels))
    return array


def from_pillow(image: Image.Image) -> np.ndarray:
    """Turn a Pillow image into (H, W, 3) uint8 BGR as a viewer shows it; it stays as it is.

    An `ImageError` if its file, which Pillow reads only now, is damaged.
    """
    with _errors_named():
        turned = ImageOps.exif_transpose(image) if _orientation_of(image) > 1 else image.copy()
        turned.format = image.format
        return to_bgr(turned)


def _decode_stored(data: bytes) -> np.ndarray:
    """Decode the pixels as stored, by OpenCV where it sees what Pillow does."""
    if _needs_pillow(data):
        with _opened(io.BytesIO(data)) as opened:
            return to_bgr(opened)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags) if data else None
    if image is None:
        raise UserError(NO_IMAGE)
    return image


def _needs_pillow(data: bytes) -> bool:
    """Check, by its header, for an image that OpenCV decodes to other pixels, or not at all."""
    try:
        with _opened(io.BytesIO(data)) as image:
            if image.format == "EPS":  # a program, which Pillow would have run
                return False
            # OpenCV knows GIF from 4.11 on.
            plain = image.mode in PLAIN_MODES and image.format != "GIF"
            return not plain or _is_transparent(image)
    except Exception:  # OpenCV may know it
        return False


def _decode_displayed(data: bytes) -> np.ndarray:
    """Check the header, then decode the pixels as a viewer shows them."""
    with _opened(io.BytesIO(data)) as image:
        if image.width * image.height > MAX_PIXELS:
            raise UserError(TOO_LARGE)  # where somebody has raised Pillow's limit
        if image.format == "EPS":
            raise UserError("EPS is a program, not an image")  # and would be run by Ghostscript
        # Three times as fast as Pillow, to the same pixels.
        if image.mode in ("L", "RGB") and _is_whole_jpeg(image, data):
            pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
            if pixels is not None:
                return pixels
        image.load()
        with suppress(Exception):  # damaged metadata are no reason to refuse an image
            ImageOps.exif_transpose(image, in_place=True)
        return to_bgr(image)


def to_bgr(image: Image.Image) -> np.ndarray:
    """Turn a Pillow image of any mode into (H, W, 3) uint8 BGR.

    What is transparent gets a ground, see `_on_ground`: the pixels below full transparency are
    often black, as is the text. CMYK is converted without its ICC profile.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return cv2.cvtColor((np.asarray(image) >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    if image.mode in ("I", "F"):
        return cv2.cvtColor(stretch(np.asarray(image)), cv2.COLOR_GRAY2BGR)
    if _is_transparent(image):
        image = _on_ground(_convert(image, "RGBA"))
    if image.mode == "L":
        return cv2.cvtColor(np.asarray(image), cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(np.asarray(_convert(image, "RGB")), cv2.COLOR_RGB2BGR)


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _on_ground(image: Image.Image) -> Image.Image:
    """Put an RGBA image on white, or on black if what is opaque of it is light on average."""
    alpha = image.getchannel("A")
    opaque = alpha.point(lambda value: 255 * (value > 127))
    if not opaque.getbbox():
        opaque = alpha
    counts = np.array(image.convert("L").histogram(opaque))
    light = np.arange(256) @ counts > 127.5 * counts.sum()
    ground = Image.new("RGB", image.size, "black" if light else "white")
    ground.paste(image, mask=alpha)
    return ground


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """Convert as Pillow does, without a copy of what has the mode already."""
    return image if image.mode == mode else image.convert(mode)


def stretch(values: np.ndarray) -> np.ndarray:
    """Map the least finite value to 0 and the greatest to 255, uint8; what is not finite gives 0.

    For pixels of 32 bits, (H, W), whose range no format defines.

    >>> stretch(np.array([[5, 6, 10]])).tolist()
    [[0, 51, 255]]
    """
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0, 0)
    scale = 255 / (float(high) - float(low)) if high > low else 0.0
    scaled = (np.where(finite, values, low).astype(np.float64) - float(low)) * scale
    return np.rint(scaled).astype(np.uint8)


def write_image(path: Path, image: np.ndarray, mark: bytes = b"") -> None:
    """Encode a BGR image by the suffix of `path` and write it there, into a folder that is made.

    `has_mark` recognises the file by a mark of at most 200 bytes, of JPEGs only. A `UserError` if
    it cannot be written.
    """
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    content = cv2.imencode(path.suffix, image, JPEG_SETTINGS if is_jpeg else [])[1].tobytes()
    if mark:  # behind the first segment, where JFIF allows a comment; its length counts itself
        end = 4 + int.from_bytes(content[4:6], "big")
        content = content[:end] + _comment(mark) + content[end:]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not cv2.imwrite, which gives no reason and on Windows takes ASCII names only.
        path.write_bytes(content)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def _comment(text: bytes) -> bytes:
    """Encode a comment segment of a JPEG (ITU-T T.81, B.2.4.5)."""
    return b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text


def has_mark(path: Path, mark: bytes) -> bool:
    """Return whether a file was written with a mark, or is empty, as a full disk leaves it."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(MARK_WITHIN)
    except OSError:
        return False
    return not start or _comment(mark) in start
