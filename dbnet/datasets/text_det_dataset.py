import functools
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from dbnet.datasets.annotation_file import read_data_list, stated_size
from dbnet.datasets.image_cache import ImageCache
from dbnet.datasets.malloc import keep_freed_memory
from dbnet.datasets.repair import UnreadableImages, check_share, read_polygon
from dbnet.datasets.samplers import SampleKey, as_sample_key
from dbnet.datasets.shared_memory import SharedMemory
from dbnet.errors import ImageError, UserError
from dbnet.registry import DATASETS

SIZE_UNKNOWN = (32, 32)  # of the black image in place of one that nothing is known of


@DATASETS.register_module()
class TextDetDataset(BaseDataset):
    """Images and text polygons of an annotation file in MMOCR 1.x's JSON format.

    A sample enters the pipeline as a dict with `img_path`, `polygons` (list of (K, 2) float32
    arrays, pixels of the original image), `ignored` (list of bool) and `rng`, a random generator
    that depends on (seed, epoch, index) alone. Images without text are legal. With a cache it has
    `img`, the decoded image, as well.

    The workers of a process, forked or spawned, share annotations and cache.

    Damage costs a warning each. Bad polygons are mended or left out, see `dbnet.datasets.repair`.
    In place of an unreadable image, training takes the next one of the file; a test takes a black
    one, so that its words count as missed.

    Args:
        ann_file: Annotation file, relative to `data_root`; image paths in it are relative to its
            own folder.
        data_root: Folder.
        pipeline: Configs of the transforms.
        test_mode: For validation and tests, whose samples do not depend on the epoch: plain
            samplers will do.
        indices: The first so many images, or those of these indices; None for all.
        lazy_init: Read the annotation file only when `full_init` is called.
        cache: "ram" keeps decoded images in memory that the workers of this process share, so that
            each image is decoded once in a run.
        cache_budget_gb: What the cache may hold, in 10^9 bytes; images beyond it are decoded each
            time. ICDAR2015's 1000 training images take 2.8.
        max_damaged: Share of the images, and of the words, that may be damaged; beyond it the run
            stops.
        sort_by_size: Order the images by height and width, those of one size as in the file.
    """

    data_list: list[dict]

    METAINFO = dict(dataset_type="TextDetDataset", task_name="textdet")

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
        lazy_init: bool = False,
        cache: str | None = None,
        cache_budget_gb: float = 8.0,
        max_damaged: float = 0.1,
        sort_by_size: bool = False,
    ) -> None:
        if cache not in (None, "ram"):
            raise UserError(f'dataset.cache: must be None or "ram", got {cache!r}')
        if indices is not None and not indices:
            raise UserError(
                f"dataset.indices={indices!r} leaves no image: give how many, or a list of them"
            )
        self.cache = cache
        self.cache_budget_gb = cache_budget_gb
        self.images: ImageCache | None = None
        self.annotations: SharedMemory | None = None
        self.max_damaged = max_damaged
        self.sort_by_size = sort_by_size
        self.unreadable: UnreadableImages | None = None
        self.stand_ins: dict[int, int] = {}  # taken in place of images known to be unreadable
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            pipeline=list(pipeline),
            test_mode=test_mode,
            indices=indices,
            lazy_init=lazy_init,
        )

    def __getitem__(self, key: int | SampleKey) -> dict:
        keep_freed_memory()
        key = as_sample_key(key, self.test_mode)
        key = key._replace(item=self.stand_ins.get(key.item, key.item))
        try:
            return self._make_sample(key)
        except ImageError as error:
            return self._replace(key, error)

    def get_data_info(self, idx: int) -> dict:
        """Give a sample as it enters the pipeline, less `rng`; its polygons are read-only."""
        sample = unpack_entry(super().get_data_info(idx))
        del sample["size"]
        return sample

    def full_init(self) -> None:
        super().full_init()
        if self.unreadable is None:
            self.unreadable = UnreadableImages(len(self), self.max_damaged, self.ann_file)

    def size_of(self, idx: int) -> tuple[int, int] | None:
        """Give (H, W) of an image as the annotation states it, if it does."""
        return super().get_data_info(idx)["size"]

    def report_unreadable(self, item: int, error: ImageError) -> None:
        """Warn of an image; see `UnreadableImages.report`."""
        instead = "its words count as missed" if self.test_mode else "the next image is taken"
        self.full_init()
        assert self.unreadable is not None
        self.unreadable.report(item, str(error), instead)

    def _make_sample(self, key: SampleKey, img: np.ndarray | None = None) -> dict:
        sample = self.get_data_info(key.item)
        sample["rng"] = np.random.default_rng(list(key))
        if img is not None:
            sample["img"] = img
        elif self.images is not None:
            sample["img"] = self.images.read(sample["img_path"])
        return self.pipeline(sample)

    def _replace(self, key: SampleKey, error: ImageError) -> dict:
        """Make the sample that stands in for one whose image is unreadable."""
        self.report_unreadable(key.item, error)
        if self.test_mode:
            height, width = self.size_of(key.item) or SIZE_UNKNOWN
            return self._make_sample(key, np.zeros((height, width, 3), np.uint8))
        for step in range(1, len(self)):
            item = (key.item + step) % len(self)
            try:
                return self._make_sample(key._replace(item=item))
            except ImageError as another:
                self.report_unreadable(item, another)
        raise error

    def load_data_list(self) -> list[dict]:
        """Read the annotation file; its entries come packed, `unpack_entry` undoes it.

        Raises:
            UserError: It is missing, no JSON, or has an entry that is not in the format.
        """
        path = Path(self.ann_file)
        pack = functools.partial(pack_if_entry, path.parent)
        return self._take(path, read_data_list(path, object_hook=pack))

    def _take(self, path: Path, data_list: list[Any]) -> list[dict]:
        """Take the entries; warn of damage, or stop if there is too much."""
        entries, faulty_entries, faulty_words, num_words = [], list[str](), list[str](), 0
        for index, entry in enumerate(data_list):
            name = f"data_list[{index}]"
            try:
                packed = entry if isinstance(entry, Packed) else pack(path.parent, entry)
            except UserError as error:
                faulty_entries.append(f"{name}: {error}; the image is left out")
                continue
            entries.append(packed.entry)
            faulty_words += [f"{name} {fault}" for fault in packed.faults]
            num_words += packed.num_words
        ann_file = str(path)
        check_share("images", faulty_entries, len(data_list), self.max_damaged, ann_file)
        check_share("words", faulty_words, num_words, self.max_damaged, ann_file)
        if self.sort_by_size:
            entries.sort(key=lambda entry: entry["size"] or (0, 0))
        return entries

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        if self.cache:
            self.images = self._make_cache()
        data_bytes, data_address = super()._serialize_data()
        self.annotations = SharedMemory(len(data_bytes))
        self.annotations.bytes[:] = data_bytes
        return self.annotations.bytes, data_address

    def _make_cache(self) -> ImageCache:
        budget = self.cache_budget_gb
        sizes = ((entry["img_path"], entry["size"]) for entry in self.data_list)
        images = ImageCache(sizes, int(budget * 1e9))
        print_log(
            f"cache: holds {len(images)} of {len(self.data_list)} images once they are read, "
            f"{images.num_bytes / 1e9:.2f} of {budget:g} GB",
            logger="current",
        )
        return images

    def __getstate__(self) -> dict:
        """Leave out the bytes of the annotations where a spawned worker gets them by reference."""
        state = self.__dict__.copy()
        if self.annotations is not None and self.data_bytes is self.annotations.bytes:
            del state["data_bytes"]
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if "data_bytes" not in state and self.annotations is not None:
            self.data_bytes = self.annotations.bytes


class Packed(NamedTuple):
    """An entry of `data_list` in a small form.

    Attributes:
        entry: What is kept of it.
        faults: A line for each instance that is not as the file has it.
        num_words: Instances in the file.
    """

    entry: dict
    faults: list[str]
    num_words: int


def pack_if_entry(folder: Path, node: dict) -> Packed | dict:
    """Pack an object of the JSON if it is an entry; one that is not in the format stays."""
    try:
        return pack(folder, node) if "instances" in node else node
    except UserError:
        return node


def pack(folder: Path, entry: dict) -> Packed:
    """Check one entry of `data_list`, and join its polygons to `points` and their `lengths`.

    Args:
        folder: That of the annotation file.
        entry: As the file has it.

    Raises:
        UserError: It is not in the format.
    """
    try:
        findings = [read_polygon(item["polygon"]) for item in entry["instances"]]
        ignored = [bool(item["ignore"]) for item in entry["instances"]]
        size = stated_size(entry)
        img_path = str(folder / entry["img_path"])
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"no {error}" if isinstance(error, KeyError) else str(error)) from None
    polygons = [finding.polygon for finding in findings if finding.polygon is not None]
    packed = dict(
        img_path=img_path,
        size=size,
        points=b"".join(polygon.tobytes() for polygon in polygons),
        lengths=[len(polygon) for polygon in polygons],
        ignored=[flag for flag, finding in zip(ignored, findings) if finding.polygon is not None],
    )
    faults = [
        f"({entry['img_path']}): instances[{i}]: {finding.fault}"
        + (", left out" if finding.polygon is None else "")
        for i, finding in enumerate(findings)
        if finding.fault
    ]
    return Packed(packed, faults, len(findings))


def unpack_entry(packed: dict) -> dict:
    """Give an entry its `polygons` back, a list of (K, 2) float32 arrays, read-only."""
    points = np.frombuffer(packed.pop("points"), dtype=np.float32).reshape(-1, 2)
    lengths = packed.pop("lengths")
    starts = itertools.accumulate(lengths, initial=0)
    polygons = [points[start : start + length] for start, length in zip(starts, lengths)]
    return {**packed, "polygons": polygons}
