from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from dbnet.evaluation.results import entry_of
from dbnet.registry import METRICS


@METRICS.register_module()
class PredictionCollector(BaseMetric):
    """Gather the predictions of all processes, in the form that `results.json` has.

    After `evaluate`, the attribute `images` of the main process holds a dict per image, in the
    order of the dataset: `img_path`, `polygons` (flat lists [x1, y1, ...], pixels of the original
    image) and `scores`. It adds no metrics.
    """

    default_prefix = "predictions"  # of no key; mmengine warns without one

    images: Sequence[dict] = ()

    def __init__(self) -> None:
        super().__init__(collect_device="gpu")  # by messages: hosts need not share a folder

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep a batch's predictions as lists, see `entry_of`."""
        for meta, prediction in zip(data_batch["metas"], data_samples):
            self.results.append(entry_of(meta["img_path"], prediction))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Store the gathered images."""
        self.images = results
        return {}
