"""Text detection on images, a line or two for the caller."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from PIL import Image

from dbnet.deploy.runtimes import is_exported
from dbnet.errors import UserError
from dbnet.images import decode, find_images, from_array, from_pillow, is_collection, read_displayed
from dbnet.utils.environment import use_large_pages
from dbnet.utils.memory import FreedMemory
from dbnet.utils.parallel import in_order
from dbnet.visualization.crops import crop_text
from dbnet.visualization.draw import VERMILION, LineStyle, draw_polygons

if TYPE_CHECKING:
    import torch
    from mmengine.config import Config

ImageSource = str | os.PathLike[str] | np.ndarray | Image.Image | bytes
Result = dict[str, Any] | UserError

PREDICTED = LineStyle(VERMILION)

# Images read ahead, in batches, to find some of equal size.
BATCHES_AHEAD = 8


class Network(Protocol):
    """What prepares images, runs the network and finds the texts; see `TorchNetwork`."""

    streams: int  # batches that it works on at once
    scale: tuple[int, int]  # long and short side, pixels, into which images are fitted, any order

    @property
    def postprocessor(self) -> Any: ...

    def prepare(self, image: np.ndarray, facts: dict) -> dict: ...

    def padded_shape(self, sample: dict) -> tuple[int, int]: ...

    def maps(self, samples: Sequence[dict]) -> "np.ndarray | torch.Tensor": ...

    def start(self, samples: Sequence[dict]) -> Callable[[], list[dict]]: ...


class TextDetInferencer:
    """Find the texts in images.

    Images go through the test pipeline of the config, its loading step aside. They are read as a
    viewer shows them (see `dbnet.images`), and polygons lie in the pixels so shown. While the
    network works, the next images are read and the texts of those before are found.

    Memory is bounded. A file of more than `MAX_PIXELS` (179 million) pixels is refused; a JPEG of
    12000 x 12000 pixels takes 0.9 GB while it is read. A `Resize` that keeps the ratio, as those of
    the project's configs do, gives the network no more pixels than its `scale` (1333 x 736),
    whatever the image. Of several images only the resized ones are held, `BATCHES_AHEAD` batches.
    Freed memory is given back to the system, see `FreedMemory`.

    Args:
        config: A file, the name of one of the project's configs, or a loaded config; or a file of
            `dbnet export`, which needs no other and no PyTorch. With neither config nor checkpoint
            the model that comes with the package is taken.
        checkpoint: Path or URL of weights that fit the config, or a file of `dbnet export`; or,
            without a config, "small" or "turned", the models of the package, a model's folder,
            "hf://OWNER/NAME", or an ONNX file of another project's detector.
        device: "cpu", "cuda", "cuda:1", ...
        amp: Run the network in bfloat16, or not; if not given, on CPUs that compute it natively.

    Example:
        >>> detect = TextDetInferencer("config.py", "weights.pth")  # doctest: +SKIP
        >>> [texts] = detect("photo.jpg")  # doctest: +SKIP
        >>> texts["polygons"][0], texts["scores"][0]  # doctest: +SKIP
    """

    def __init__(
        self,
        config: "str | os.PathLike[str] | Config | None" = None,
        checkpoint: str | os.PathLike[str] | None = None,
        device: "str | torch.device" = "cpu",
        amp: bool | None = None,
    ) -> None:
        self.network = open_network(config, checkpoint, device, amp)
        self.freed = FreedMemory()

    @classmethod
    def of(cls, network: Network) -> "TextDetInferencer":
        """Find texts by a network that is open already."""
        inferencer = cls.__new__(cls)
        inferencer.network, inferencer.freed = network, FreedMemory()
        return inferencer

    @property
    def model(self) -> Any:
        """The detector in PyTorch."""
        return self.network.model  # type: ignore[attr-defined]  # an exported one has none

    def __call__(
        self,
        images: ImageSource | Sequence[ImageSource],
        batch_size: int = 1,
        return_vis: bool = False,
        return_crops: bool = False,
    ) -> list[dict[str, Any]]:
        """Find the texts of one or more images.

        Args:
            images: A path or URL, a folder or archive (of which all images are taken), an array,
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

    def stream(self, sources: Iterable[ImageSource], batch_size: int = 1) -> Iterator[Result]:
        """Iterate over the texts of each image in order; for one that cannot be read, its error.

        Args:
            sources: Single images, as in `__call__`. They are taken as they are needed.
            batch_size: As in `__call__`.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        chunks = self._read(iter(sources), 1 if batch_size == 1 else BATCHES_AHEAD * batch_size)
        # One thread, so that the network's next batch is not delayed by the last one's texts.
        finishing = in_order(self._jobs(chunks, batch_size), 1, self.network.streams + 1)
        return itertools.chain.from_iterable(finishing)

    def _read(self, sources: Iterator[ImageSource], ahead: int) -> Iterator[list[dict | UserError]]:
        """Yield images, read and resized in a thread of their own, in chunks of `ahead`."""
        chunks = iter(lambda: list(itertools.islice(sources, ahead)), [])

        def read(chunk: list[ImageSource]) -> list[dict | UserError]:
            return [self._prepare(source) for source in chunk]

        return in_order((partial(read, chunk) for chunk in chunks), self.network.streams, 1)

    def _prepare(self, source: ImageSource) -> dict | UserError:
        try:
            return self.prepare(source)
        except UserError as error:
            return error

    def prepare(self, source: ImageSource) -> dict:
        """Read and resize an image, for `network.maps`."""
        image = load(source)
        height, width = image.shape[:2]
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
        facts = dict(img_path=name, ori_shape=(height, width), img_shape=(height, width))
        return self.network.prepare(image, facts)

    def _jobs(
        self, chunks: Iterable[list[dict | UserError]], batch_size: int
    ) -> Iterator[Callable[[], list[Result]]]:
        """Run the network on batches of equal padded size; yield what finds a chunk's texts."""
        for samples in chunks:
            batches = self._batches(samples, batch_size)  # of readable images alone
            started = [
                self.network.start([cast(dict, samples[i]) for i in batch]) for batch in batches
            ]
            yield partial(self._finish, samples, batches, started)

    def _batches(self, samples: Sequence[dict | UserError], batch_size: int) -> list[list[int]]:
        """Group the indices of readable images."""
        groups: dict[tuple[int, int], list[int]] = {}
        for i, sample in enumerate(samples):
            if not isinstance(sample, UserError):
                groups.setdefault(self.network.padded_shape(sample), []).append(i)
        return [
            group[start : start + batch_size]
            for group in groups.values()
            for start in range(0, len(group), batch_size)
        ]

    def _finish(
        self,
        samples: Sequence[dict | UserError],
        batches: Sequence[Sequence[int]],
        started: Sequence[Callable[[], list[dict]]],
    ) -> list[Result]:
        """Find the texts of a chunk; the results are in order."""
        results: list = list(samples)
        for batch, fetch in zip(batches, started):
            for i, result in zip(batch, fetch()):
                results[i] = result
            self.freed.give_back()
        return results


def open_network(
    config: "str | os.PathLike[str] | Config | None",
    checkpoint: str | os.PathLike[str] | None,
    device: "str | torch.device",
    amp: bool | None,
) -> Network:
    """Open an exported model or build one in PyTorch, see `TextDetInferencer`."""
    if checkpoint is None and isinstance(config, str | os.PathLike) and is_exported(config):
        config, checkpoint = None, config
    if checkpoint is not None and is_exported(checkpoint):
        from dbnet.deploy.exported_network import ExportedNetwork

        network = ExportedNetwork(checkpoint, str(device), amp=amp)
        if config is not None:
            raise UserError(f"{checkpoint} holds its own settings: leave the config out")
        return network
    from dbnet.checkpoints.choose import choose_model

    config, checkpoint = choose_model(config, checkpoint)
    use_large_pages()
    from dbnet.apis.torch_network import TorchNetwork

    return TorchNetwork(config, checkpoint, device, amp)


def list_sources(images: ImageSource | Sequence[ImageSource]) -> list[ImageSource]:
    """List single images, with folders replaced by the images in them."""
    if isinstance(images, str | os.PathLike | np.ndarray | Image.Image | bytes):
        images = [images]
    sources: list[ImageSource] = []
    for image in images:
        if isinstance(image, str | os.PathLike) and is_collection(os.fspath(image)):
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
