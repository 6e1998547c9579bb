"""Image files of any kind as (H, W, 3) uint8 BGR, the way a viewer shows them.

The EXIF orientation is applied, transparent parts are white, 16 bits are scaled to 8, and the first
of several frames or pages is taken. Training and tests read with `read_image` of
`dbnet.datasets.transforms.loading`; for a JPEG without an orientation both give the same pixels.
"""

import glob
import io
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from dbnet.datasets.transforms.loading import orientation_of
from dbnet.errors import UserError
from dbnet.labels.annotation import natural_key

# Pillow's own limit. While it is read, a JPEG takes 6 bytes per pixel and a PNG with transparency,
# the worst, 16: 1.1 and 2.9 GB at most (measured on 12000 x 12000 pixels).
MAX_PIXELS = 178_956_970
TOO_LARGE = f"more than {MAX_PIXELS} pixels, the limit; scale it down or cut it into pieces"

# What counts as an image in a folder, in lower case.
SUFFIXES = (
    *(".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
)


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Replace folders and glob patterns by the image files in them, in natural order.

    Folders are not searched below their first level, and hidden files are passed over. A path that
    does not exist and is no pattern of existing files is kept, so that its reader can complain.

    Raises:
        UserError: A folder cannot be read, or holds no image.
    """
    return [file for path in paths for file in _expand(os.fspath(path))]


def _expand(path: str) -> list[str]:
    if os.path.isdir(path):
        return _list_folder(path)
    if os.path.lexists(path):
        return [path]
    matches = glob.glob(path, recursive=True)
    return sorted((m for m in matches if os.path.isfile(m)), key=natural_key) or [path]


def _list_folder(folder: str) -> list[str]:
    try:
        entries = sorted(os.listdir(folder), key=natural_key)
    except OSError as error:
        raise UserError(f"folder {folder}: {error.strerror}") from None
    files = [
        os.path.join(folder, name)
        for name in entries
        if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
    ]
    if not files:
        raise UserError(f"folder {folder}: no images in it ({' '.join(SUFFIXES)})")
    return files


def read_displayed(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode an image file to (H, W, 3) uint8 BGR, as a viewer shows it.

    Raises:
        UserError: The file is missing, damaged, no image, or of more than `MAX_PIXELS` pixels.
    """
    name = os.fspath(path)
    try:
        return decode(Path(path).read_bytes())
    except UserError as error:
        raise UserError(f"image {name}: {error}") from None
    except OSError as error:
        raise UserError(f"image {name}: {error.strerror or error}") from None
    except ValueError as error:  # a null byte in the path
        raise UserError(f"image {name!r}: {error}") from None


def decode(data: bytes) -> np.ndarray:
    """Decode the content of an image file to (H, W, 3) uint8 BGR, as a viewer shows it.

    Raises:
        UserError: It is damaged, no image, or of more than `MAX_PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            # What Pillow only warns of is harmless here: odd metadata, sizes below MAX_PIXELS.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return _decode(image, data)
    except (UserError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise UserError("not an image, or of an unknown format") from None
    except Image.DecompressionBombError:
        raise UserError(TOO_LARGE) from None
    except Exception as error:  # a damaged file can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"damaged, or of an unknown kind ({reason})") from None


def _decode(image: Image.Image, data: bytes) -> np.ndarray:
    """Check the header, which alone has been read, and decode the rest."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UserError(TOO_LARGE)  # where somebody has raised Pillow's limit
    if image.format == "EPS":
        raise UserError("EPS is a program, not an image")  # and would be run by Ghostscript
    pixels = _decode_jpeg(image, data)
    if pixels is None:
        pixels = to_bgr(image)
    # After decoding, since PNG may state it last; TIFF has been turned and states none by then.
    return orient(pixels, orientation_of(image))


def _decode_jpeg(image: Image.Image, data: bytes) -> np.ndarray | None:
    """Decode a whole grey or colour JPEG with OpenCV, 3 times as fast as Pillow; otherwise None.

    The pixels are Pillow's, bit by bit. OpenCV 4.10 fills a truncated file up without a word,
    so what does not end as a JPEG does is left to Pillow.
    """
    is_plain = image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB")
    if not is_plain or not data.endswith(b"\xff\xd9"):
        return None
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)


def to_bgr(image: Image.Image) -> np.ndarray:
    """Turn a Pillow image of any mode into (H, W, 3) uint8 BGR.

    Transparent parts are put on white: what lies below full transparency is often black, and so is
    the text. CMYK is converted without its ICC profile.
    """
    image.load()
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return cv2.cvtColor((np.asarray(image) >> 8).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    if image.mode in ("I", "F"):
        return cv2.cvtColor(stretch(np.asarray(image)), cv2.COLOR_GRAY2BGR)
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = _on_white(_convert(image, "RGBA"))
    if image.mode == "L":
        return cv2.cvtColor(np.asarray(image), cv2.COLOR_GRAY2BGR)
    return cv2.cvtColor(np.asarray(_convert(image, "RGB")), cv2.COLOR_RGB2BGR)


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _convert(image: Image.Image, mode: str) -> Image.Image:
    """As Pillow's `convert`, without a copy of what has the mode already."""
    return image if image.mode == mode else image.convert(mode)


def stretch(values: np.ndarray) -> np.ndarray:
    """Map the least finite value to 0 and the greatest to 255, uint8; what is not finite gives 0.

    For pixels of 32 bits, (H, W), whose range no format defines.
    """
    finite = np.isfinite(values)
    low, high = (values[finite].min(), values[finite].max()) if finite.any() else (0, 0)
    scale = 255 / (float(high) - float(low)) if high > low else 0.0
    scaled = (np.where(finite, values, low).astype(np.float64) - float(low)) * scale
    return np.rint(scaled).astype(np.uint8)


def orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels (H, W, 3) as EXIF's tag 274 says, so that they show upright.

    Args:
        pixels: As stored in the file.
        orientation: 1..8. From 5 on, rows of the file are columns of the result.
    """
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):  # the file begins at the bottom
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):  # the file begins on the right
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
