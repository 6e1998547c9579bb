from typing import Any


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
