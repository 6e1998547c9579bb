from pathlib import Path
from typing import Protocol

import cv2

from dbnet.errors import UserError
from dbnet.labels.entries import Instance, make_entry, write_annotation
from dbnet.synthetic.scene import Scene


class SceneSource(Protocol):
    """What gives scenes by index, as `SyntheticTextDataset` does."""

    def __len__(self) -> int: ...

    def scene(self, index: int) -> Scene: ...

    def image_name(self, index: int) -> str: ...


def write_dataset(dataset: SceneSource, folder: str | Path) -> Path:
    """Write all scenes as a data set for `TextDetDataset`, images below `folder`/images.

    Returns:
        The annotation file, `folder`/textdet_train.json.
    """
    folder = Path(folder)
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    entries = []
    for index in range(len(dataset)):
        scene, path = dataset.scene(index), images / dataset.image_name(index)
        if not cv2.imwrite(str(path), scene.image):
            raise UserError(f"{path}: cannot be written")
        instances = map(Instance, scene.polygons, scene.texts, scene.ignored)
        entries.append(make_entry(path, folder, instances))
    annotation = folder / "textdet_train.json"
    write_annotation(annotation, entries)
    return annotation
