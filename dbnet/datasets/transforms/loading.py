from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import ExifTags, Image, UnidentifiedImageError

from dbnet.errors import ImageError
from dbnet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadImage(BaseTransform):
    """Decode the image at `img_path`, if the data set's cache has not given it as `img`.

    The orientation that EXIF states is ignored, as the annotations of ICDAR2015 do. Adds `img`
    (H, W, 3) uint8 BGR, `ori_shape` and `img_shape` (H, W).
    """

    def transform(self, results: dict) -> dict:
        image = results["img"] if "img" in results else read_image(results["img_path"])
        return {**results, "img": image, "ori_shape": image.shape[:2], "img_shape": image.shape[:2]}


def read_image(path: str) -> np.ndarray:
    """Decode an image file to (H, W, 3) uint8 BGR, without applying its EXIF orientation.

    Raises:
        ImageError: The file is missing or no image.
    """
    try:
        data = np.frombuffer(Path(path).read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise ImageError(f"image {path}: {error.strerror}") from None
    except ValueError as error:  # no path at all: a null character, half a surrogate pair
        raise ImageError(f"image {path!r}: {error}") from None
    if data[:4].tobytes() == b"GIF8":  # which OpenCV decodes from 4.11 on
        return _read_gif(path)
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise
        raise ImageError(f"image {path}: too large, or damaged ({error.err})") from None
    if image is None:
        raise ImageError(f"image {path}: not an image, or damaged")
    return image


def _read_gif(path: str) -> np.ndarray:
    """Decode the first picture of a GIF to (H, W, 3) uint8 BGR."""
    try:
        with Image.open(path) as image:
            return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
    except OSError:  # Pillow's UnidentifiedImageError is one
        raise ImageError(f"image {path}: not an image, or damaged") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"image {path}: {error}") from None


def orientation_of(image: Image.Image) -> int:
    """Read the orientation from EXIF, 1..8; unreadable EXIF or an undefined value counts as 1."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata, which can raise anything, are no reason to refuse
        return 1
    return value if value in range(1, 9) else 1


def read_shape(path: str) -> tuple[int, int]:
    """Read (H, W) from the head of an image file, before any EXIF orientation.

    Raises:
        ImageError: The file is missing or no image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except UnidentifiedImageError:
        raise ImageError(f"image {path}: not an image, or damaged") from None
    except OSError as error:
        raise ImageError(f"image {path}: {error.strerror or error}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"image {path}: {error}") from None
    except ValueError as error:
        raise ImageError(f"image {path!r}: {error}") from None
