from pathlib import Path
from typing import Any

from dbnet.remote.paths import file_name


def image_paths(dataset: Any) -> list[str]:
    """List the images of a dataset or of the parts it is made of, in their order.

    One that cannot tell without drawing its images, such as `SyntheticTextDataset`, has none.
    """
    if hasattr(dataset, "datasets"):
        return [path for part in dataset.datasets for path in image_paths(part)]
    if not hasattr(dataset, "get_data_info"):
        return []
    entries = map(dataset.get_data_info, range(len(dataset)))
    return [entry["img_path"] for entry in entries if "img_path" in entry]


def free_stem(path: str, owners: dict[str, str]) -> str:
    """Return an image's stem, with a number behind it where another image has it already.

    `owners` has the image of each stem so far, in lower case, as some file systems ignore the case.
    """
    stem = free = Path(file_name(path)).stem
    number = 1
    while owners.setdefault(free.lower(), path) != path:
        number += 1
        free = f"{stem}_{number}"
    return free
