"""Text detection on images, a line or two for the caller."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image
from torch import Tensor

from dbnet.apis.detector import init_detector, resolve_config, scope_of
from dbnet.checkpoints.foreign import FOREIGN_CONFIG, is_onnx
from dbnet.config.check import walk
from dbnet.datasets.collate import collate_text_det
from dbnet.errors import UserError
from dbnet.images import decode, find_images, from_array, from_pillow, read_displayed
from dbnet.registry import TRANSFORMS
from dbnet.utils.memory import FreedMemory
from dbnet.visualization.crops import crop_text
from dbnet.visualization.draw import VERMILION, LineStyle, draw_polygons
from dbnet.weights import shipped_model

ImageSource = str | os.PathLike[str] | np.ndarray | Image.Image | bytes

PREDICTED = LineStyle(VERMILION)

# Images read ahead, in batches, to find some of equal size.
BATCHES_AHEAD = 8


class TextDetInferencer:
    """Find the texts in images.

    Images go through the test pipeline of the config, its loading step aside. They are read as a
    viewer shows them (see `dbnet.images`), and polygons lie in the pixels so shown.

    Memory is bounded. A file of more than `MAX_PIXELS` (179 million) pixels is refused; a JPEG of
    12000 x 12000 pixels takes 0.9 GB while it is read. A `Resize` that keeps the ratio, as those of
    the project's configs do, gives the network no more pixels than its `scale` (1333 x 736),
    whatever the image. Of several images only the resized ones are held, `BATCHES_AHEAD` batches.
    Freed memory is given back to the system, see `FreedMemory`.

    Args:
        config: A file, the name of one of the project's configs, or a loaded config. With neither
            config nor checkpoint the model that comes with the package is taken.
        checkpoint: Path or URL of weights that fit the config; an ONNX file of another project's
            detector needs none.
        device: "cpu", "cuda", "cuda:1", ...

    Example:
        >>> detect = TextDetInferencer("config.py", "weights.pth")  # doctest: +SKIP
        >>> [texts] = detect("photo.jpg")  # doctest: +SKIP
        >>> texts["polygons"][0], texts["scores"][0]  # doctest: +SKIP
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Config | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if config is None and checkpoint is None:
            config, checkpoint = shipped_model()
        if config is None and checkpoint is not None and is_onnx(os.fspath(checkpoint)):
            config = FOREIGN_CONFIG
        if config is None or checkpoint is None:
            raise UserError(
                f"no {'config' if config is None else 'checkpoint'} given: give both a config and "
                "a checkpoint that fits it, an ONNX file alone, or neither for the weights that "
                "come with the package"
            )
        config = resolve_config(config)
        self.pipeline = build_pipeline(config)
        self.model = init_detector(config, checkpoint, device)
        self.freed = FreedMemory()

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        batch_size: int = 1,
        return_vis: bool = False,
        return_crops: bool = False,
    ) -> list[dict[str, Any]]:
        """Find the texts of one or more images.

        Args:
            images: A path, a folder (of which all images are taken, in natural order), an array,
                grey (H, W), BGR (H, W, 3) or BGRA (H, W, 4), uint8 or uint16, an image of Pillow,
                the bytes of an image file, or a sequence of these.
            batch_size: Images that the network gets at once. The results do not depend on it, but
                for the rounding of floating point: only images of one padded size share a batch.
            return_vis: Draw the polygons as well.
            return_crops: Cut the texts out as well, see `crop_text`.

        Returns:
            A dict per image: `polygons`, a list of M arrays (K, 2) float32 in pixels of the image,
            `scores`, (M,) float32, and, if asked for, `vis`, the drawn image (H, W, 3) uint8 BGR,
            and `crops`, a list of M images (h, w, 3) uint8 BGR.

        Raises:
            UserError: An image cannot be read. `stream` continues with the others.
        """
        sources = list_sources(images)
        results = []
        for source, result in zip(sources, self.stream(sources, batch_size)):
            if isinstance(result, UserError):
                raise result
            if return_vis or return_crops:
                image, polygons = load(source), result["polygons"]
                if return_crops:
                    result["crops"] = [crop_text(image, polygon) for polygon in polygons]
                if return_vis:
                    result["vis"] = draw_polygons(image, polygons, PREDICTED)
            results.append(result)
        return results

    def stream(
        self, sources: Iterable[ImageSource], batch_size: int = 1
    ) -> Iterator[dict[str, Any] | UserError]:
        """Yield the texts of each image in order; for one that cannot be read, its error.

        Args:
            sources: Single images, as in `__call__`. They are taken as they are needed.
            batch_size: As in `__call__`.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        iterator = iter(sources)
        ahead = 1 if batch_size == 1 else BATCHES_AHEAD * batch_size
        while chunk := list(itertools.islice(iterator, ahead)):
            yield from self._detect([self._prepare(source) for source in chunk], batch_size)

    def _prepare(self, source: ImageSource) -> dict | UserError:
        """Read and resize an image."""
        try:
            image = load(source)
        except UserError as error:
            return error
        height, width = image.shape[:2]
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
        facts = dict(img_path=name, ori_shape=(height, width), img_shape=(height, width))
        return self.pipeline(dict(img=image, polygons=[], ignored=[], **facts))

    def _detect(
        self, samples: Sequence[dict | UserError], batch_size: int
    ) -> list[dict[str, Any] | UserError]:
        """Run the network on batches of equal padded size; the results are in order."""
        results: list = list(samples)
        good = [i for i, sample in enumerate(samples) if not isinstance(sample, UserError)]
        divisor = getattr(self.model.data_preprocessor, "pad_size_divisor", 1)
        groups: dict[tuple[int, int], list[int]] = {}
        for i in good:
            groups.setdefault(padded_shape(results[i]["inputs"], divisor), []).append(i)
        for group in groups.values():
            for start in range(0, len(group), batch_size):
                indices = group[start : start + batch_size]
                with torch.inference_mode():
                    batch = collate_text_det([results[i] for i in indices])
                    for i, result in zip(indices, self.model.test_step(batch)):
                        results[i] = result
                self.freed.give_back()
        return results


def list_sources(images: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    """List single images, with folders replaced by the images in them."""
    if isinstance(images, str | os.PathLike | np.ndarray | Image.Image | bytes):
        images = [images]
    sources: list[ImageSource] = []
    for image in images:
        if isinstance(image, str | os.PathLike) and os.path.isdir(image):
            sources.extend(find_images([image]))
        else:
            sources.append(image)
    return sources


def load(source: ImageSource) -> np.ndarray:
    """Turn what `TextDetInferencer` takes as an image into (H, W, 3) uint8 BGR.

    Raises:
        UserError: The file cannot be read.
        TypeError: It is no such thing, or an array of another type.
        ValueError: The array has another shape.
    """
    if isinstance(source, str | os.PathLike):
        return read_displayed(source)
    if isinstance(source, np.ndarray):
        return from_array(source)
    if isinstance(source, Image.Image):
        return from_pillow(source)
    if isinstance(source, bytes):
        return decode(source)
    raise TypeError(
        "an image is a path, an array, an image of Pillow or the bytes of a file, got "
        f"{type(source).__name__}"
    )


def build_pipeline(config: Config) -> Callable[[dict], dict]:
    """Build the test pipeline of a config without the step that loads the image.

    Raises:
        UserError: The config has none.
    """
    loader = config.to_dict().get("test_dataloader")
    # The dataset may be wrapped in others.
    nodes = (node for _, node in walk(loader) if isinstance(node, dict) and "pipeline" in node)
    pipeline = next(nodes, {}).get("pipeline")
    if not pipeline:
        raise UserError(
            f"config {config.filename}: test_dataloader has no pipeline, which says how images "
            "are resized"
        )
    steps = pipeline[1:] if loads_image(pipeline[0]["type"]) else pipeline
    with DefaultScope.overwrite_default_scope(scope_of(config)):
        return Compose([TRANSFORMS.build(transform) for transform in steps])


def loads_image(kind: str | type) -> bool:
    """Check whether a transform reads the image; datasets that draw theirs need none."""
    name = kind if isinstance(kind, str) else kind.__name__
    return name.split(".")[-1] in ("LoadImage", "LoadImageFromFile")


def padded_shape(image: Tensor, divisor: int) -> tuple[int, int]:
    """Height and width of an image (3, H, W) after padding to multiples of `divisor`."""
    height, width = image.shape[-2:]
    return -(-height // divisor) * divisor, -(-width // divisor) * divisor
