from collections.abc import Callable, Sequence

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from dbnet.datasets.annotations import Annotations
from dbnet.datasets.image_cache import ImageCache
from dbnet.datasets.repair import UnreadableImages
from dbnet.datasets.samplers import SampleKey, as_sample_key
from dbnet.errors import ImageError, UserError
from dbnet.registry import DATASETS
from dbnet.remote.paths import join, shown
from dbnet.utils.log import log
from dbnet.utils.memory import keep_freed_memory

SIZE_UNKNOWN = (32, 32)  # of the black image in place of one that nothing is known of


@DATASETS.register_module()
class TextDetDataset(Dataset):
    """Images and text polygons of an annotation file in MMOCR 1.x's JSON format.

    A sample enters the pipeline as a dict with `img_path`, `polygons` (list of (K, 2) float32
    arrays, pixels of the original image), `ignored` (list of bool) and `rng`, a random generator
    that depends on (seed, epoch, index) alone. Images without text are legal. With a cache it has
    `img`, the decoded image, as well.

    The workers of a process, forked or spawned, share annotations and cache.

    Damage costs a warning each. Bad polygons are repaired or left out, see `dbnet.datasets.repair`.
    In place of an unreadable image, training takes the next one of the file; a test takes a black
    one, so that its words count as missed.

    Args:
        ann_file: Annotation file, relative to `data_root`; image paths in it are relative to its
            own folder. They, and `data_root`, may be URLs, see docs/pictures.md.
        data_root: Folder.
        pipeline: Configs of the transforms.
        test_mode: For validation and tests, whose samples do not depend on the epoch: plain
            samplers will do.
        indices: The first so many images, or those of these indices; None for all.
        cache: "ram" keeps decoded images in memory that the workers of this process share, so that
            each image is decoded once in a run.
        cache_budget_gb: What the cache may hold, in 10^9 bytes; images beyond it are decoded each
            time. ICDAR2015's 1000 training images take 2.8.
        max_damaged: Share of the images, and of the words, that may be damaged; beyond it the run
            stops.
        sort_by_size: Order the images by height and width, those of one size as in the file.
    """

    metainfo = dict(dataset_type="TextDetDataset", task_name="textdet")

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
        cache: str | None = None,
        cache_budget_gb: float = 8.0,
        max_damaged: float = 0.1,
        sort_by_size: bool = False,
    ) -> None:
        if cache not in (None, "ram"):
            raise UserError(f'dataset.cache: must be None or "ram", got {cache!r}')
        place = join(data_root, ann_file)
        self.ann_file = shown(place)
        self.test_mode = test_mode
        self.annotations = Annotations.read(place, max_damaged)
        if sort_by_size:
            heights, widths = self.annotations.sizes.array.T
            self.annotations = self.annotations.take(np.lexsort((widths, heights)))
        if indices is not None:
            self.annotations = self.annotations.take(choose(len(self.annotations), indices))
        self.images = make_cache(self.annotations, cache_budget_gb) if cache else None
        self.unreadable = UnreadableImages(len(self), max_damaged, self.ann_file)
        self.pipeline = Compose(list(pipeline))

    def __len__(self) -> int:
        return len(self.annotations)

    def full_init(self) -> None:
        """Do nothing; mmengine's wrappers call it before a sampler refuses them."""

    def __getitem__(self, key: int | SampleKey) -> dict:
        keep_freed_memory()
        key = as_sample_key(key, self.test_mode)
        try:
            return self._make_sample(key)
        except ImageError as error:
            return self._replace(key, error)

    def get_data_info(self, idx: int) -> dict:
        """Return a sample as it enters the pipeline, less `rng`; its polygons are read-only."""
        return dict(sample_idx=idx, **self.annotations[idx])

    def size_of(self, idx: int) -> tuple[int, int] | None:
        """Return (H, W) of an image as the annotation states it, if it does."""
        return self.annotations.size_of(idx)

    def report_unreadable(self, item: int, error: ImageError) -> None:
        """Warn of an image; see `UnreadableImages.report`."""
        instead = "its words count as missed" if self.test_mode else "the next image is taken"
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
        """Make a sample in place of one whose image is unreadable."""
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


def choose(num_images: int, indices: int | Sequence[int]) -> Sequence[int]:
    """List the first so many images, or those of the given indices."""
    everything = range(num_images)
    try:
        chosen = (
            everything[:indices] if isinstance(indices, int) else [everything[i] for i in indices]
        )
    except IndexError as error:
        raise UserError(f"dataset.indices: {error}, there are {num_images} images") from None
    if not chosen:
        raise UserError(
            f"dataset.indices={indices!r} leaves no image: give how many, or a list of them"
        )
    return chosen


def make_cache(annotations: Annotations, budget_gb: float) -> ImageCache:
    """Reserve memory for decoded images, as many as fit into 10^9 bytes each of `budget_gb`."""
    items = range(len(annotations))
    images = ImageCache(
        ((annotations.path_of(i), annotations.size_of(i)) for i in items), int(budget_gb * 1e9)
    )
    log(
        f"cache: holds {len(images)} of {len(annotations)} images once they are read, "
        f"{images.num_bytes / 1e9:.2f} of {budget_gb:g} GB"
    )
    return images
