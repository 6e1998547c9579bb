import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from mmengine.dataset import BaseDataset

from dbnet.datasets.samplers import SampleKey, as_sample_key
from dbnet.errors import UserError
from dbnet.registry import DATASETS


@DATASETS.register_module()
class TextDetDataset(BaseDataset):
    """Images and text polygons of an annotation file in MMOCR 1.x's JSON format.

    A sample enters the pipeline as a dict with `img_path`, `polygons` (list of (K, 2) float32
    arrays, pixels of the original image), `ignored` (list of bool) and `rng`, a random generator
    that depends on (seed, epoch, index) alone. Images without text are legal.

    Args:
        ann_file: Annotation file, relative to `data_root`; image paths in it are relative to its
            own folder.
        data_root: Folder.
        pipeline: Configs of the transforms.
        test_mode: For validation and tests, whose samples do not depend on the epoch: plain
            samplers will do.
        indices: The first so many images, or those of these indices; None for all.
        lazy_init: Read the annotation file only when `full_init` is called.
    """

    METAINFO = dict(dataset_type="TextDetDataset", task_name="textdet")

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        indices: int | Sequence[int] | None = None,
        lazy_init: bool = False,
    ) -> None:
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            pipeline=list(pipeline),
            test_mode=test_mode,
            indices=indices,
            lazy_init=lazy_init,
        )

    def __getitem__(self, key: int | SampleKey) -> dict:
        key = as_sample_key(key, self.test_mode)
        sample = self.get_data_info(key.item)
        sample["rng"] = np.random.default_rng(list(key))
        return self.pipeline(sample)

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
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not a JSON file: {error}") from None
        if not isinstance(content, dict) or not isinstance(content.get("data_list"), list):
            raise UserError(f'{path}: no "data_list"; expected MMOCR 1.x\'s annotation format')
        return [parse_entry(path, i, entry) for i, entry in enumerate(content["data_list"])]


def parse_entry(path: Path, index: int, entry: dict) -> dict:
    """Check one entry of `data_list` and turn its polygons into arrays."""
    try:
        instances = entry["instances"]
        polygons = [np.asarray(item["polygon"], np.float32).reshape(-1, 2) for item in instances]
        if not all(len(polygon) and np.isfinite(polygon).all() for polygon in polygons):
            raise ValueError("a polygon is empty or not finite")
        return dict(
            img_path=str(path.parent / entry["img_path"]),
            polygons=polygons,
            ignored=[bool(item["ignore"]) for item in instances],
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: data_list[{index}]: {reason}") from None
