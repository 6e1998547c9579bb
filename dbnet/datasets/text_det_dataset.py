import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from dbnet.datasets.heap import keep_freed_memory
from dbnet.datasets.image_cache import ImageCache
from dbnet.datasets.samplers import SampleKey, as_sample_key
from dbnet.datasets.shared_memory import SharedMemory
from dbnet.errors import UserError
from dbnet.registry import DATASETS


@DATASETS.register_module()
class TextDetDataset(BaseDataset):
    """Images and text polygons of an annotation file in MMOCR 1.x's JSON format.

    A sample enters the pipeline as a dict with `img_path`, `polygons` (list of (K, 2) float32
    arrays, pixels of the original image), `ignored` (list of bool) and `rng`, a random generator
    that depends on (seed, epoch, index) alone. Images without text are legal. With a cache it has
    `img`, the decoded image, as well.

    The workers of a process, forked or spawned, share annotations and cache.

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
    ) -> None:
        if cache not in (None, "ram"):
            raise UserError(f'dataset.cache: must be None or "ram", got {cache!r}')
        self.cache = cache
        self.cache_budget_gb = cache_budget_gb
        self.images: ImageCache | None = None
        self.annotations: SharedMemory | None = None
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
        sample = self.get_data_info(key.item)
        sample["rng"] = np.random.default_rng(list(key))
        if self.images is not None:
            sample["img"] = self.images.read(sample["img_path"])
        return self.pipeline(sample)

    def get_data_info(self, idx: int) -> dict:
        """Give a sample as it enters the pipeline, less `rng`; its polygons are read-only."""
        return unpack_entry(super().get_data_info(idx))

    def load_data_list(self) -> list[dict]:
        """Read the annotation file.

        Raises:
            UserError: It is missing, no JSON, or has an entry that is not in the format.
        """
        path = Path(self.ann_file)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"annotation file {path} not found; make it with tools/prepare_data.py, or give "
                "its folder with --data-root"
            ) from None
        except OSError as error:
            raise UserError(
                f"annotation file {path}: {error.strerror}; --data-root is the folder of the "
                "annotation files"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not a JSON file: {error}") from None
        if not isinstance(content, dict) or not isinstance(content.get("data_list"), list):
            raise UserError(f'{path}: no "data_list"; expected MMOCR 1.x\'s annotation format')
        if not content["data_list"]:
            raise UserError(f"{path}: data_list is empty; there is no image to take")
        return [parse_entry(path, i, entry) for i, entry in enumerate(content["data_list"])]

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        if self.cache:
            self.images = self._make_cache()
        self.data_list = [pack_entry(entry) for entry in self.data_list]
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


def parse_entry(path: Path, index: int, entry: dict) -> dict:
    """Check one entry of `data_list` and turn its polygons into arrays."""
    try:
        instances = entry["instances"]
        polygons = [np.asarray(item["polygon"], np.float32).reshape(-1, 2) for item in instances]
        if not all(len(polygon) and np.isfinite(polygon).all() for polygon in polygons):
            raise ValueError("a polygon is empty or not finite")
        size = entry.get("height"), entry.get("width")
        return dict(
            img_path=str(path.parent / entry["img_path"]),
            size=size if all(isinstance(side, int) and side > 0 for side in size) else None,
            polygons=polygons,
            ignored=[bool(item["ignore"]) for item in instances],
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: data_list[{index}]: {reason}") from None


def pack_entry(entry: dict) -> dict:
    """Join the polygons of an entry to `points` and their `lengths`, which pickle far smaller."""
    return dict(
        img_path=entry["img_path"],
        points=b"".join(polygon.tobytes() for polygon in entry["polygons"]),
        lengths=[len(polygon) for polygon in entry["polygons"]],
        ignored=entry["ignored"],
    )


def unpack_entry(packed: dict) -> dict:
    """Undo `pack_entry`; the polygons are read-only."""
    points = np.frombuffer(packed.pop("points"), dtype=np.float32).reshape(-1, 2)
    lengths = packed.pop("lengths")
    starts = itertools.accumulate(lengths, initial=0)
    polygons = [points[start : start + length] for start, length in zip(starts, lengths)]
    return {**packed, "polygons": polygons}
