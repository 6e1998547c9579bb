"""The images of a dataset that one of several processes keeps: every `world_size`-th."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from dbnet.datasets.annotation_file import Entry
from dbnet.datasets.annotations import Annotations
from dbnet.datasets.device.store import Source, averaged_down
from dbnet.datasets.synthetic_text_dataset import SyntheticTextDataset
from dbnet.datasets.text_det_dataset import TextDetDataset
from dbnet.errors import ImageError, UserError
from dbnet.images import read_image, read_shape
from dbnet.remote.paths import shown
from dbnet.utils.memory import keep_freed_memory
from dbnet.utils.parallel import in_order, num_cores

DECODED_AT_ONCE = 64  # images that wait on the host for their copy
MOST_THREADS = 16

Picture = tuple[int, list[np.ndarray] | ImageError]


@dataclass
class FileShare:
    """Those of a `TextDetDataset`, which threads decode."""

    dataset: TextDetDataset
    items: range  # their indices in the dataset
    failed: dict[int, ImageError] = field(default_factory=dict)  # why some cannot be had

    def shapes(self) -> dict[int, tuple[int, int]]:
        """Read (H, W) from the heads of the files, as far as that is possible."""
        shapes = {}
        for item in self.items:
            try:
                shapes[item] = read_shape(self.dataset.annotations.path_of(item))
            except ImageError as error:
                self.failed[item] = error
        return shapes

    def pictures(self, versions: Mapping[int, list[Source]]) -> Iterator[Picture]:
        """Yield every image with its versions, or why there are none."""
        path_of = self.dataset.annotations.path_of
        tasks = (partial(decode, path_of(i), versions[i]) for i in versions)
        threads = min(num_cores(), MOST_THREADS)
        yield from zip(versions, in_order(tasks, threads, DECODED_AT_ONCE))

    def annotations(self) -> tuple[Annotations, range]:
        """Return annotations, and in which rows of them those of `items` are."""
        return self.dataset.annotations, self.items

    def replaced(self) -> dict[int, int]:
        """Report the images that could not be had; return the one in place of each."""
        for item, error in self.failed.items():
            self.dataset.report_unreadable(item, error)
        return substitutes_of(self.items, self.failed)


@dataclass
class SceneShare:
    """Those of a `SyntheticTextDataset`, which processes draw, each once."""

    dataset: SyntheticTextDataset
    items: range
    failed: dict[int, ImageError] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def shapes(self) -> dict[int, tuple[int, int]]:
        return dict.fromkeys(self.items, self.dataset.size[::-1])

    def pictures(self, versions: Mapping[int, list[Source]]) -> Iterator[Picture]:
        """Draw every image; what is written on it is kept for `annotations`."""
        workers = num_cores() // self.items.step  # of each process
        scenes: Any = DataLoader(
            Scenes(self.dataset, {item: len(each) for item, each in versions.items()}),
            batch_size=None,
            sampler=list(versions),
            num_workers=max(min(workers, len(versions)), 1),
            collate_fn=as_it_is,
        )
        for item, (entry, images) in zip(versions, scenes):
            self.entries.append(entry)
            yield item, images

    def annotations(self) -> tuple[Annotations, range]:
        return Annotations.of(self.entries), range(len(self.entries))

    def replaced(self) -> dict[int, int]:
        return {}


Share = FileShare | SceneShare
KINDS: dict[type, Any] = {TextDetDataset: FileShare, SyntheticTextDataset: SceneShare}


@dataclass(eq=False)
class Scenes(Dataset):
    """Scenes with what is written on them, and so many versions of each."""

    dataset: SyntheticTextDataset
    counts: Mapping[int, int]

    def __getitem__(self, item: int) -> tuple[Entry, list[np.ndarray]]:
        keep_freed_memory()
        scene = self.dataset.scene(item)
        points = np.concatenate([np.zeros((0, 2), np.float32), *scene.polygons])
        entry = Entry(
            img_path=self.dataset.image_name(item),
            size=(scene.image.shape[0], scene.image.shape[1]),
            points=points,
            lengths=[len(polygon) for polygon in scene.polygons],
            ignored=scene.ignored,
            num_chars=[len(text) for text in scene.texts],
            faults=[],
            num_words=len(scene.texts),
        )
        return entry, averaged_down(scene.image, self.counts[item])


def as_it_is(sample: Any) -> Any:
    """Leave arrays as they are: tensors would take /dev/shm, which is small in a container."""
    return sample


def decode(path: str, versions: Sequence[Source]) -> list[np.ndarray] | ImageError:
    """Read an image and average it down; what is wrong with it is returned."""
    try:
        images = averaged_down(read_image(path), len(versions))
    except ImageError as error:
        return error
    if any(image.shape[:2] != source.shape for image, source in zip(images, versions)):
        return ImageError(f"image {shown(path)}: is damaged: its head states another size")
    return images


def substitutes_of(items: Sequence[int], failed: Collection[int]) -> dict[int, int]:
    """Find for each unreadable image the next one of this process that is not."""
    if len(failed) == len(items):
        raise UserError(f"default_hooks.device_data: none of {len(items)} images can be read")
    found = {}
    for place, item in enumerate(items):
        if item in failed:
            order = itertools.chain(items[place:], items[:place])
            found[item] = next(other for other in order if other not in failed)
    return found
